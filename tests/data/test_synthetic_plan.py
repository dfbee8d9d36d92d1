"""What is planted: mechanisms, their oracle AUROCs, and missingness of each kind. No file is written here."""

from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from clinimm.data.synthetic.missingness import Missing
from clinimm.data.synthetic.plan import KINDS, Mechanism, PlannedCase, Recipe, plan_cohort
from clinimm.types import Kind

N = 1200


@cache
def cases(**choices: object) -> list[PlannedCase]:
    return plan_cohort(N, Recipe(**choices))  # type: ignore[arg-type]


def signs(planned: list[PlannedCase], target: str, kinds: tuple[Kind, ...]) -> np.ndarray:
    """+1 where a sign is on, -1 where it is off, 0 where the input is missing."""
    return np.array(
        [[(1 if k in c.signals[target].on else -1) * (k in c.present) for k in kinds] for c in planned], float
    )


def oracle(target: str, kinds: tuple[Kind, ...], *, degree: int = 3, **choices: object) -> float:
    """AUROC on the second half of a logistic model that sees the planted signs themselves and their products up to
    `degree`, fitted on the first half."""
    planned = cases(**choices)
    values, labels = signs(planned, target, kinds), np.array([c.signals[target].label for c in planned])
    model = make_pipeline(PolynomialFeatures(degree), LogisticRegression(C=100, max_iter=500))
    half = N // 2
    scores = model.fit(values[:half], labels[:half]).predict_proba(values[half:])[:, 1]
    return float(roc_auc_score(labels[half:], scores))


@pytest.mark.parametrize("target", ["pneumonia", "heart_failure"])
def test_one_input_tells_something_and_all_tell_nearly_everything(target: str) -> None:
    alone = [oracle(target, (kind,)) for kind in KINDS]
    assert all(0.62 < auroc < 0.85 for auroc in alone), alone
    assert oracle(target, KINDS) > 0.9
    assert oracle(target, KINDS, rate=0.0, label_noise=0.0) == 1.0


def test_synergy_needs_both_inputs_and_their_interaction() -> None:
    alone = [oracle("arrhythmia", (kind,)) for kind in KINDS]
    assert max(alone) < 0.68
    assert oracle("arrhythmia", KINDS, degree=1) < 0.83
    assert oracle("arrhythmia", KINDS) > 0.88
    assert oracle("arrhythmia", KINDS, rate=0.0, label_noise=0.0) == 1.0


@pytest.mark.parametrize(("mechanism", "sources"), [("unique", 1), ("redundant", 2)])
def test_positives_show_their_sign_in_as_many_inputs_as_the_mechanism_says(mechanism: str, sources: int) -> None:
    for case in cases(mechanism=Mechanism(mechanism), rate=0.0, label_noise=0.0):
        for signal in case.signals.values():
            assert len(signal.on) == len(signal.sources) == (sources if signal.truth else 0)


def test_redundant_signs_survive_the_loss_of_either_source() -> None:
    redundant = {"mechanism": Mechanism.REDUNDANT, "rate": 0.0, "label_noise": 0.0}
    assert oracle("pneumonia", (Kind.IMAGE, Kind.TEXT), **redundant) == 1.0
    assert oracle("pneumonia", (Kind.IMAGE, Kind.TEXT), **{**redundant, "mechanism": Mechanism.UNIQUE}) < 0.9


@pytest.mark.slow
def test_synergy_for_the_whole_cohort_leaves_single_inputs_near_chance() -> None:
    for target in ("pneumonia", "heart_failure", "arrhythmia"):
        assert all(oracle(target, (kind,), mechanism=Mechanism.SYNERGY) < 0.69 for kind in KINDS)
        assert oracle(target, KINDS, mechanism=Mechanism.SYNERGY, rate=0.0) > 0.95


def test_labels_differ_from_the_truth_at_the_rate_of_noise() -> None:
    flips = [s.label != s.truth for c in plan_cohort(500, Recipe(label_noise=0.1)) for s in c.signals.values()]
    assert np.mean(flips) == pytest.approx(0.1, abs=0.02)
    assert all(s.label == s.truth for c in cases(rate=0.0, label_noise=0.0) for s in c.signals.values())


@pytest.mark.parametrize("missing", list(Missing))
def test_each_input_is_missing_at_the_rate_asked_for(missing: Missing) -> None:
    planned = cases(missing=missing, rate=0.3)
    for kind in KINDS:  # sparing one input of every case costs about a third of the rate cubed
        assert np.mean([kind not in c.present for c in planned]) == pytest.approx(0.29, abs=0.04)


@pytest.mark.parametrize("missing", list(Missing))
def test_every_case_keeps_an_input(missing: Missing) -> None:
    assert all(case.present for case in plan_cohort(200, Recipe(missing=missing, rate=0.9)))


@pytest.mark.parametrize("missing", list(Missing))
def test_nothing_is_missing_at_rate_zero(missing: Missing) -> None:
    assert all(len(case.present) == len(KINDS) for case in plan_cohort(200, Recipe(missing=missing, rate=0.0)))


def gap_in_label_rate(missing: Missing) -> float:
    """Label rate of heart failure where the film is present, less that where it is missing."""
    planned = cases(missing=missing, rate=0.3)
    label = np.array([c.signals["heart_failure"].label for c in planned])
    present = np.array([Kind.IMAGE in c.present for c in planned])
    return float(label[present].mean() - label[~present].mean())


def test_only_mnar_ties_missingness_to_the_label() -> None:
    assert abs(gap_in_label_rate(Missing.MCAR)) < 0.08
    assert abs(gap_in_label_rate(Missing.MAR)) < 0.08
    assert gap_in_label_rate(Missing.MNAR) > 0.12


def test_only_mar_ties_missingness_to_the_site_and_age() -> None:
    def gap(missing: Missing) -> float:
        planned = cases(missing=missing, rate=0.3)
        lost = {site: [len(c.present) for c in planned if c.patient.site == site] for site in ("north", "valley")}
        return float(np.mean(lost["north"]) - np.mean(lost["valley"]))

    assert gap(Missing.MAR) > 0.6
    assert abs(gap(Missing.MCAR)) < 0.2
    assert abs(gap(Missing.MNAR)) < 0.2


def test_patients_have_one_to_three_cases_and_inputs_older_than_the_question() -> None:
    planned = cases()
    visits = {c.patient.patient_id: c.patient.visits for c in planned}
    assert set(visits.values()) == {1, 2, 3}
    assert len({c.case_id for c in planned}) == N
    assert all(time < c.index_time for c in planned for time in c.acquired.values())

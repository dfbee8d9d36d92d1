import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from clinimm.calibration import Calibrator, Level, highest_threshold
from clinimm.errors import ArtifactError, TrainingError
from clinimm.platt import SMALLEST_SLOPE, fit_lines, fit_offsets, fit_parted
from clinimm.scores import Scores, subsets

NAMES = ("cxr", "labs")
LINES = {"cxr": (0.5, -0.4), "labs": (1.5, 0.3), "cxr+labs": (2.0, 0.0)}


def validation(n=4000, share=0.5, prevalence_shift=0.0, seed=0):
    """Scores whose logits relate to the truth by the lines above, one per subset."""
    rng = np.random.default_rng(seed)
    present = rng.random((n, 2)) < share
    present[~present.any(axis=1), 0] = True
    truth = rng.normal(size=n) + prevalence_shift
    targets = (rng.random(n) < expit(truth)).astype(float)
    logits = {name: ((truth - b) / a)[:, None] for name, (a, b) in LINES.items()}
    ids = tuple(f"c{i}" for i in range(n))
    return Scores(ids, ids, ("ill",), NAMES, targets[:, None], present, logits)


def fitted(scores, **options):
    return Calibrator.fit(scores, **{"sensitivity": 0.9, "bootstrap": 40, "seed": 0, **options})


def few(labels, logits=None):
    """One modality, one target, these labels (None for unknown)."""
    n = len(labels)
    targets = np.array([np.nan if label is None else float(label) for label in labels])[:, None]
    logits = np.linspace(-1, 1, n) if logits is None else np.array(logits)
    ids = tuple(f"c{i}" for i in range(n))
    return Scores(ids, ids, ("ill",), ("cxr",), targets, np.ones((n, 1), bool), {"cxr": logits[:, None]})


def came(patterns):
    """Cases that came with these patterns, every other one ill."""
    present = np.array([[name in pattern.split("+") for name in NAMES] for pattern in patterns])
    scores = validation(n=len(patterns))
    return replace(scores, present=present, targets=(np.arange(len(patterns)) % 2).astype(float)[:, None])


def test_each_pattern_recovers_the_line_it_was_made_with():
    ill = fitted(validation()).targets["ill"]
    for pattern, (slope, offset) in LINES.items():
        fit = ill.patterns[pattern]
        assert fit.level is Level.OWN
        assert fit.slope == pytest.approx(slope, rel=0.15)
        assert fit.offset == pytest.approx(offset, abs=0.15)


def test_a_line_is_the_optimum_of_platts_objective():
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=50) * 30 + 7, rng.random(50) < 0.3
    counts = rng.integers(0, 3, (4, 50)).astype(float)
    for row, line in zip(counts, fit_lines(logits, labels, counts), strict=True):
        yes, no = row @ labels, row @ ~labels
        targets = np.where(labels, (yes + 1) / (yes + 2), 1 / (no + 2))

        def loss(ab, row=row, targets=targets):
            z = ab[0] * logits + ab[1]
            return row @ (np.logaddexp(0, z) - targets * z)

        best = minimize(loss, [0.01, 0.0], bounds=[(SMALLEST_SLOPE, None), (None, None)], tol=1e-12)
        assert loss(line) <= best.fun + 1e-6


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(-1e3, 1e3)), min_size=2, max_size=40))
def test_order_never_flips(cases):
    labels = np.array([label for label, _ in cases])
    logits = np.array([logit for _, logit in cases])
    slope, offset = fit_lines(logits, labels, np.ones((1, len(cases))))[0]
    assert slope >= SMALLEST_SLOPE
    assert np.isfinite([slope, offset]).all()


def test_scores_that_rank_backward_end_near_the_prevalence():
    logits, labels = np.linspace(3, -3, 100), np.arange(100) >= 70
    slope, offset = fit_lines(logits, labels, np.ones((1, 100)))[0]
    assert slope == SMALLEST_SLOPE
    assert expit(slope * logits + offset) == pytest.approx(np.full(100, 0.3), abs=0.02)


def test_perfect_separation_gets_a_finite_slope():
    logits = np.r_[np.full(20, -1.0), np.full(20, 1.0)]
    slope, offset = fit_lines(logits, logits > 0, np.ones((1, 40)))[0]
    assert expit(slope + offset) == pytest.approx(21 / 22)


def test_shift_meets_the_smoothed_prevalence():
    logits, labels = np.linspace(-2, 2, 9), np.arange(9) == 8
    slope, offset = fit_offsets(logits, labels, np.ones((1, 9)))[0]
    smoothed = (1 * (2 / 3) + 8 * (1 / 10)) / 9
    assert slope == 1
    assert expit(logits + offset).mean() == pytest.approx(smoothed)


def test_every_fallback_is_reached_and_named():
    assert fitted(few([0] * 22 + [1] * 20)).level("ill", "cxr") is Level.OWN
    assert fitted(few([0] * 22 + [1] * 19)).level("ill", "cxr") is Level.POOLED
    assert fitted(few([0] * 12 + [1])).level("ill", "cxr") is Level.SHIFT
    assert fitted(few([0] * 12)).level("ill", "cxr") is Level.SHIFT
    assert fitted(few([None] * 3)).level("ill", "cxr") is Level.IDENTITY
    assert fitted(few([0] * 22 + [1] * 20)).level("ill", "never seen") is Level.POOLED
    assert fitted(came(["cxr+labs"] * 50)).level("ill", "labs") is Level.PATTERN
    assert fitted(came(["cxr"] * 50 + ["labs"] * 10)).level("ill", "labs") is Level.COUNT


def test_who_came_without_an_input_is_not_who_had_it_hidden():
    """The ill are spared the laboratory: a film without labs means more illness than the same film with them hidden."""
    scores = validation(n=3000, seed=4)
    rng = np.random.default_rng(0)
    ill = scores.targets[:, 0] > 0.5
    present = np.stack([np.ones(3000, bool), rng.random(3000) < np.where(ill, 0.6, 0.97)], axis=1)
    train, test = slice(0, 1000), slice(1000, None)
    part = [replace(
        scores, present=present[rows], targets=scores.targets[rows], case_ids=scores.case_ids[rows],
        patient_ids=scores.patient_ids[rows], logits={name: values[rows] for name, values in scores.logits.items()},
    ) for rows in (train, test)]  # fmt: skip
    only = ~part[1].present[:, 1]
    shown = fitted(part[0]).apply(part[1].logits["cxr"], ["cxr"] * len(only))[only, 0]
    hidden = fitted(replace(part[0], targets=np.where(part[0].present[:, 1:], part[0].targets, np.nan)))
    naive = hidden.apply(part[1].logits["cxr"], ["cxr"] * len(only))[only, 0]
    rate = part[1].targets[only, 0].mean()
    assert abs(shown.mean() - rate) < 0.05 < abs(naive.mean() - rate)


def test_own_cases_part_from_the_others_only_as_far_as_they_give_reason_to():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=2000)
    own = np.arange(2000) < 1000
    labels = rng.random(2000) < expit(logits + 1.5 * own)
    offsets = []
    for kept in (0, 5, 1000):
        rows = ~own | (np.arange(2000) < kept)
        offsets.append(fit_parted(logits[rows], labels[rows], np.ones((1, rows.sum())), own[rows])[0, 1])
    assert offsets[0] == pytest.approx(0, abs=0.15)
    assert offsets[0] < offsets[1] < offsets[2] == pytest.approx(1.5, abs=0.15)


def test_no_labels_leave_the_logit_alone_and_give_no_interval():
    calibrator = fitted(few([None] * 3))
    logits = np.array([[-1.0], [0.0], [2.0]])
    assert calibrator.apply(logits, ["cxr"] * 3) == pytest.approx(expit(logits))
    assert np.isnan(calibrator.interval(logits, ["cxr"] * 3)).all()
    assert calibrator.targets["ill"].threshold.sensitivity is None


def test_threshold_reaches_the_wanted_sensitivity_and_no_higher_one_does():
    scores = validation(n=500)
    calibrator = fitted(scores, sensitivity=0.8)
    p = calibrator.apply(scores.logits["cxr+labs"], scores.patterns("cxr+labs"))[:, 0]
    labels = scores.targets[:, 0] > 0.5
    threshold = calibrator.targets["ill"].threshold
    assert threshold.sensitivity == (p[labels] >= threshold.value).mean() >= 0.8
    assert (p[labels] >= np.nextafter(threshold.value, 1)).mean() < 0.8
    assert threshold.specificity == (p[~labels] < threshold.value).mean()


def test_threshold_by_hand():
    labels, p = np.array([True, True, True, True, False]), np.array([0.9, 0.8, 0.7, 0.1, 0.75])
    assert highest_threshold(labels, p, 0.75).value == 0.7
    assert highest_threshold(labels, p, 0.76).value == 0.1
    assert highest_threshold(labels, p, 0.75).specificity == 0


def test_rows_use_the_line_of_their_own_pattern():
    scores = validation()
    calibrator = fitted(scores)
    logits = np.array([[1.0], [1.0], [1.0]])
    p = calibrator.apply(logits, ["cxr", "labs", "cxr+labs"])[:, 0]
    for got, pattern in zip(p, ["cxr", "labs", "cxr+labs"], strict=True):
        assert got == pytest.approx(calibrator.apply(logits[:1], [pattern])[0, 0])
    assert len(set(p)) == 3


def test_interval_holds_the_probability_and_narrows_with_data():
    widths = []
    for n in (200, 4000):
        scores = validation(n=n)
        calibrator = fitted(scores, bootstrap=100)
        logits, patterns = scores.logits["cxr+labs"], scores.patterns("cxr+labs")
        low, high = np.moveaxis(calibrator.interval(logits, patterns), -1, 0)
        p = calibrator.apply(logits, patterns)
        assert ((low <= p) & (p <= high)).all()
        widths.append((high - low).mean())
    assert widths[1] < widths[0] / 2


def test_same_seed_same_calibrator_and_json_gives_it_back():
    scores = validation(n=300)
    calibrator = fitted(scores, seed=5)
    assert calibrator == fitted(scores, seed=5)
    assert calibrator != fitted(scores, seed=6)
    assert Calibrator.from_json(calibrator.to_json()) == calibrator
    assert len(calibrator.to_json()) < 10_000


def test_what_is_not_a_calibration_is_refused():
    broken = json.loads(fitted(few([0] * 12 + [1] * 12)).to_json())
    del broken["ill"]["pooled"]["slope"]
    for text in ("", "[]", "{", '{"ill": 3}', json.dumps(broken)):
        with pytest.raises(ArtifactError):
            Calibrator.from_json(text)


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(TrainingError):
        fitted(few([0, 1, 1], logits=[0.1, np.nan, 0.3]))


def test_what_an_absent_input_holds_cannot_change_the_calibrator():
    scores = validation(n=300)
    for subset in subsets(NAMES):
        scores.logits[subset][~scores.answered(subset)] = 1e6
    assert fitted(scores).targets["ill"].pooled == fitted(validation(n=300)).targets["ill"].pooled

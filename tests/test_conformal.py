"""Conformal sets hold the truth as often as they promise, say what they stand on, and come back from disk the same."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.calibration import Calibrator
from clinimm.conformal import Basis, Conformal, effective, holds, lower_limit, tilt
from clinimm.errors import ArtifactError
from clinimm.scores import Scores, subsets

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from planted_scores import INPUTS, MECHANISMS, World


def fitted(scores: Scores, alpha: float = 0.1, by_label: bool = True) -> tuple[Calibrator, Conformal]:
    calibrator = Calibrator.fit(scores, sensitivity=0.9, bootstrap=1)
    return calibrator, Conformal.fit(scores, calibrated(calibrator, scores), alpha=alpha, by_label=by_label)


def calibrated(calibrator: Calibrator, scores: Scores) -> dict[str, np.ndarray]:
    return {name: calibrator.apply(logits, scores.patterns(name)) for name, logits in scores.logits.items()}


def held(fits: tuple[Calibrator, Conformal], test: Scores) -> np.ndarray:
    calibrator, conformal = fits
    names = test.patterns(test.whole)
    sets = conformal.sets(calibrator.apply(test.logits[test.whole], names), names)
    return holds(sets[:, 0], test.targets[:, 0] > 0.5)


def one_input(labels: list[int | None], probabilities: list[float], alpha: float = 0.1) -> Conformal:
    targets = np.array([np.nan if label is None else float(label) for label in labels])[:, None]
    ids, n = tuple(f"c{i}" for i in range(len(labels))), len(labels)
    p = np.array(probabilities, dtype=float).reshape(n, 1)
    return Conformal.fit(
        Scores(ids, ids, ("ill",), ("cxr",), targets, np.ones((n, 1), bool), {"cxr": p}), {"cxr": p}, alpha=alpha
    )


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.slow
def test_every_pattern_is_covered_within_two_points_whatever_made_inputs_missing(mechanism: str) -> None:
    world = World(mechanism)
    test = world.draw(8000, seed=99)
    names = np.asarray(test.patterns(test.whole), dtype=object)
    runs = [(world.draw(2000, seed), seed) for seed in range(6)]
    covered = np.mean([held(fitted(scores), test) for scores, _ in runs], axis=0)
    judged = [p for p in subsets(INPUTS) if (np.asarray(runs[0][0].patterns("a+b+c"), dtype=object) == p).sum() >= 100]
    assert len(judged) >= 4
    for pattern in judged:
        rows = names == pattern
        assert covered[rows].mean() == pytest.approx(0.9, abs=0.02 + 2 * np.sqrt(0.09 / rows.sum() + 0.09 / 6 / 300))


@pytest.mark.slow
def test_the_few_ill_are_covered_as_often_as_the_many_well_and_with_one_limit_they_are_not() -> None:
    world = World("mcar", prevalence=0.12)
    test = world.draw(10_000, seed=99)
    ill = test.targets[:, 0] > 0.5
    each, one = (
        np.mean([held(fitted(world.draw(3000, seed), by_label=by_label), test) for seed in range(3)], axis=0)
        for by_label in (True, False)
    )
    assert each[ill].mean() == pytest.approx(0.9, abs=0.03)
    assert each[~ill].mean() == pytest.approx(0.9, abs=0.02)
    assert one.mean() == pytest.approx(0.9, abs=0.02)
    assert one[ill].mean() < 0.75


def test_limits_by_hand() -> None:
    conformal = one_input([1] * 29 + [0] * 29, [*np.linspace(0.02, 0.58, 29), *np.linspace(0.42, 0.98, 29)])
    limits = conformal.limits("ill", "cxr")
    assert limits.yes.value == pytest.approx(0.06)  # the third smallest of 29: 3 / 30
    assert limits.no.value == pytest.approx(0.06)
    sets = conformal.sets(np.array([[0.01], [0.5], [0.95], [np.nan]]), ["cxr"] * 4)
    assert sets[:, 0].tolist() == [[True, False], [True, True], [False, True], [False, False]]


def test_sure_answers_leave_the_unsure_an_empty_set() -> None:
    conformal = one_input([1] * 99 + [0] * 99, [*np.linspace(0.8, 0.99, 99), *np.linspace(0.01, 0.2, 99)])
    assert not conformal.sets(np.array([[0.5]]), ["cxr"]).any()


def test_every_basis_is_reached_and_named() -> None:
    world = World("mcar")
    scores = world.draw(1500, seed=0)
    names = np.asarray(scores.patterns("a+b+c"), dtype=object)

    def basis(keep: np.ndarray, pattern: str = "a") -> Basis:
        return (
            fitted(replace(scores, targets=np.where(keep[:, None], scores.targets, np.nan)))[1]
            .limits("ill", pattern)
            .basis
        )

    everyone = np.ones(1500, bool)
    assert basis(everyone, "a+b+c") is Basis.OWN
    assert basis((names != "a") | (np.cumsum(names == "a") <= 60)) is Basis.TILTED
    assert basis(names != "a") is Basis.MASKED
    assert basis(np.isin(names, ["b", "c"])) is Basis.COUNT
    assert basis(np.isin(names, ["b+c"])) is Basis.POOLED
    assert basis(np.arange(1500) < 8) is Basis.NONE
    assert basis(~everyone) is Basis.NONE
    assert fitted(scores)[1].limits("ill", "never seen") == fitted(scores)[1].limits("ill", "")


def test_without_cases_every_set_holds_both_answers() -> None:
    conformal = one_input([None] * 5, [0.1, 0.2, 0.3, 0.9, 1.0])
    assert conformal.sets(np.array([[0.0], [0.3], [1.0]]), ["cxr"] * 3).all()


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.01, 0.5))
def test_a_limit_leaves_out_no_more_than_promised(values: list[float], alpha: float) -> None:
    numbers = np.array(values)
    limit = lower_limit(numbers, np.ones(len(values)), alpha)
    assert (numbers < limit).sum() < alpha * (len(values) + 1) + 1e-9 or limit == -np.inf
    doubled = lower_limit(np.repeat(numbers, 2), np.full(2 * len(values), 0.5), alpha)
    assert doubled == pytest.approx(lower_limit(np.repeat(numbers, 2), np.ones(2 * len(values)), alpha))


def test_a_tilt_makes_others_look_like_own_and_does_nothing_where_they_do() -> None:
    rng = np.random.default_rng(0)
    others = rng.normal(size=4000)
    own = rng.normal(0.8, 0.7, size=600)
    weights = tilt(own, others)
    both = np.concatenate([own, others])
    assert np.average(both, weights=weights) == pytest.approx(own.mean(), abs=0.05)
    assert np.average(np.square(both), weights=weights) == pytest.approx(np.square(own).mean(), abs=0.1)
    alike = tilt(rng.normal(size=600), others)
    assert effective(alike) > 0.9 * len(alike)
    assert tilt(np.array([]), others).tolist() == [1.0] * 4000


def test_the_record_gives_it_back_to_the_last_bit_and_what_is_none_is_refused() -> None:
    conformal = fitted(World("mnar").draw(500, seed=3))[1]
    kept = json.dumps(conformal.record())
    assert Conformal.from_record(json.loads(kept)) == conformal
    broken = json.loads(kept)
    del broken["targets"]["ill"]["a"]["yes"]["value"]
    for values in (None, [], {}, {"alpha": 0.1}, broken):
        with pytest.raises(ArtifactError):
            Conformal.from_record(values)

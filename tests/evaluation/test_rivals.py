"""Runs beside each other: differences by hand, p values over all pairs, and other cases refused."""

import numpy as np
import pytest
from small_answers import answers_of, drawn

from clinimm import metrics
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.rival_tables import rival_grids
from clinimm.evaluation.rivals import ALL_INPUTS, draws_for, holm, rival


def noisy(p: np.ndarray, seed: int, noise: float) -> np.ndarray:
    return 1 / (1 + np.exp(-(np.log(p / (1 - p)) + np.random.default_rng(seed).normal(0, noise, len(p)))))


@pytest.fixture(scope="module")
def runs() -> dict[str, Answers]:
    """a is true, b and c are a with little and with much noise."""
    labels, p = drawn(400, seed=0)
    return {
        name: answers_of(labels, {"labs": noisy(p, i, noise)})
        for i, (name, noise) in enumerate({"a": 0.0, "b": 0.1, "c": 3.0}.items())
    }


def test_differences_are_those_worked_by_hand(runs: dict[str, Answers]) -> None:
    found = rival(runs, resamples=300, seed=0)
    labels = runs["a"].labels("finding")
    for one in found.rivalries:
        first, second = (runs[name].probabilities["labs"][:, 0] for name in (one.first, one.second))
        for metric in ("auroc", "brier", "ece"):
            plain = getattr(metrics, metric)
            assert one.differences[metric].estimate.value == pytest.approx(plain(labels, first) - plain(labels, second))
        assert one.delong.p == metrics.delong(labels, first, second).p
    assert {one.subset for one in found.rivalries} == {ALL_INPUTS}
    assert {s.run: s.estimates["auroc"].value for s in found.standings} == {
        name: pytest.approx(metrics.auroc(labels, one.probabilities["labs"][:, 0])) for name, one in runs.items()
    }


def test_a_clear_difference_is_told_and_a_lucky_one_is_not(runs: dict[str, Answers]) -> None:
    found = rival(runs, resamples=500, seed=0)
    p = {(o.first, o.second): o.differences["auroc"].holm for o in found.rivalries if o.subset == ALL_INPUTS}
    assert p["a", "c"] is not None
    assert p["a", "b"] is not None
    assert p["a", "c"] < 0.02 < 0.05 < p["a", "b"]
    *_, table = rival_grids(found, [*runs])
    assert table.notes[1].startswith("A ranks better than C by ")
    assert "A ranks better than B" not in table.notes[1]


def test_runs_of_other_inputs_meet_with_all_of_theirs(runs: dict[str, Answers]) -> None:
    labels, p = drawn(400, seed=0)
    parts = {"labs": noisy(p, 5, 1.0), "note": noisy(p, 6, 1.0), "labs+note": p}
    both = answers_of(labels, parts, modalities=("labs", "note"))
    found = rival({"one": runs["c"], "two": both}, resamples=100, seed=0)
    assert {one.subset for one in found.rivalries} == {ALL_INPUTS, "labs"}
    gap = found.rivalries[0].differences["auroc"].estimate.value
    assert gap == pytest.approx(metrics.auroc(labels, runs["c"].probabilities["labs"][:, 0]) - metrics.auroc(labels, p))


def test_draws_are_enough_for_the_least_p_of_many_pairs() -> None:
    for runs in (2, 5, 20):
        pairs = runs * (runs - 1) // 2
        assert pairs * 2 / (draws_for(runs) + 1) < 0.05


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == pytest.approx([0.02])

"""Two models cell by cell: differences by hand, one band for all cells, and falls that are found and named."""

import numpy as np
import pytest
from small_answers import answers_of, drawn

from clinimm import metrics
from clinimm.errors import ClinimmError
from clinimm.evaluation.paired import BETTER, EVERYONE, Cell, max_t_width, paired_cells, same_cases


def cell(cells: tuple[Cell, ...], metric: str, group: str = EVERYONE) -> Cell:
    return next(c for c in cells if c.metric == metric and c.group == group)


def test_differences_are_those_worked_by_hand() -> None:
    labels, p = drawn(300, seed=0)
    worse = np.clip(p + np.random.default_rng(1).normal(0, 0.3, 300), 0.01, 0.99)
    cells = paired_cells(
        answers_of(labels, {"labs": worse}), answers_of(labels, {"labs": p}), {}, resamples=200, seed=0
    )
    assert [c.metric for c in cells] == list(BETTER)
    for metric, plain in (("auroc", metrics.auroc), ("brier", metrics.brier), ("ece", metrics.ece)):
        found = cell(cells, metric)
        assert found.current == pytest.approx(plain(labels, p))
        assert found.candidate == pytest.approx(plain(labels, worse))
        assert found.difference == pytest.approx(plain(labels, worse) - plain(labels, p))
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.difference < found.high
    assert cell(cells, "auroc").word == "falls"


def test_a_fall_in_one_group_alone_is_found_and_named() -> None:
    labels, p = drawn(600, seed=2)
    first = np.arange(600) < 400
    changed = np.where(first, p, 1 - p)
    groups = {"site=A": first, "site=B": ~first}
    cells = paired_cells(
        answers_of(labels, {"labs": changed}), answers_of(labels, {"labs": p}), groups, resamples=300, seed=0
    )
    assert cell(cells, "auroc", "site=A").word == "holds"
    assert cell(cells, "auroc", "site=A").difference == 0
    fallen = cell(cells, "auroc", "site=B")
    assert fallen.word == "falls"
    assert fallen.worse_by > 0.3


def test_more_sensitivity_than_was_promised_is_owed_to_nobody() -> None:
    labels, p = drawn(400, seed=6)
    everyone, enough, few = (answers_of(labels, {"labs": p}, threshold=t) for t in (0.0, 0.3, 0.6))
    reached = metrics.sensitivity(labels, enough.flagged["labs"][:, 0])
    found = [
        cell(paired_cells(one, everyone, {}, promised=reached, resamples=100, seed=0), "sensitivity")
        for one in (enough, few)
    ]
    assert [(c.word, c.difference == 0) for c in found] == [("holds", True), ("falls", False)]
    assert cell(paired_cells(enough, everyone, {}, resamples=100, seed=0), "sensitivity").word == "falls"


def test_a_group_with_too_few_of_a_class_is_told_and_not_judged() -> None:
    labels, p = drawn(300, seed=3)
    few = np.zeros(300, dtype=bool)
    few[np.flatnonzero(labels)[:9]] = few[np.flatnonzero(~labels)[:50]] = True
    cells = paired_cells(
        answers_of(labels, {"labs": 1 - p}), answers_of(labels, {"labs": p}), {"few": few}, resamples=100, seed=0
    )
    small = cell(cells, "auroc", "few")
    assert (small.word, small.cases, small.positives, small.difference) == ("too few", 59, 9, None)
    assert cell(cells, "auroc").word == "falls"


def test_the_same_model_falls_nowhere() -> None:
    labels, p = drawn(200, seed=4)
    same = answers_of(labels, {"labs": p})
    assert {c.word for c in paired_cells(same, same, {}, resamples=100, seed=0)} == {"holds"}


def test_models_that_are_equally_good_seldom_fall_though_there_are_many_cells() -> None:
    fallen = 0
    for seed in range(25):
        labels, p = drawn(160, seed=seed)
        rng = np.random.default_rng(1000 + seed)
        logits = np.log(p / (1 - p))
        one, other = (1 / (1 + np.exp(-(logits + rng.normal(0, 0.7, 160)))) for _ in range(2))
        groups = {f"g{i}": rng.random(160) < 0.6 for i in range(6)}
        cells = paired_cells(
            answers_of(labels, {"labs": one}), answers_of(labels, {"labs": other}), groups, resamples=100, seed=seed
        )
        fallen += any(c.word == "falls" for c in cells)
    assert fallen <= 5  # 1.25 expected of 25; more than 5 has a chance of 0.1 %


def test_the_band_is_wider_for_more_cells_and_as_wide_for_copies() -> None:
    draws = np.random.default_rng(0).normal(size=(20_000, 20))
    alone, all_of_them = max_t_width(draws[:, :1], 0.95)[0], max_t_width(draws, 0.95)[0]
    assert alone == pytest.approx(1.645, abs=0.05)
    assert all_of_them == pytest.approx(2.80, abs=0.05)  # the 0.95 ** (1 / 20) quantile of a normal
    assert max_t_width(np.repeat(draws[:, :1], 20, axis=1), 0.95)[0] == pytest.approx(alone)


def test_other_cases_are_refused_by_what_differs() -> None:
    labels, p = drawn(30, seed=5)
    whole = answers_of(labels, {"labs": p})
    with pytest.raises(ClinimmError, match="10 only of the first, 0 only of the second, such as case-2"):
        same_cases(whole, answers_of(labels[:20], {"labs": p[:20]}))
    with pytest.raises(ClinimmError, match="labels differ"):
        same_cases(whole, answers_of(~labels, {"labs": p}))
    same_cases(whole, whole)

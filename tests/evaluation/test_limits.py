"""An artifact's own limits: broken only where the cases can tell, and then with the cell named."""

import numpy as np
import pytest
import torch
from small_answers import answers_of, drawn

from clinimm import metrics
from clinimm.batch import Batch, ModalityBatch
from clinimm.errors import ConfigError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.limits import Limits, bin_parts, calibration_holds, coverage_holds, false_blocks_hold
from clinimm.types import InputState, Kind, Modality, Status


def test_bins_are_those_of_the_metric() -> None:
    rng = np.random.default_rng(0)
    for p in (rng.random(137), np.round(rng.random(137), 1), np.full(40, 0.3)):
        labels = rng.random(len(p)) < p
        parts = bin_parts(p)
        np.testing.assert_allclose(parts.sum(axis=1), 1)
        np.testing.assert_allclose(parts.sum(axis=0), len(p) / metrics.BINS)
        assert np.abs((labels - p) @ parts).sum() / len(p) == pytest.approx(metrics.ece(labels, p))


def test_a_calibrated_model_holds_even_where_few_cases_make_its_error_large() -> None:
    labels, p = drawn(60, seed=0)
    assert metrics.ece(labels, p) > 0.05
    [found] = calibration_holds(answers_of(labels, {"labs": p}), {}, 0.05, resamples=300, seed=0)
    assert found.holds


def test_calibrated_models_seldom_break_the_limit_though_there_are_many_cells() -> None:
    broken = 0
    for seed in range(25):
        labels, p = drawn(200, seed=seed)
        rng = np.random.default_rng(seed)
        groups = {f"g{i}": rng.random(200) < 0.5 for i in range(10)}
        [found] = calibration_holds(answers_of(labels, {"labs": p}), groups, 0.0, resamples=200, seed=seed)
        broken += not found.holds
    assert broken <= 5  # 1.25 expected of 25


def test_overconfidence_in_one_group_is_found_and_named() -> None:
    labels, p = drawn(900, seed=1)
    second = np.arange(900) >= 600
    wrong = np.where(second, np.clip(p + 0.25, 0, 1), p)
    groups = {"sex=M": ~second, "sex=F": second}
    [found] = calibration_holds(answers_of(labels, {"labs": wrong}), groups, 0.05, resamples=300, seed=0)
    assert found.holds is False
    assert "worst labs among sex=F" in found.told


def covering(share: float, n: int = 400, seed: int = 0) -> Answers:
    labels, p = drawn(n, seed=seed)
    plain = answers_of(labels, {"labs": p})
    covered = {"labs": np.random.default_rng(seed).permutation(np.arange(n) < share * n)[:, None]}
    return Answers(plain.scores, plain.probabilities, plain.flagged, covered=covered)


@pytest.mark.parametrize(("share", "holds"), [(0.97, True), (0.9, True), (0.87, True), (0.75, False), (0.0, False)])
def test_coverage_must_not_lie_surely_below_what_is_promised(share: float, holds: bool) -> None:
    [found] = coverage_holds(covering(share), {}, 0.9, 0.02, resamples=300, seed=0)
    assert found.holds is holds


def test_coverage_in_one_group_that_falls_short_is_named() -> None:
    whole, bad = covering(0.97), np.arange(400) >= 300
    whole.covered["labs"][bad] = covering(0.5, seed=1).covered["labs"][bad]
    [found] = coverage_holds(whole, {"site=A": ~bad, "site=B": bad}, 0.9, 0.02, resamples=300, seed=0)
    assert found.holds is False
    assert "worst labs among site=B" in found.told


def pictures(blocked: int, given: int, absent: int = 0) -> Batch:
    words = [Status.REJECTED] * blocked + [Status.PRESENT] * (given - blocked) + [Status.ABSENT] * absent
    n = len(words)
    part = ModalityBatch(
        values=torch.zeros(n, 1, 2, 2),
        present=torch.tensor([word is Status.PRESENT for word in words]),
        mask=None,
        quality=torch.zeros(n, 1),
        states=tuple(InputState(word) for word in words),
    )
    ids = tuple(str(i) for i in range(n))
    return Batch(ids, {"cxr": part}, torch.zeros(n, 1), torch.ones(n, 1, dtype=torch.bool))


@pytest.mark.parametrize(("blocked", "given", "holds"), [(0, 50, True), (3, 50, True), (8, 50, False), (2, 2, False)])
def test_good_pictures_must_be_let_through(blocked: int, given: int, holds: bool) -> None:
    film = Modality("cxr", Kind.IMAGE, (1, 2, 2))
    [found] = false_blocks_hold(pictures(blocked, given, absent=7), [film], 0.02)
    assert found.holds is holds
    assert f"{blocked} of {given} test pictures" in found.told


def test_no_picture_is_told_and_breaks_nothing() -> None:
    [found] = false_blocks_hold(pictures(0, 0, absent=3), [Modality("cxr", Kind.IMAGE, (1, 2, 2))], 0.02)
    assert found.holds is None


def test_limits_are_changed_by_name() -> None:
    assert Limits().but(["no_worse=0.01", "explained=3"]) == Limits(no_worse=0.01, explained=3)
    for wrong in ("none=1", "explained=many", "explained"):
        with pytest.raises(ConfigError, match="not a limit"):
            Limits().but([wrong])

"""An artifact's own limits: broken only where the cases can tell, and then with the cell named."""

import numpy as np
import pytest
from small_answers import answers_of, drawn

from clinimm import metrics
from clinimm.errors import ConfigError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.limits import Limits, bin_parts, calibration_holds, coverage_holds


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


def test_a_test_set_that_can_tell_nothing_lets_nothing_in() -> None:
    few = covering(1.0, n=12)
    assert calibration_holds(few, {}, 1.0, resamples=20, seed=0)[0].holds is False
    assert coverage_holds(few, {}, 0.9, 0.02, resamples=20, seed=0)[0].holds is False
    assert coverage_holds(answers_of(*_few()), {}, 0.9, 0.02, resamples=20, seed=0)[0].holds is False


def _few() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    labels, p = drawn(200, seed=0)
    return labels, {"labs": p}


def test_limits_are_changed_by_name() -> None:
    assert Limits().but(["no_worse=0.01", "explained=3"]) == Limits(no_worse=0.01, explained=3)
    for wrong in ("none=1", "explained=many", "explained"):
        with pytest.raises(ConfigError, match="not a limit"):
            Limits().but([wrong])

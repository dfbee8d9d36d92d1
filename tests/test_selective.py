"""Selection by confidence, worked by hand, against the definition, and on answers that are sure of the wrong cases."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from clinimm.selective import (
    aurc,
    confidence,
    excess_aurc,
    judge_selection,
    risks_at,
    weighted_aurc,
    weighted_coverage_at,
    weighted_rise,
)

ONCE = np.ones((1, 4))
LOSSES, SURE = np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.1, 0.9, 0.8, 0.4])


def by_definition(losses: np.ndarray, sure: np.ndarray) -> float:
    """Mean over the orders of tied cases of the mean risk of the first 1, 2, ... n."""
    surest_first = (list(o) for o in permutations(range(len(losses))) if list(-sure[list(o)]) == sorted(-sure))
    counts = np.arange(1, len(losses) + 1)
    return float(np.mean([np.mean(np.cumsum(losses[order]) / counts) for order in surest_first]))


def test_by_hand() -> None:
    assert aurc(LOSSES, SURE) == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert excess_aurc(LOSSES, SURE) == pytest.approx(0)
    assert excess_aurc(LOSSES, -SURE) == pytest.approx((1 + 1 + 2 / 3 + 2 / 4) / 4 - (1 / 3 + 2 / 4) / 4)
    assert risks_at(LOSSES, SURE, ONCE, [0.5, 0.75, 1])[0] == pytest.approx([0, 1 / 3, 1 / 2])
    assert weighted_coverage_at(LOSSES, SURE, ONCE, 0.0)[0] == 0.5
    assert weighted_coverage_at(LOSSES, SURE, ONCE, 0.4)[0] == 0.75
    assert weighted_coverage_at(LOSSES, -SURE, ONCE, 0.4)[0] == 0
    assert weighted_rise(LOSSES, SURE, ONCE)[0] == 0
    assert weighted_rise(LOSSES, -SURE, ONCE)[0] == pytest.approx(0.5)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=6))
def test_the_area_is_the_mean_over_every_order_of_tied_cases(cases: list[tuple[int, float]]) -> None:
    sure, losses = np.array([float(s) for s, _ in cases]), np.array([loss for _, loss in cases])
    assert aurc(losses, sure) == pytest.approx(by_definition(losses, sure), abs=1e-9)


def test_a_weight_is_a_copy_and_zero_is_none() -> None:
    rng = np.random.default_rng(0)
    losses, sure = rng.random(30), rng.integers(0, 9, 30).astype(float)
    weights = rng.integers(0, 3, (2, 30)).astype(float)
    for row in weights:
        times = row.astype(int)
        copied = np.repeat(losses, times), np.repeat(sure, times)
        assert weighted_aurc(losses, sure, row[None])[0] == pytest.approx(aurc(*copied))
        assert risks_at(losses, sure, row[None], [0.3])[0, 0] == pytest.approx(
            risks_at(*copied, np.ones((1, times.sum())), [0.3])[0, 0]
        )
    assert np.isnan(weighted_aurc(losses, sure, np.zeros((1, 30)))).all()


def test_at_one_half_confidence_sorts_as_the_larger_probability_does() -> None:
    p = np.random.default_rng(0).random(50)
    assert np.array_equal(np.argsort(confidence(p)), np.argsort(np.maximum(p, 1 - p)))
    assert np.argmin(confidence(np.array([0.1, 0.2, 0.5]), 0.2)) == 1


def test_an_honest_probability_falls_in_risk_and_a_sure_fool_is_caught() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=1500) * 2
    labels = rng.random(1500) < expit(truth)
    ids = tuple(f"p{i // 2}" for i in range(1500))
    honest = judge_selection(labels, expit(truth), ids, bootstrap=100, seed=0)
    fooled = np.where(np.abs(truth) > 2.5, -truth, truth)
    fool = judge_selection(labels, expit(fooled), ids, bootstrap=100, seed=0)
    assert honest.monotone
    assert not fool.monotone
    assert honest.risks[0.2].value < honest.risks[0.6].value < honest.risks[1.0].value
    assert honest.aurc.high < fool.aurc.low
    assert honest.coverages[0.1].value > 0.4
    record = honest.record()
    assert record["monotone"] is True
    assert record["risk_at_coverage"]["1"]["value"] == pytest.approx(((truth >= 0) != labels).mean(), abs=1e-6)

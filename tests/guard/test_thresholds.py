"""Thresholds keep the rates that were asked for, whatever the scores look like."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinimm.guard.judgement import Thresholds, Verdict

DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy": lambda rng, n: rng.standard_cauchy(n),
    "ties": lambda rng, n: rng.integers(0, 30, n).astype(float),
}


@pytest.mark.parametrize("shape", DRAWS)
def test_new_valid_inputs_are_flagged_and_blocked_as_often_as_asked(shape: str) -> None:
    """Averaged over 400 cohorts: the promise is of the mean over references and a new input."""
    rng, draw = np.random.default_rng(0), DRAWS[shape]
    flagged, blocked = [], []
    for _ in range(400):
        thresholds = Thresholds.fit(torch.from_numpy(draw(rng, 150)), flags=0.1, blocks=0.02)
        new = draw(rng, 200)
        flagged.append((new > thresholds.flag).mean())
        blocked.append((new > thresholds.block).mean())
    assert np.mean(flagged) <= 0.1 + 0.005
    assert np.mean(blocked) <= 0.02 + 0.003
    if shape != "ties":
        assert np.mean(flagged) >= 0.085


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60),
    st.floats(0.02, 0.4),
    st.floats(0.1, 1),
    st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=8),
)
def test_odder_is_never_judged_milder(scores: list[float], flags: float, part: float, new: list[float]) -> None:
    thresholds = Thresholds.fit(torch.tensor(scores).double(), flags, flags * part)
    judged = [thresholds.judge(score, ("odd",)) for score in sorted(new)]
    order = [Verdict.OK, Verdict.FLAG, Verdict.BLOCK]
    levels = [order.index(judgement.verdict) for judgement in judged]
    assert levels == sorted(levels)
    percentiles = [judgement.percentile for judgement in judged]
    assert percentiles == sorted(percentiles)
    assert all(
        judgement.reasons == (() if level == 0 else ("odd",)) for judgement, level in zip(judged, levels, strict=True)
    )


def test_without_a_rate_nothing_is_blocked_and_the_record_says_so() -> None:
    thresholds = Thresholds.fit(torch.arange(100).double(), 0.05, None)
    assert thresholds.judge(math.inf, ("odd",)).verdict is Verdict.FLAG
    assert Thresholds.restore(thresholds.references, thresholds.record()).block == math.inf


def test_with_few_references_only_what_lies_far_beyond_them_is_blocked() -> None:
    thresholds = Thresholds.fit(torch.arange(21).double(), 0.1, 0.01)
    assert [thresholds.judge(score, ()).verdict for score in (20.0, 29.9, 30.1)] == [
        Verdict.FLAG, Verdict.FLAG, Verdict.BLOCK,
    ]  # fmt: skip

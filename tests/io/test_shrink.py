"""Averages over blocks, and a wavelet's low band made to stand for them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.io.shrink import block_mean, last_halving, shrink_factor


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.sampled_from(["u1", "u2", "i2", "u4", "f4"]))
def test_a_block_mean_is_the_mean_of_each_block(rows: int, columns: int, factor: int, dtype: str) -> None:
    height, width = rows // factor, columns // factor
    frame = np.random.default_rng(0).integers(0, 200, (rows, columns)).astype(dtype)
    blocks = frame[: height * factor, : width * factor].reshape(height, factor, width, factor)
    expected = blocks.mean((1, 3), dtype=float) if height and width else np.zeros((height, width))
    np.testing.assert_allclose(block_mean(frame, factor), expected, rtol=1e-6)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600))
def test_the_shorter_side_keeps_what_was_asked_for(rows: int, columns: int, at_least: int) -> None:
    factor = shrink_factor(rows, columns, at_least)
    short = min(rows, columns)
    assert short // factor >= min(at_least, short)
    assert short // (2 * factor) < at_least
    assert shrink_factor(rows, columns, None) == 1


def test_large_values_do_not_overflow() -> None:
    assert block_mean(np.full((512, 512), 65535, np.uint16), 512)[0, 0] == 65535


def test_with_no_levels_the_last_halving_is_the_block_mean() -> None:
    band = np.random.default_rng(0).normal(size=(10, 14)).astype(np.float32)
    np.testing.assert_allclose(last_halving(band, 0, -0.5), block_mean(band, 2), atol=1e-6)


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_a_ramp_keeps_its_place(levels: int) -> None:
    """Sample n of a low band lies on pixel n * 2**levels; the result must lie in the middle of each block."""
    step = 1 << levels
    ramp = np.add.outer(np.arange(0, 64, step), np.arange(0, 64, step)).astype(np.float32)
    centers = np.arange(0, 64, 2 * step) + step - 0.5
    expected = np.add.outer(centers, centers)
    np.testing.assert_allclose(last_halving(ramp, levels, -0.5)[:-1, :-1], expected[:-1, :-1], rtol=1e-5)

"""Smoothed maps: the same sum, the same zeros, the same place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clinimm.attribution.smoothing import SCALE, smoothed

SHAPES = st.one_of(
    st.tuples(st.integers(1, 2), st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.just(1), st.integers(1, 14), st.integers(1, 14), st.integers(1, 3)),
)
VALUES = st.one_of(st.just(0.0), st.floats(-1, 1, width=32).filter(lambda value: abs(value) > 1e-6))


@given(st.data())
def test_a_smoothed_map_keeps_each_channel_s_sum_and_every_zero(data: st.DataObject) -> None:
    given_map = data.draw(arrays(np.float32, data.draw(SHAPES), elements=VALUES))
    found = smoothed(given_map)
    assert (found.shape, found.dtype) == (given_map.shape, given_map.dtype)
    assert not found[given_map == 0].any()
    inside = tuple(range(1, given_map.ndim))
    scale = np.abs(given_map).sum(dtype=np.float64) + 1
    np.testing.assert_allclose(found.sum(inside, np.float64), given_map.sum(inside, np.float64), atol=1e-6 * scale)


def test_a_point_becomes_a_gaussian_around_itself_and_reaches_no_padding() -> None:
    point = np.full((1, 100, 100), 1e-12)
    point[0, 40, 50], point[0, :, 55:] = 1.0, 0.0
    found = smoothed(point)[0]
    assert np.unravel_index(found.argmax(), found.shape) == (40, 50)
    assert not found[:, 55:].any()
    np.testing.assert_allclose(found[44, 40:50] / found[40, 40:50], np.exp(-0.5 * (4 / (100 * SCALE)) ** 2), 1e-3)


def test_a_picture_of_few_pixels_stays_as_it_is() -> None:
    coarse = np.random.default_rng(0).normal(size=(1, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(smoothed(coarse), coarse)

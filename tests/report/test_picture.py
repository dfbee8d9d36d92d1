import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clinimm.data.geometry import Geometry, geometry_of
from clinimm.data.picture import place
from clinimm.io.scan_types import Orientation
from clinimm.report.picture import LONGEST_SIDE, LOWERS, RAISES, Film, by_slice, draw, overlay


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def film_of(values: np.ndarray, grid: tuple[int, ...] | None = None, crop=None, shrunk: int = 1, **known) -> Film:
    """A film on a grid of its own size unless told otherwise, as if `shrunk` while it was read."""
    facts = {"rows": values.shape[0] * shrunk, "columns": values.shape[1] * shrunk, "shrunk_by": shrunk}
    facts["slices"] = values.shape[-1]
    by = (shrunk, shrunk, 1)[: values.ndim]
    return Film(values, by, geometry_of(place(values.shape, grid or values.shape, crop), facts), **known)


def test_red_raises_blue_lowers_and_zero_is_transparent():
    colors = overlay(np.array([[1.0, -1.0, 0.0, 0.5, -9.0]]), limit=1.0)[0]
    assert [tuple(c[:3]) for c in colors[:2]] == [RAISES, LOWERS]
    assert colors[:, 3].tolist() == [230, 230, 0, 115, 230]


def test_an_empty_map_colors_nothing():
    picture = draw(film_of(np.full((6, 5), 0.5)), np.zeros((6, 5)))
    assert picture.limit == picture.padding == 0
    assert pixels(picture.views[0].heat)[..., 3].max() == 0
    assert picture.views[0].peak is None


def test_a_hot_spot_stays_where_it_was():
    heat = np.zeros((40, 30))
    heat[31, 7] = -2.0
    [view] = draw(film_of(np.zeros((40, 30))), heat).views
    assert view.peak == (31, 7)
    assert tuple(pixels(view.heat)[31, 7][:3]) == LOWERS


def test_the_film_keeps_its_grays():
    film = np.linspace(0, 1, 256).reshape(16, 16)
    [view] = draw(film_of(film)).views
    assert view.heat is None
    assert (pixels(view.film).ravel() == np.arange(256)).all()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(30, 300), st.floats(0.6, 1.6), st.integers(16, 48), st.booleans(), st.sampled_from([1, 2, 4]))
def test_rep_11_the_drawn_map_lies_on_the_film_within_a_stored_pixel(rows, ratio, side, cropped, shrunk):
    film = film_of(np.zeros((rows, int(rows * ratio))), (side, side), (0.1, 0.2, 0.9, 0.9) if cropped else None, shrunk)
    geometry = film.geometry
    heat = np.zeros((side, side))
    heat[geometry.first[0], geometry.first[1] + geometry.cells[1] - 1] = 1.0  # the corner of what shows the film
    [view] = draw(film, heat).views
    top, left, bottom, right = view.box
    drawn = pixels(view.heat)
    step = (bottom - top) / drawn.shape[0], (right - left) / drawn.shape[1]
    wanted = geometry.to_stored((geometry.first[0], geometry.first[1] + geometry.cells[1] - 1))
    assert (top + step[0] / 2 - 0.5, right - step[1] / 2 - 0.5) == pytest.approx(wanted, abs=1e-9)
    assert drawn[0, -1, 3] == drawn[..., 3].max() > 0
    assert view.peak == pytest.approx(wanted, abs=1e-9)
    assert 0 <= top < bottom <= view.size[0]
    assert 0 <= left < right <= view.size[1]


def test_what_lies_on_the_padding_is_told_and_not_drawn():
    heat = np.zeros((20, 20))
    heat[0, 0], heat[10, 10] = 3.0, 1.0  # the first is beside the film, which is narrow
    picture = draw(film_of(np.zeros((40, 20)), (20, 20)), heat)
    assert picture.padding == pytest.approx(0.75)
    assert pixels(picture.views[0].heat).shape == (20, 10, 4)
    assert picture.views[0].peak == pytest.approx((20.5, 10.5), abs=1.0)


def test_planes_of_a_volume_cross_in_its_peak_with_the_head_on_top():
    volume, heat = np.random.default_rng(0).random((12, 10, 8)), np.zeros((12, 10, 8))
    heat[9, 2, 5] = 1.0
    flat = Orientation(row=(1, 0, 0), column=(0, 1, 0), normal=(0, 0, 1))
    views = draw(film_of(volume, spacing_mm=(0.5, 0.5, 3.0), orientation=flat), heat).views
    assert [view.name for view in views] == [
        "slice 6 of 8", "through all slices at row 10 of 12", "through all slices at column 3 of 10",
    ]  # fmt: skip
    assert [view.peak for view in views] == [(9, 2), (2, 2), (2, 9)]
    assert [view.letters for view in views] == [tuple("ALPR"), tuple("HLFR"), tuple("HPFA")]
    assert [view.spacing_mm for view in views] == [(0.5, 0.5), (3.0, 0.5), (3.0, 0.5)]
    assert pixels(views[1].film) == pytest.approx(volume[9].T[::-1] * 255, abs=0.51)
    for view in views:
        at = tuple(int(i) for i in view.peak)
        assert pixels(view.heat)[at][3] == 230


def test_six_hundred_slices_make_three_small_pictures():
    volume = np.random.default_rng(0).random((64, 64, 600))
    views = draw(film_of(volume, (16, 16, 8)), np.random.default_rng(1).normal(size=(16, 16, 8))).views
    assert sum(len(view.film) + len(view.heat) for view in views) < 200_000
    wide = draw(film_of(np.random.default_rng(0).random((900, 2000)))).views[0]
    assert max(pixels(wide.film).shape) == LONGEST_SIDE
    assert wide.size == (900, 2000)


def test_a_turned_file_s_axes_are_followed_back():
    geometry = Geometry((40, 30), (0, 0), (40, 30), (0, 0), (40, 30), axes=(2, -1))
    assert geometry.in_file((3.0, 5.0)) == (24.0, 3.0)


def test_the_same_pixels_give_the_same_text():
    film = np.random.default_rng(1).random((9, 9))
    assert draw(film_of(film), film - 0.5) == draw(film_of(film), film - 0.5)


@given(cells=st.integers(1, 9), slices=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_layers_of_a_volume_sum_to_its_map_and_lie_on_its_slices(cells, slices, seed):
    rng = np.random.default_rng(seed)
    film = film_of(rng.random((6, 5, slices)), (6, 5, cells))
    heat = rng.normal(size=(6, 5, cells))
    layers = by_slice(film, heat)
    shown = film.geometry.of_picture(heat)
    assert sum(one.net for one in layers) == pytest.approx(shown.sum(), abs=1e-9)
    assert sum(one.gross for one in layers) == pytest.approx(np.abs(shown).sum(), abs=1e-9)
    middles = [one.middle for one in layers]
    assert middles == sorted(middles)
    assert -0.5 <= middles[0] <= middles[-1] <= slices - 0.5


def test_a_film_has_no_layers():
    assert by_slice(film_of(np.zeros((4, 4))), np.zeros((4, 4))) == ()

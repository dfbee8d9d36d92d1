import base64
import io

import numpy as np
import pytest
from PIL import Image

from clinimm.report.picture import LOWERS, RAISES, draw, overlay


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def test_red_raises_blue_lowers_and_zero_is_transparent():
    colors = overlay(np.array([[1.0, -1.0, 0.0, 0.5, -9.0]]), limit=1.0)[0]
    assert [tuple(c[:3]) for c in colors[:2]] == [RAISES, LOWERS]
    assert colors[:, 3].tolist() == [230, 230, 0, 115, 230]


def test_an_empty_map_colors_nothing():
    picture = draw(np.full((6, 5), 0.5), np.zeros((6, 5)))
    assert picture.limit == 0
    assert pixels(picture.views[0].heat)[..., 3].max() == 0
    assert picture.views[0].peak is None


def test_a_hot_spot_stays_where_it_was():
    heat = np.zeros((40, 30))
    heat[31, 7] = -2.0
    [view] = draw(np.zeros((40, 30)), heat).views
    assert view.peak == (31, 7)
    assert tuple(pixels(view.heat)[31, 7][:3]) == LOWERS


def test_the_film_keeps_its_grays():
    film = np.linspace(0, 1, 256).reshape(16, 16)
    [view] = draw(film, None).views
    assert view.heat is None
    assert (pixels(view.film).ravel() == np.arange(256)).all()


def test_planes_of_a_volume_cross_in_its_peak():
    volume, heat = np.random.default_rng(0).random((12, 10, 8)), np.zeros((12, 10, 8))
    heat[9, 2, 5] = 1.0
    views = draw(volume, heat).views
    assert [view.name for view in views] == [
        "slice 6 of 8", "through all slices at row 10 of 12", "through all slices at column 3 of 10",
    ]  # fmt: skip
    assert [view.peak for view in views] == [(9, 2), (5, 2), (5, 9)]
    assert pixels(views[1].film) == pytest.approx(volume[9].T * 255, abs=0.51)


def test_the_same_pixels_give_the_same_text():
    film = np.random.default_rng(1).random((9, 9))
    assert draw(film, film - 0.5) == draw(film, film - 0.5)

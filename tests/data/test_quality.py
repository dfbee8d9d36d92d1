"""Quality features are finite and bounded for any picture, and each moves the way it is named for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor

from clinimm.data.quality import QUALITIES
from clinimm.data.quality.age import age_quality
from clinimm.data.quality.note import NOTE, note_quality
from clinimm.data.quality.panel import panel_quality
from clinimm.data.quality.picture import PICTURE, noise, picture_quality, sharpness
from clinimm.types import Kind


def of(picture: Tensor, **facts: object) -> dict[str, float]:
    return dict(zip(PICTURE, picture_quality(picture, picture, facts).tolist(), strict=True))


def anatomy(height: int = 200, width: int = 160, seed: int = 0) -> Tensor:
    """Smooth shapes of several sizes on black, as a film has them."""
    rng = np.random.default_rng(seed)
    made = sum(gaussian_filter(rng.normal(size=(height, width)), s) * s for s in (1.5, 4, 12))
    made = (made - made.min()) / np.ptp(made)
    rows, columns = np.hanning(height)[:, None], np.hanning(width)[None]
    return torch.from_numpy((made * np.sqrt(rows * columns)).astype(np.float32))


def test_the_age_comes_last_in_every_kind() -> None:
    assert set(QUALITIES) == set(Kind)
    assert all(names[-2:] == ("age_days", "age_unknown") for names in QUALITIES.values())
    assert all(len(set(names)) == len(names) for names in QUALITIES.values())


@settings(derandomize=True, max_examples=120, deadline=None)
@given(st.data())
def test_any_picture_has_finite_and_bounded_features(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 70), min_size=2, max_size=3))
    fill = data.draw(st.sampled_from(["even", "two tones", "noise", "steps", "checkers"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = {
        "even": np.full(shape, data.draw(st.floats(0, 1))),
        "two tones": rng.integers(0, 2, shape).astype(float),
        "noise": rng.random(shape),
        "steps": np.linspace(0, 1, math.prod(shape)).reshape(shape),
        "checkers": np.indices(shape).sum(0) % 2 * 1.0,
    }[fill]
    found = picture_quality(torch.from_numpy(pixels).float(), torch.from_numpy(pixels).float(), {})
    assert len(found) == len(PICTURE)
    assert torch.isfinite(found).all()
    assert found.abs().max() <= 2


def test_a_picture_of_one_color_has_no_contrast_and_no_entropy() -> None:
    found = of(torch.full((80, 60), 0.4))
    assert all(found[name] < 1e-3 for name in ("contrast", "entropy", "noise", "sharpness", "clipped", "lettering"))
    assert found["border"] == 1


def test_blur_lowers_sharpness_whatever_the_exposure() -> None:
    film = anatomy()
    blurred = torch.from_numpy(gaussian_filter(film.numpy(), 3))
    assert of(blurred)["sharpness"] < 0.6 * of(film)["sharpness"]
    assert of(0.3 + 0.3 * film)["sharpness"] == pytest.approx(of(film)["sharpness"], rel=1e-3)


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.2])
def test_the_noise_is_found_beside_edges(sigma: float) -> None:
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.linspace(0, 1, 200), np.linspace(0, 1, 200) > 0.5) / 2
    noisy = torch.from_numpy(ramp + rng.normal(0, sigma, ramp.shape)).float()
    assert noise(torch.from_numpy(ramp).float()) < 1e-6
    assert noise(noisy) == pytest.approx(sigma, rel=0.05)


def test_white_noise_is_as_sharp_as_it_gets() -> None:
    white = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, 300, 300))).float()
    assert sharpness(white) == pytest.approx(0.1, rel=0.03)


def test_exposure_and_clipping_are_told_apart() -> None:
    film = anatomy() * 0.6 + 0.2
    dark, bright, clipped = of(film**4), of(film**0.1), of((film * 3 - 1).clamp(0, 1))
    assert dark["dark"] > of(film)["dark"] + 0.2
    assert bright["bright"] > of(film)["bright"] + 0.2
    assert dark["brightness"] < of(film)["brightness"] < bright["brightness"]
    assert clipped["clipped"] > 0.1 > of(film)["clipped"]


def test_a_border_and_a_tight_crop_are_told() -> None:
    film = anatomy()
    bordered = torch.nn.functional.pad(film, (40, 40, 50, 50))
    assert of(bordered)["border"] == pytest.approx(1 - (200 * 160) / (300 * 240), abs=0.08)
    assert of(film[60:140, 50:110])["cut_off"] > of(film)["cut_off"] + 0.4
    assert of(torch.rand(100, 200))["aspect"] == pytest.approx(-math.log(2))


@pytest.mark.parametrize("ink", [1.0, 0.0])
def test_letters_near_the_edge_are_told_and_cables_across_are_not(ink: float) -> None:
    film = 0.45 + 0.2 * anatomy(400, 400)
    lettered, cabled = film.clone(), film.clone()
    for stroke in range(8):  # eight upright strokes, as of "lllllll"
        lettered[10:24, 12 + 6 * stroke : 14 + 6 * stroke] = ink
    for cable in range(8):
        cabled[:, 60 + 30 * cable : 62 + 30 * cable] = ink
    assert of(lettered)["lettering"] > 0.6
    assert of(film)["lettering"] < 0.1
    assert of(cabled)["lettering"] < 0.3
    assert of(torch.rand(400, 400))["lettering"] < 0.5


def test_the_header_tells_gaps_duplicates_and_the_view() -> None:
    film = anatomy()
    series = of(film, slices=8, missing_slices=2, duplicate_slices=8)
    assert (series["gaps"], series["duplicates"]) == (pytest.approx(0.2), 0.5)
    views = ("view_pa", "view_ap", "view_lateral", "view_unknown")
    told = {view: [of(film, view=view)[name] for name in views] for view in ("PA", "AP", "RL", "MLO", None)}
    expected = {"PA": [1, 0, 0, 0], "AP": [0, 1, 0, 0], "RL": [0, 0, 1, 0], "MLO": [0, 0, 0, 0], None: [0, 0, 0, 1]}
    assert told == expected


def test_large_pictures_are_measured_as_small_ones_are() -> None:
    film = anatomy(240, 240)
    large = torch.nn.functional.interpolate(film[None, None], scale_factor=5, mode="bilinear")[0, 0]
    seen = torch.nn.functional.interpolate(film[None, None], size=(64, 64), mode="area")[0, 0]
    small_one, large_one = (picture_quality(seen, stored, {}) for stored in (film, large))
    names = ("border", "cut_off", "lettering", "contrast")
    assert all(abs(small_one[PICTURE.index(n)] - large_one[PICTURE.index(n)]) < 0.05 for n in names)


@pytest.mark.parametrize(("days", "expected"), [(None, [0, 1]), (0.5, [0.5, 0]), (-3.0, [0, 0]), (1e9, [36_525, 0])])
def test_the_age_is_in_days(days: float | None, expected: list[float]) -> None:
    assert age_quality(days).tolist() == expected


@given(st.integers(0, 5000), st.integers(8, 512), st.floats(0, 1), st.floats(0, 1))
def test_notes_and_panels_have_shares(pieces: int, length: int, unknown: float, language: float) -> None:
    found = note_quality(pieces, length, unknown, language)
    assert len(found) == len(NOTE)
    assert ((found >= 0) & (found <= 1)).all()
    shares = panel_quality(pieces % 7, pieces, 6 + pieces % 3)
    assert ((shares >= 0) & (shares <= 1)).all()

"""The drawn sign lies where the evidence says, and nowhere else."""

import numpy as np
import pytest

from clinimm.data.synthetic.film import draw_anatomy, draw_film
from clinimm.data.synthetic.region import Ellipse
from clinimm.data.synthetic.volume import draw_build, draw_volume

SEEDS = range(6)


def film(seed: int, *shown: str) -> tuple[np.ndarray, dict[str, Ellipse]]:
    anatomy = draw_anatomy(np.random.default_rng([0, seed]))
    picture = draw_film(np.random.default_rng([1, seed]), anatomy, frozenset(shown))
    return picture.brightness, picture.regions


def volume(seed: int, *shown: str) -> tuple[np.ndarray, dict[str, Ellipse]]:
    build = draw_build(np.random.default_rng([0, seed]))
    scan = draw_volume(np.random.default_rng([1, seed]), build, frozenset(shown))
    return scan.hounsfield, scan.regions


@pytest.mark.parametrize("draw", [film, volume])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_patch_of_pneumonia_lies_within_its_region(draw, seed: int) -> None:
    with_patch, regions = draw(seed, "pneumonia")
    without, _ = draw(seed)
    change = np.abs(with_patch - without)
    assert change[regions["pneumonia"].mask(scale=1.6)].sum() > 0.9 * change.sum()
    inside = regions["pneumonia"].mask(scale=0.8)
    assert change[inside].mean() > 5 * change[~inside].mean()


@pytest.mark.parametrize("draw", [film, volume])
@pytest.mark.parametrize("seed", SEEDS)
def test_heart_failure_shows_as_a_heart_half_as_large_again(draw, seed: int) -> None:
    _, failing = draw(seed, "heart_failure")
    _, healthy = draw(seed)
    widths = [regions["heart_failure"].radii[1] for regions in (failing, healthy)]
    assert 1.25 < widths[0] / widths[1] < 1.7


def test_no_patch_no_region() -> None:
    assert set(film(0)[1]) == set(volume(0)[1]) == {"heart_failure"}


def test_films_have_dark_lungs_a_bright_spine_and_stay_in_range() -> None:
    for seed in SEEDS:
        pixels, _ = film(seed)
        h, w = pixels.shape
        row = pixels[h // 2]
        lung, spine = row[int(0.2 * w) : int(0.3 * w)].mean(), row[int(0.47 * w) : int(0.53 * w)].mean()
        assert 0 <= pixels.min() < lung < spine - 0.2 < pixels.max() <= 1


def test_volumes_hold_air_lung_tissue_and_bone() -> None:
    pixels, _ = volume(0)
    assert pixels.shape == (64, 64, 32)
    for low, high in ((-1100, -930), (-900, -700), (-60, 120), (350, 650)):
        assert ((pixels > low) & (pixels < high)).mean() > 0.01


def test_a_region_keeps_its_share_of_the_picture_when_resized() -> None:
    ellipse = Ellipse(center=(60.0, 90.0), radii=(30.0, 24.0), shape=(200, 160))
    stored, resized = ellipse.mask(), ellipse.mask((64, 64))
    assert stored.mean() == pytest.approx(resized.mean(), rel=0.05)
    assert stored.sum() == pytest.approx(np.pi * 30 * 24, rel=0.02)
    rows, columns = np.nonzero(resized)
    assert rows.mean() == pytest.approx((60.5 / 200) * 64 - 0.5, abs=0.2)
    assert columns.mean() == pytest.approx((90.5 / 160) * 64 - 0.5, abs=0.2)

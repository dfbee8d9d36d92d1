"""Chest-like films: a torso, two lungs, mediastinum, heart, ribs and diaphragm as soft shapes that add up, as the
shadows on a radiograph do.

Coordinates: `v` runs from 0 at the top to 1 at the bottom, `u` from -1 to 1 across with 0 at the midline. The
patient's right is on the left of the picture, as films are hung. Brightness is 0 for air and 1 for bone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

Map = Float[np.ndarray, "h w"]


@dataclass(frozen=True)
class Ellipse:
    """A region in voxels of the stored grid: center and radii as (row, column), or (row, column, slice)."""

    center: tuple[float, ...]
    radii: tuple[float, ...]


@dataclass(frozen=True)
class Anatomy:
    """What stays the same over the visits of a patient; `shape` is (rows, columns)."""

    shape: tuple[int, int]
    breadth: float
    apex: float
    base: float
    heart: float
    ribs: float


@dataclass(frozen=True)
class Picture:
    """Brightness in [0, 1], and where each target's sign was drawn."""

    brightness: Map
    signs: dict[str, Ellipse]


@dataclass(frozen=True)
class Grid:
    """Coordinates of every pixel, and where the lungs lie among them."""

    u: Map
    v: Map
    lungs: Map
    torso: Map

    def in_pixels(self, center: tuple[float, float], radii: tuple[float, float]) -> Ellipse:
        """An upright ellipse given in (u, v), as it lies on the stored grid."""
        step_u, step_v = self.u[0, 1] - self.u[0, 0], self.v[1, 0] - self.v[0, 0]
        row, column = (center[1] - self.v[0, 0]) / step_v, (center[0] - self.u[0, 0]) / step_u
        return Ellipse(
            (round(float(row), 1), round(float(column), 1)),
            (round(float(radii[1] / step_v), 1), round(float(radii[0] / step_u), 1)),
        )


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    return Anatomy(
        shape=(int(rng.integers(208, 257)), int(rng.integers(192, 249))),
        breadth=rng.uniform(0.92, 1.04),
        apex=rng.uniform(0.09, 0.14),
        base=rng.uniform(0.73, 0.79),
        heart=rng.uniform(0.31, 0.37),
        ribs=rng.uniform(0.7, 1.2),
    )


def draw_film(rng: np.random.Generator, anatomy: Anatomy, shown: frozenset[str]) -> Picture:
    """A film of the chest with the signs of the targets in `shown`: a lung opacity for pneumonia, a large heart for
    heart failure. Things that mean nothing (electrodes, a calcified node in the armpit) lie outside the lungs."""
    grid = _place(rng, anatomy)
    signs = {}
    heart, heart_region = _heart(rng, grid, anatomy, "heart_failure" in shown)
    opacity, opacity_region = _opacity(rng, grid)
    if "heart_failure" in shown:
        signs["heart_failure"] = heart_region
    if "pneumonia" in shown:
        signs["pneumonia"] = opacity_region
    film = _soft_tissue(grid, heart) + _bones(grid, anatomy) + _vessels(rng, grid) * (1 - heart)
    film += opacity * ("pneumonia" in shown) + _bystanders(rng, grid)
    return Picture(_expose(rng, film, grid), signs)


def _place(rng: np.random.Generator, anatomy: Anatomy) -> Grid:
    """The patient's stance differs a little from film to film."""
    h, w = anatomy.shape
    shift_u, shift_v, breath = rng.uniform(-0.05, 0.05), rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)
    v, u = np.mgrid[0 : 1 : complex(h), -1 : 1 : complex(w)]
    u, v = (u - shift_u) / anatomy.breadth, v - shift_v
    right = _lung(-u, v, anatomy.apex, anatomy.base + breath - 0.025)
    left = _lung(u, v, anatomy.apex, anatomy.base + breath)
    return Grid(u, v, np.maximum(right, left), _torso(u, v))


def _edge(distance: Map, width: float) -> Map:
    """1 inside, 0 outside, soft over `width`."""
    return 1 / (1 + np.exp(-np.clip(distance / width, -30, 30)))


def _lung(a: Map, v: Map, apex: float, base: float) -> Map:
    """One lung; `a` grows from the midline outward."""
    rise = np.clip((base + 0.12 - v) / (base + 0.12 - apex), 0, 1.2)
    lateral = 0.79 * (1 - rise**3.2) - a
    medial = a - (0.13 + 0.05 * np.exp(-(((v - 0.42) / 0.12) ** 2)))
    dome = base + 0.13 * ((a - 0.36) / 0.45) ** 2 - v
    return _edge(np.minimum(np.minimum(lateral, medial), 1.4 * dome), 0.014)


def _torso(u: Map, v: Map) -> Map:
    neck = 0.30 + 0.02 * np.sin(v * 9)
    shoulders = 0.30 + 0.95 * np.clip((v - 0.03) / 0.16, 0, 1) ** 0.7
    flank = np.where(v > 0.30, 1.25 - 0.32 * np.clip((v - 0.30) / 0.16, 0, 1), 9.0)
    return _edge(np.minimum(np.maximum(neck, shoulders), flank) - np.abs(u), 0.012)


def _blob(grid: Grid, center: tuple[float, float], radii: tuple[float, float], power: float = 2.0) -> Map:
    distance = np.abs((grid.u - center[0]) / radii[0]) ** 2 + np.abs((grid.v - center[1]) / radii[1]) ** 2
    return np.exp(-(distance ** (power / 2)))


def _heart(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, large: bool) -> tuple[Map, Ellipse]:
    """Half the chest wide is healthy; beyond that the heart is large (cardiothoracic ratio over 0.5)."""
    width = anatomy.heart * (rng.uniform(1.38, 1.55) if large else rng.uniform(0.96, 1.06))
    center, radii = (0.10 + 0.10 * (width - 0.3), anatomy.base - 0.13), (width, 0.12 + 0.20 * width)
    slant = (grid.u - center[0]) + 0.45 * (grid.v - center[1])
    rise = (grid.v - center[1]) - 0.16 * (grid.u - center[0])
    distance = 1 - np.sqrt((slant / radii[0]) ** 2 + (rise / radii[1]) ** 2)
    return _edge(distance, 0.035), grid.in_pixels(center, radii)


def _soft_tissue(grid: Grid, heart: Map) -> Map:
    u, v = grid.u, grid.v
    abdomen = _edge(v - 0.80 - 0.05 * u, 0.03)
    mediastinum = np.exp(-((np.abs(u) / 0.16) ** 4)) * (0.75 + 0.25 * v)
    knob = _blob(grid, (0.17, 0.33), (0.085, 0.05), 4)
    trachea = np.exp(-((u / 0.045) ** 2)) * _edge(0.34 - v, 0.02)
    bubble = _blob(grid, (0.42, 0.90), (0.16, 0.05), 3)
    base = 0.50 + 0.08 * v + 0.10 * abdomen - 0.10 * np.clip(np.abs(u) - 0.75, 0, 1)
    dense = np.maximum(np.maximum(heart * 0.85, mediastinum), knob * 0.8)
    lung = grid.lungs * (1 - 0.97 * dense)
    return base + 0.10 * dense - 0.36 * lung - 0.12 * trachea - 0.10 * bubble * abdomen


def _bones(grid: Grid, anatomy: Anatomy) -> Map:
    """Ribs run outward and down at the back, inward and down at the front; collar bones; the spine's steps."""
    u, v, a = grid.u, grid.v, np.abs(grid.u)
    cage = gaussian_filter(np.maximum(grid.lungs, 0.25 * grid.torso * (a < 0.88) * (v > 0.12)), 1.5)
    cage = cage * _edge(0.92 - v, 0.04)
    back = np.cos(2 * np.pi * (v - 0.16 * a**1.6 + 0.02) / 0.093) - 0.35
    front = np.cos(2 * np.pi * (v + 0.26 * (a - 0.2) + 0.04) / 0.125) - 0.5
    ribs = 0.075 * np.clip(back, 0, 1) + 0.045 * np.clip(front, 0, 1) * _edge(a - 0.3, 0.06)
    collar = (
        np.exp(-(((v - 0.155 - 0.05 * np.cos(a * 4.2)) / 0.014) ** 2)) * _edge(a - 0.1, 0.03) * _edge(0.86 - a, 0.03)
    )
    spine = np.exp(-((u / 0.085) ** 4)) * (0.04 + 0.02 * np.cos(2 * np.pi * v / 0.062))
    return (anatomy.ribs * ribs * cage + 0.10 * collar + spine) * grid.torso


def _vessels(rng: np.random.Generator, grid: Grid) -> Map:
    """Lung markings: strands that thin out from the hila to the edge."""
    noise = rng.standard_normal(grid.u.shape)
    strands = sum(gaussian_filter(noise, s) * s for s in (1.2, 2.4, 4.0))
    hila = sum(_blob(grid, (side * 0.22, 0.46), (0.10, 0.10)) for side in (-1, 1))
    reach = sum(_blob(grid, (side * 0.22, 0.48), (0.42, 0.30)) for side in (-1, 1))
    return grid.lungs * (0.045 * strands * (0.3 + reach) + 0.10 * hila + 0.04 * reach)


def _opacity(rng: np.random.Generator, grid: Grid) -> tuple[Map, Ellipse]:
    """A patch of pneumonia in the outer middle of a lung: a few soft clouds, uneven within."""
    side = rng.choice([-1.0, 1.0])
    center = (side * rng.uniform(0.38, 0.58), rng.uniform(0.36, 0.66))
    radius = rng.uniform(0.15, 0.21)
    radii = (radius, radius * 0.6)
    parts = [
        _blob(grid, (center[0] + x * radii[0], center[1] + y * radii[1]), (radii[0] * 0.75, radii[1] * 0.75))
        for x, y in rng.uniform(-0.45, 0.45, (4, 2))
    ]
    uneven = 1 + 0.25 * gaussian_filter(rng.standard_normal(grid.u.shape), 3) * 6
    cloud = np.clip(1.2 * np.maximum.reduce(parts) * uneven, 0, 1.1)
    return rng.uniform(0.22, 0.30) * cloud * grid.lungs, grid.in_pixels(center, radii)


def _bystanders(rng: np.random.Generator, grid: Grid) -> Map:
    """Bright things that mean nothing, all outside the lungs: electrodes, a calcified node, the side marker."""
    outside = np.zeros_like(grid.u)
    for _ in range(int(rng.integers(0, 4))):
        spot = (rng.choice([-1, 1]) * rng.uniform(0.84, 0.9), rng.uniform(0.3, 0.8))
        outside += 0.22 * _blob(grid, spot, (0.035, 0.025), 6)
    if rng.random() < 0.3:
        outside += 0.16 * _blob(grid, (rng.choice([-1, 1]) * 0.3, 0.93), (0.12, 0.04), 3)
    return outside * (1 - grid.lungs) + _marker(grid)


def _marker(grid: Grid) -> Map:
    """The letter L, of lead, at the patient's left shoulder."""
    x, y = grid.u - 0.84, grid.v - 0.05
    upright = (np.abs(x) < 0.014) & (np.abs(y) < 0.03)
    foot = (np.abs(x - 0.03) < 0.04) & (np.abs(y - 0.027) < 0.007)
    return 0.8 * (upright | foot)


def _expose(rng: np.random.Generator, film: Map, grid: Grid) -> Map:
    """Scatter, quantum noise (more where less comes through) and the exposure of the day."""
    film = gaussian_filter(0.04 + film * np.maximum(grid.torso, 0.0), 0.7)
    grain = gaussian_filter(rng.standard_normal(film.shape), 0.5)
    film = film + 0.022 * grain * (0.5 + film)
    return np.clip(rng.uniform(0.9, 1.1) * film + rng.uniform(-0.03, 0.03), 0, 1)

"""Chest-like films: a torso, two lungs, mediastinum, heart, ribs and diaphragm as soft shapes that add up, as the
shadows on a radiograph do.

Coordinates: `v` runs from 0 at the top to 1 at the bottom, `u` from -1 to 1 across with 0 at the midline. The
patient's right is on the left of the picture, as films are hung. Brightness is 0 for air and 1 for bone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from clinimm.data.synthetic.region import Ellipse

Map = Float[np.ndarray, "h w"]


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
    """Brightness in [0, 1], and where the targets' signs are to be seen: the heart always, a patch if there is one."""

    brightness: Map
    regions: dict[str, Ellipse]


@dataclass(frozen=True)
class Grid:
    """Coordinates of every pixel, and where the body and the lungs lie among them."""

    u: Map
    v: Map
    lungs: Map
    torso: Map

    def region(self, center: tuple[float, float], radii: tuple[float, float]) -> Ellipse:
        """An upright ellipse given in (u, v), in pixels."""
        step_u, step_v = float(self.u[0, 1] - self.u[0, 0]), float(self.v[1, 0] - self.v[0, 0])
        row, column = (center[1] - float(self.v[0, 0])) / step_v, (center[0] - float(self.u[0, 0])) / step_u
        sizes = (round(radii[1] / step_v, 1), round(radii[0] / step_u, 1))
        return Ellipse((round(row, 1), round(column, 1)), sizes, self.u.shape)


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
    heart failure. Things that mean nothing (electrodes, a tablet in the stomach) lie outside the lungs."""
    grid = _place(rng, anatomy)
    heart, heart_region = _heart(rng, grid, anatomy, "heart_failure" in shown)
    opacity, opacity_region = _opacity(rng, grid)
    film = _soft_tissue(grid, heart) + _bones(grid, anatomy.ribs) + _bystanders(rng, grid)
    film += (1 - heart) * (_vessels(rng, grid) + opacity * ("pneumonia" in shown))
    regions = {"heart_failure": heart_region} | ({"pneumonia": opacity_region} if "pneumonia" in shown else {})
    return Picture(_expose(rng, film * grid.torso + _marker(grid)), regions)


def _place(rng: np.random.Generator, anatomy: Anatomy) -> Grid:
    """The patient's stance and breath differ a little from film to film."""
    h, w = anatomy.shape
    shift_u, shift_v, breath = rng.uniform(-0.05, 0.05), rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)
    v, u = np.meshgrid(np.linspace(0, 1, h, dtype=np.float32), np.linspace(-1, 1, w, dtype=np.float32), indexing="ij")
    u, v = (u - shift_u) / anatomy.breadth, v - shift_v
    right = _lung(-u, v, anatomy.apex, anatomy.base + breath - 0.025)
    left = _lung(u, v, anatomy.apex, anatomy.base + breath)
    return Grid(u, v, np.maximum(right, left), _torso(u, v))


def _edge(distance: Map, width: float) -> Map:
    """1 inside, 0 outside, soft over `width`."""
    return 1 / (1 + np.exp(-np.clip(distance / width, -30, 30)))


def _blob(grid: Grid, center: tuple[float, float], radii: tuple[float, float], power: float = 2.0) -> Map:
    """1 at the center and 1/e at the radii; a higher power makes it flatter within and sharper at the rim."""
    square = ((grid.u - center[0]) / radii[0]) ** 2 + ((grid.v - center[1]) / radii[1]) ** 2
    return np.exp(-(square ** (power / 2)))


def _lung(a: Map, v: Map, apex: float, base: float) -> Map:
    """One lung; `a` grows from the midline outward."""
    rise = np.clip((base + 0.12 - v) / (base + 0.12 - apex), 0, 1)
    lateral = 0.80 * np.sqrt(1 - (rise**2) ** 2) * (1 - 0.22 * rise) - a
    medial = a - (0.13 + 0.05 * np.exp(-(((v - 0.42) / 0.12) ** 2)))
    dome = base + 0.13 * ((a - 0.36) / 0.45) ** 2 - v
    return _edge(np.minimum(np.minimum(lateral, medial), np.minimum(1.4 * dome, 2 * (v - apex))), 0.014)


def _torso(u: Map, v: Map) -> Map:
    neck = 0.30 + 0.02 * np.sin(v * 9)
    shoulders = 0.30 + 0.95 * np.clip((v - 0.03) / 0.16, 0, 1) ** 0.7
    flank = np.where(v > 0.30, 1.25 - 0.32 * np.clip((v - 0.30) / 0.16, 0, 1) ** 0.6, 9.0)
    return _edge(np.minimum(np.maximum(neck, shoulders), flank) - np.abs(u), 0.012)


def _heart(rng: np.random.Generator, grid: Grid, anatomy: Anatomy, large: bool) -> tuple[Map, Ellipse]:
    """Up to half as wide as the chest is healthy (a cardiothoracic ratio of 0.5); beyond that the heart is large."""
    width = anatomy.heart * (rng.uniform(1.38, 1.55) if large else rng.uniform(0.96, 1.06))
    center, radii = (0.10 + 0.10 * (width - 0.3), anatomy.base - 0.13), (width, 0.12 + 0.20 * width)
    slant = (grid.u - center[0]) + 0.45 * (grid.v - center[1])
    drop = (grid.v - center[1]) - 0.16 * (grid.u - center[0])
    inside = 1 - np.sqrt((slant / radii[0]) ** 2 + (drop / radii[1]) ** 2)
    return _edge(inside, 0.035), grid.region(center, radii)


def _soft_tissue(grid: Grid, heart: Map) -> Map:
    u, v = grid.u, grid.v
    abdomen = _edge(v - 0.80 - 0.05 * u, 0.03)
    mediastinum = np.exp(-(((u / 0.16) ** 2) ** 2)) * (0.75 + 0.25 * v)
    knob = _blob(grid, (0.17, 0.33), (0.085, 0.05), 4.0)
    trachea = np.exp(-((u / 0.045) ** 2)) * _edge(0.34 - v, 0.02)
    bubble = _blob(grid, (0.42, 0.90), (0.16, 0.05), 3.0) * abdomen
    dense = np.maximum(np.maximum(heart * 0.85, mediastinum), knob * 0.8)
    wall = 0.34 + 0.24 * np.sqrt(np.clip(1.12 - u * u, 0.05, 1))
    lung = grid.lungs * (1 - 0.97 * dense)
    return wall + 0.12 * abdomen + 0.10 * dense - 0.36 * lung - 0.10 * trachea - 0.12 * bubble


def _bones(grid: Grid, strength: float) -> Map:
    """Ribs run outward and down at the back, inward and down at the front; then collar bones, shoulders and spine."""
    u, v, a = grid.u, grid.v, np.abs(grid.u)
    cage = np.maximum(grid.lungs, 0.35 * _edge(0.88 - a, 0.02) * _edge(v - 0.14, 0.03)) * _edge(0.90 - v, 0.04)
    back = np.cos(2 * np.pi * (v - 0.16 * a**1.6 + 0.02) / 0.093) - 0.3
    front = np.cos(2 * np.pi * (v + 0.26 * (a - 0.2) + 0.04) / 0.125) - 0.5
    ribs = 0.10 * np.clip(back, 0, 1) + 0.06 * np.clip(front, 0, 1) * _edge(a - 0.3, 0.06)
    collar = np.exp(-(((v - 0.155 - 0.05 * np.cos(a * 4.2)) / 0.014) ** 2)) * _edge(a - 0.1, 0.03)
    shoulder = np.exp(-((((a - 1.0) / 0.16) ** 2 + ((v - 0.20) / 0.07) ** 2) ** 2))
    spine = np.exp(-(((u / 0.085) ** 2) ** 2)) * (0.05 + 0.02 * np.cos(2 * np.pi * v / 0.062))
    return strength * ribs * cage + 0.11 * collar * _edge(0.86 - a, 0.03) + 0.10 * shoulder + spine


def _vessels(rng: np.random.Generator, grid: Grid) -> Map:
    """Lung markings: strands that run out from the hila and thin toward the edge."""
    across, down = np.abs(grid.u) - 0.20, 1.6 * (grid.v - 0.46)
    reach = np.hypot(across, down)
    turn = (np.arctan2(down, across) / np.pi + 1) / 2 + 0.10 * reach + 0.5 * (grid.u > 0)
    strands = rng.standard_normal((160, 10)).astype(np.float32)
    place = np.stack([np.mod(turn * 80, 160), 9 * np.clip(reach / 0.9, 0, 1)])
    streaks = map_coordinates(strands, place, order=1, mode="grid-wrap")
    fade = np.exp(-((reach / 0.38) ** 2))
    return grid.lungs * (0.05 * streaks * (0.25 + fade) + 0.11 * np.exp(-((reach / 0.12) ** 2)) + 0.05 * fade)


def _opacity(rng: np.random.Generator, grid: Grid) -> tuple[Map, Ellipse]:
    """A patch of pneumonia: a few soft clouds, uneven within. On the left it lies above the heart, not behind it."""
    side, radius = float(rng.choice([-1.0, 1.0])), rng.uniform(0.15, 0.21)
    center = (side * rng.uniform(0.38, 0.58), rng.uniform(0.30, 0.46 if side > 0 else 0.66))
    radii = (radius, radius * 0.6)
    clouds = [
        _blob(grid, (center[0] + x * radii[0], center[1] + y * radii[1]), (radii[0] * 0.75, radii[1] * 0.75))
        for x, y in rng.uniform(-0.45, 0.45, (4, 2)).tolist()
    ]
    coarse = rng.normal(1.2, 0.35, (24, 24)).astype(np.float32)
    uneven = zoom(coarse, np.array(grid.u.shape) / 24, order=1)
    patch = np.clip(np.maximum.reduce(clouds) * uneven, 0, 1.1)
    return rng.uniform(0.22, 0.30) * patch * grid.lungs, grid.region(center, radii)


def _bystanders(rng: np.random.Generator, grid: Grid) -> Map:
    """Bright things that mean nothing, all outside the lungs: electrodes on the skin, a tablet in the belly."""
    bright = np.zeros_like(grid.u)
    for _ in range(int(rng.integers(0, 4))):
        spot = (float(rng.choice([-1, 1])) * rng.uniform(0.84, 0.9), rng.uniform(0.3, 0.8))
        bright += 0.22 * _blob(grid, spot, (0.035, 0.025), 6.0)
    if rng.random() < 0.3:
        bright += 0.16 * _blob(grid, (float(rng.choice([-1, 1])) * 0.3, 0.93), (0.12, 0.04), 3.0)
    return bright * (1 - grid.lungs)


def _marker(grid: Grid) -> Map:
    """The letter L, of lead, beside the patient's left shoulder."""
    x, y = grid.u - 0.84, grid.v - 0.055
    upright = (np.abs(x) < 0.014) & (np.abs(y) < 0.03)
    foot = (np.abs(x - 0.03) < 0.044) & (np.abs(y - 0.024) < 0.007)
    return np.where(upright | foot, np.float32(0.8), np.float32(0))


def _expose(rng: np.random.Generator, film: Map) -> Map:
    """Scatter, quantum noise (more where less comes through) and the exposure of the day."""
    film = gaussian_filter(0.04 + film, 0.7)
    film = film + 0.016 * rng.standard_normal(film.shape, dtype=np.float32) * (0.5 + film)
    return np.clip(rng.uniform(0.9, 1.1) * film + rng.uniform(-0.03, 0.03), 0, 1)

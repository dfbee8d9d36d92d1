"""Small CT volumes of a chest, in Hounsfield units: body, lungs, heart, spine, ribs, and the targets' signs.

Coordinates: `x` and `y` run from -1 to 1 over columns (patient's right to left) and rows (front to back), `z` from 0
at the lowest slice to 1 at the highest. Axes of the array are (row, column, slice)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from clinimm.data.synthetic.region import Ellipse

SHAPE = (64, 64, 32)
SPACING_MM = (5.0, 5.0, 10.0)
AIR, LUNG, TISSUE, BLOOD, BONE, PATCH = -1000.0, -840.0, 20.0, 45.0, 480.0, -60.0
Volume = Float[np.ndarray, "h w d"]


@dataclass(frozen=True)
class Build:
    """What stays the same over the visits of a patient."""

    breadth: float
    depth: float
    heart: float


@dataclass(frozen=True)
class Scan:
    """The volume, and where the targets' signs are to be seen: the heart always, a patch if there is one."""

    hounsfield: Volume
    regions: dict[str, Ellipse]


def draw_build(rng: np.random.Generator) -> Build:
    return Build(breadth=rng.uniform(0.80, 0.92), depth=rng.uniform(0.55, 0.66), heart=rng.uniform(0.23, 0.27))


def draw_volume(rng: np.random.Generator, build: Build, shown: frozenset[str]) -> Scan:
    """A scan with the signs of the targets in `shown`: a dense patch in a lung for pneumonia, a large heart for heart
    failure."""
    h, w, d = SHAPE
    y, x, z = np.mgrid[-1 : 1 : complex(h), -1 : 1 : complex(w), 0 : 1 : complex(d)]
    x, y = x - rng.uniform(-0.04, 0.04), y - rng.uniform(-0.04, 0.04)
    swell = rng.uniform(1.4, 1.55) if "heart_failure" in shown else rng.uniform(0.95, 1.05)
    heart = _Ball((0.12, -0.12, 0.42), (build.heart * swell, build.heart * 0.9 * swell, 0.19 * swell))
    patch = _draw_patch(rng, build)
    body = _body(x, y, z, build)
    lungs = _lungs(x, y, z, build)
    volume = np.where(body, TISSUE, AIR)
    strands = np.clip(gaussian_filter(rng.standard_normal(SHAPE), 0.8) * 6 - 1.3, 0, 1)
    volume = np.where(lungs, LUNG + 60 * (y + 0.3) + 320 * strands, volume)
    if "pneumonia" in shown:
        cloud = np.clip(1.6 * (1 - patch.distance(x, y, z)), 0, 1)
        volume = np.where(lungs, volume + cloud * (PATCH - LUNG), volume)
    volume = np.where(heart.distance(x, y, z) < 1, BLOOD, volume)
    volume = np.where(_airway(x, y, z), AIR + 20, volume)
    volume = np.where(_bones(x, y, z, build) & body & ~lungs, BONE, volume)
    grain = gaussian_filter(rng.standard_normal(SHAPE), (0.6, 0.6, 0)) * 45
    balls = {"heart_failure": heart} | ({"pneumonia": patch} if "pneumonia" in shown else {})
    regions = {target: ball.in_voxels(x, y, z) for target, ball in balls.items()}
    return Scan(gaussian_filter(volume, 0.5) + grain, regions)


@dataclass(frozen=True)
class _Ball:
    """An upright ellipsoid in (x, y, z)."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]

    def distance(self, x: Volume, y: Volume, z: Volume) -> Volume:
        """1 on the surface."""
        parts = (((a - c) / r) ** 2 for a, c, r in zip((x, y, z), self.center, self.radii, strict=True))
        return np.sqrt(sum(parts))

    def in_voxels(self, x: Volume, y: Volume, z: Volume) -> Ellipse:
        axes = (y[:, 0, 0], x[0, :, 0], z[0, 0, :])
        center = (self.center[1], self.center[0], self.center[2])
        radii = (self.radii[1], self.radii[0], self.radii[2])
        steps = [float(axis[1] - axis[0]) for axis in axes]
        return Ellipse(
            tuple(round((c - float(a[0])) / s, 1) for c, a, s in zip(center, axes, steps, strict=True)),
            tuple(round(r / s, 1) for r, s in zip(radii, steps, strict=True)),
            SHAPE,
        )


def _draw_patch(rng: np.random.Generator, build: Build) -> _Ball:
    side = float(rng.choice([-1.0, 1.0]))
    center = (side * build.breadth * rng.uniform(0.50, 0.62), rng.uniform(0.0, 0.22), rng.uniform(0.35, 0.7))
    radius = rng.uniform(0.17, 0.23)
    return _Ball(center, (radius, radius, radius * 0.7))


def _body(x: Volume, y: Volume, z: Volume, build: Build) -> np.ndarray:
    return (x / build.breadth) ** 2 + (y / build.depth) ** 2 < 1


def _lungs(x: Volume, y: Volume, z: Volume, build: Build) -> np.ndarray:
    """Both lungs: narrower toward the top, cut by the dome of the diaphragm at the bottom."""
    narrow = np.sqrt(np.clip(1 - ((z - 0.3) / 0.68) ** 2, 0, 1))
    across = (np.abs(x) - build.breadth * 0.47) / (build.breadth * 0.36)
    along = (y - 0.02) / (build.depth * 0.80)
    dome = 0.20 - 0.16 * (across**2 + along**2)
    return (across**2 + along**2 < narrow**2) & (z > dome)


def _airway(x: Volume, y: Volume, z: Volume) -> np.ndarray:
    """The trachea, down to where it forks."""
    return ((x / 0.065) ** 2 + ((y - 0.04) / 0.065) ** 2 < 1) & (z > 0.62)


def _bones(x: Volume, y: Volume, z: Volume, build: Build) -> np.ndarray:
    spine = (x / 0.13) ** 2 + ((y - build.depth * 0.70) / 0.12) ** 2 < 1
    ring = np.sqrt((x / build.breadth) ** 2 + (y / build.depth) ** 2)
    ribs = (ring > 0.87) & (ring < 0.94) & (np.mod(z * 9 + 1.5 * y, 1) < 0.4)
    return spine | ribs

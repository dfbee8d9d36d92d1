"""What the guard's counterexamples are drawn with: tones, blurs, fields and masks. g side of the grid."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter, zoom

Picture: TypeAlias = Float[np.ndarray, "g g"]
Mask: TypeAlias = Bool[np.ndarray, "g g"]


def toned(picture: Picture, rng: np.random.Generator) -> Picture:
    """Another exposure: contrast, brightness and gamma."""
    curved = picture.clip(0, 1) ** np.exp(rng.normal(0, 0.3))
    return (curved * rng.uniform(0.7, 1.1) + rng.uniform(0, 0.15)).clip(0, 1)


def enlarged(picture: Float[np.ndarray, "_ _"], grid: int) -> Picture:
    """Stretched to the grid, linearly between its pixels."""
    return zoom(picture, grid / np.array(picture.shape), order=1, grid_mode=True, mode="nearest")[:grid, :grid]


def field(grid: int, roughness: float, rng: np.random.Generator) -> Picture:
    """Colored noise from 0 to 1: power falls with frequency as f to the power -2 * `roughness`."""
    frequency = np.hypot(np.fft.fftfreq(grid)[:, None], np.fft.fftfreq(grid)[None])
    frequency[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=(grid, grid))) / frequency**roughness).real
    return spread(noise)


def spread(values: Float[np.ndarray, "g g"]) -> Picture:
    """From 0 to 1."""
    return (values - values.min()) / max(float(np.ptp(values)), 1e-9)


def plane(grid: int) -> tuple[Picture, Picture]:
    """Rows and columns from -1 to 1."""
    axis = np.linspace(-1, 1, grid)
    return np.repeat(axis[:, None], grid, 1), np.repeat(axis[None], grid, 0)


def ellipse(grid: int, center: tuple[float, float], radii: tuple[float, float], angle: float = 0.0) -> Picture:
    """Distance from the center in radii: under 1 is inside."""
    y, x = plane(grid)
    y, x = y - center[0], x - center[1]
    along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    return np.hypot(along / radii[0], across / radii[1])


def softened(picture: Picture, sigma: float) -> Picture:
    return gaussian_filter(picture, sigma)

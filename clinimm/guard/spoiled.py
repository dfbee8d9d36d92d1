"""Wrong pictures made from right ones: the guard's own counterexamples, so that it needs none from elsewhere.

Each takes one picture (g, g) in [0, 1], of which exact zeros at the rim are padding, and a random generator."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from clinimm.guard.canvas import Picture, enlarged, toned

Spoil = Callable[[Picture, np.random.Generator], Picture]


def inverted(picture: Picture, rng: np.random.Generator) -> Picture:
    """Black for white, the padding now and then left black as it is when the file itself is inverted."""
    negative = 1 - picture
    if rng.random() < 0.6:
        inside = np.outer((picture > 0).any(1), (picture > 0).any(0))
        negative = np.where(inside, negative, 0)
    return toned(negative, rng)


def turned(picture: Picture, rng: np.random.Generator) -> Picture:
    """On its side or upside down."""
    if rng.random() < 0.15:
        return picture[::-1].copy()
    return np.rot90(picture, int(rng.integers(1, 4))).copy()


def part(picture: Picture, rng: np.random.Generator) -> Picture:
    """A piece of a quarter to a half of a side, filling the grid."""
    side = int(len(picture) * rng.uniform(0.2, 0.45))
    top, left = rng.integers(0, len(picture) - side, 2)
    return toned(enlarged(picture[top : top + side, left : left + side], len(picture)), rng)


def shuffled(picture: Picture, rng: np.random.Generator) -> Picture:
    """Its tiles in another order."""
    n = int(rng.choice([2, 4, 8]))
    side = len(picture) // n
    tiles = [picture[i * side : (i + 1) * side, j * side : (j + 1) * side] for i in range(n) for j in range(n)]
    order = np.roll(np.arange(n * n), rng.integers(1, n * n)) if n == 2 else rng.permutation(n * n)
    return np.block([[tiles[order[i * n + j]] for j in range(n)] for i in range(n)])


def framed(picture: Picture, rng: np.random.Generator) -> Picture:
    """One to four small copies on a page: a screenshot, a contact sheet, a photograph of a light box."""
    grid = len(picture)
    page = np.full((grid, grid), rng.uniform(0, 1), dtype=np.float64)
    page += rng.normal(0, 0.2) * np.linspace(-0.5, 0.5, grid)[:, None]
    across, down = (int(n) for n in rng.integers(1, 3, 2))
    share = rng.uniform(0.35, 0.6) if across * down == 1 else 0.48 * rng.uniform(0.7, 1)
    side = int(grid * share)
    shift = rng.integers(0, max(1, grid - side * max(across, down)), 2)
    small = _shrunk(picture, side)
    for i in range(down):
        for j in range(across):
            top, left = shift[0] + i * side, shift[1] + j * side
            page[top : top + side, left : left + side] = small
    return page.clip(0, 1)


def bent(picture: Picture, rng: np.random.Generator) -> Picture:
    """Pulled out of shape: strongly sheared, squeezed or rolled over its edge."""
    grid = len(picture)
    y, x = np.mgrid[0:grid, 0:grid] / (grid - 1) - 0.5
    way = rng.integers(3)
    if way == 0:
        x = x + rng.choice([-1, 1]) * rng.uniform(0.6, 1.2) * y
    elif way == 1:
        squeeze = rng.uniform(2.2, 4)
        x, y = (x * squeeze, y) if rng.random() < 0.5 else (x, y * squeeze)
    else:
        x = (x + rng.uniform(0.3, 0.7) + 0.5) % 1 - 0.5
    return _sampled(picture, y, x)


SPOILED: dict[str, Spoil] = {
    "inverted": inverted, "turned": turned, "part": part, "shuffled": shuffled, "framed": framed, "bent": bent,
}  # fmt: skip


def _sampled(picture: Picture, y: Float[np.ndarray, "g g"], x: Float[np.ndarray, "g g"]) -> Picture:
    """The nearest pixel at (y, x), in [-.5, .5]; black outside."""
    grid = len(picture)
    rows, columns = ((axis + 0.5) * (grid - 1) for axis in (y, x))
    inside = (rows >= 0) & (rows <= grid - 1) & (columns >= 0) & (columns <= grid - 1)
    near = picture[rows.round().astype(int).clip(0, grid - 1), columns.round().astype(int).clip(0, grid - 1)]
    return np.where(inside, near, 0.0)


def _shrunk(picture: Picture, side: int) -> Float[np.ndarray, "s s"]:
    at = ((np.arange(side) + 0.5) * len(picture) / side).astype(int)
    smooth = (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1) + np.roll(picture, (1, 1), (0, 1))) / 4
    return smooth[np.ix_(at, at)]

"""Wrong pictures drawn from nothing: noise, patterns, scenes, pages, slices and bones, in crude outline.

They need not fool a person. They show the guard in how many directions a picture can lie that is not of its kind."""

from collections.abc import Callable

import numpy as np

from clinimm.guard.canvas import Picture, ellipse, enlarged, field, plane, softened, spread, toned

Draw = Callable[[int, np.random.Generator], Picture]


def blank(grid: int, rng: np.random.Generator) -> Picture:
    """One tone, or nearly so, perhaps with a speck."""
    picture = rng.choice([0.0, 1.0, rng.random()]) + rng.normal(0, rng.choice([0, 0.003, 0.02]), (grid, grid))
    if rng.random() < 0.3:
        top, left = rng.integers(0, grid - 6, 2)
        picture[top : top + rng.integers(1, 6), left : left + rng.integers(1, 6)] = rng.random()
    return picture.clip(0, 1)


def noise(grid: int, rng: np.random.Generator) -> Picture:
    """White to red noise, fine or in blocks, or salt on a ground."""
    way = rng.integers(4)
    if way == 0:
        return field(grid, rng.uniform(0, 3), rng)
    if way == 1:
        return (0.5 + rng.uniform(0.05, 0.6) * rng.normal(size=(grid, grid))).clip(0, 1)
    if way == 2:
        return np.where(rng.random((grid, grid)) < rng.uniform(0.02, 0.5), rng.random((grid, grid)), rng.random())
    side = int(rng.integers(3, 24))
    return enlarged(rng.random((side, side)), grid)


def pattern(grid: int, rng: np.random.Generator) -> Picture:
    """Bars, checks, rings, ramps: test charts."""
    y, x = plane(grid)
    angle, pace = rng.uniform(0, np.pi), rng.uniform(1, 20)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    wave = [np.sin(pace * along), np.sin(pace * along) * np.sin(pace * across), np.sin(pace * np.hypot(x, y)), along]
    chosen = wave[rng.integers(4)]
    return toned(spread(np.sign(chosen) if rng.random() < 0.4 else chosen), rng)


def scene(grid: int, rng: np.random.Generator) -> Picture:
    """Dead leaves: shapes of any size that hide each other, each with its own tone and texture, as in photographs.

    Source: Lee, Mumford & Huang 2001, Occlusion models for natural images."""
    picture = _ramp(grid, rng)
    for _ in range(int(rng.integers(4, 30))):
        size = float(np.clip(0.06 / rng.random() ** 0.8, 0.06, 1.2))
        center, angle = (rng.uniform(-1.1, 1.1), rng.uniform(-1.1, 1.1)), rng.uniform(0, np.pi)
        radii = (size, size * rng.uniform(0.2, 1))
        if rng.random() < 0.5:
            inside = ellipse(grid, center, radii, angle) < 1
        else:
            y, x = plane(grid)
            y, x = y - center[0], x - center[1]
            along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
            inside = (abs(along) < radii[0]) & (abs(across) < radii[1])
        leaf = rng.random() + rng.choice([0, 0.3, 0.6]) * (field(grid, rng.uniform(0, 2), rng) - 0.5)
        picture = np.where(inside, leaf + 0.3 * (_ramp(grid, rng) - 0.5), picture)
    return toned(softened(picture, rng.choice([0, 0.5, 1.0])).clip(0, 1), rng)


def page(grid: int, rng: np.random.Generator) -> Picture:
    """Lines of writing, dark on light or light on dark, perhaps with a box."""
    ink = np.zeros((grid, grid))
    height, gap = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    left, right = int(rng.integers(0, 12)), grid - int(rng.integers(0, 24))
    for top in range(int(rng.integers(0, 10)), grid - height, height + gap):
        if rng.random() < 0.15:
            continue
        end = int(left + (right - left) * rng.choice([1, rng.random()]))
        line = ink[top : top + height, left:end]
        line[...] = rng.random(line.shape) < rng.uniform(0.4, 0.9)
    if rng.random() < 0.4:
        top, side = rng.integers(0, grid // 2, 2)
        ink[top : top + grid // 3, side : side + grid // 3] = rng.uniform(0.2, 0.8)
    ink = softened(ink, rng.uniform(0, 0.7))
    paper = rng.uniform(0.7, 1)
    return (paper - ink * rng.uniform(0.3, 0.9) if rng.random() < 0.7 else ink * paper).clip(0, 1)


def slice_of_body(grid: int, rng: np.random.Generator) -> Picture:
    """A cross section: a rim, a few organs, bright or dark, a table below, black around; with or without lungs."""
    center = (rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1))
    radii = (rng.uniform(0.4, 0.85), rng.uniform(0.45, 0.97))
    picture = np.zeros((grid, grid)) + rng.choice([0, 0, 0, rng.uniform(0, 0.3)])
    body = ellipse(grid, center, radii, rng.normal(0, 0.1))
    tissue = rng.uniform(0.25, 0.8)
    picture = np.where(body < 1, rng.uniform(0.1, 1), picture)
    picture = np.where(body < rng.uniform(0.8, 0.97), tissue, picture)
    for side in (-1, 1) if rng.random() < 0.5 else ():
        lung = (center[0] + rng.normal(-0.05, 0.08), center[1] + side * radii[1] * rng.uniform(0.4, 0.55))
        inside = ellipse(grid, lung, (radii[0] * rng.uniform(0.45, 0.75), radii[1] * rng.uniform(0.25, 0.42)),
                         side * rng.normal(0.2, 0.2)) < 1  # fmt: skip
        picture = np.where(inside, rng.uniform(0, 0.25) + 0.2 * (field(grid, 1, rng) > rng.uniform(0.6, 0.95)), picture)
    for _ in range(int(rng.integers(1, 14))):
        where = (center[0] + radii[0] * rng.uniform(-0.7, 0.7), center[1] + radii[1] * rng.uniform(-0.7, 0.7))
        size = rng.uniform(0.04, 0.3)
        organ = ellipse(grid, where, (size, size * rng.uniform(0.4, 1.6)), rng.uniform(0, np.pi)) < 1
        picture = np.where(organ & (body < 0.9), np.clip(tissue + rng.normal(0, 0.3), 0, 1), picture)
    if rng.random() < 0.7:
        spine = ellipse(grid, (center[0] + radii[0] * 0.6, center[1]), (rng.uniform(0.08, 0.2), rng.uniform(0.08, 0.2)))
        picture = np.where(spine < 1, rng.uniform(0.7, 1), picture)
    if rng.random() < 0.6:
        table = ellipse(grid, (center[0] - 0.6, center[1]), (radii[0] + 0.75, rng.uniform(0.8, 1.6)))
        picture = np.where((abs(table - 1) < 0.03) & (plane(grid)[0] > center[0]), rng.uniform(0.4, 1), picture)
    picture = picture + rng.normal(0, rng.choice([0, 0.02, 0.06]), picture.shape)
    return toned(softened(picture, rng.uniform(0, 0.8)).clip(0, 1), rng) * (picture > 0.01)


def bones(grid: int, rng: np.random.Generator) -> Picture:
    """One to four long bones with wide ends and a joint, in soft tissue, on black or white: limbs."""
    y, x = plane(grid)
    lean = rng.normal(0, 0.15) + rng.choice([0, 0, np.pi / 2])
    along, across = y * np.cos(lean) - x * np.sin(lean), x * np.cos(lean) + y * np.sin(lean)
    picture = np.full((grid, grid), 0.0)
    limbs = int(rng.choice([1, 1, 1, 2]))
    for limb in range(limbs):
        middle = rng.normal(0, 0.12) if limbs == 1 else (-0.5 if limb == 0 else 0.5)
        flesh, tissue = rng.uniform(0.3, 0.9) / limbs, rng.uniform(0.2, 0.6)
        shape = flesh * (1 + rng.uniform(-0.3, 0.3) * along)
        inside = abs(across - middle) < shape
        depth = np.sqrt(np.clip(1 - ((across - middle) / shape) ** 2, 0, 1))
        picture = np.where(inside, tissue * (0.5 + 0.5 * depth), picture)
        joint = rng.uniform(-0.6, 0.6)
        for low, high in ((-1.2, joint - 0.02), (joint + rng.uniform(0.02, 0.08), 1.2)):
            for offset in (0.0,) if rng.random() < 0.6 else (-0.35 * flesh, 0.3 * flesh):
                flare = 1 + rng.uniform(0.5, 1.5) * np.exp(-(((along - joint) / rng.uniform(0.15, 0.4)) ** 2))
                width = flesh * rng.uniform(0.18, 0.36) * flare * (1 if offset == 0 else 0.6)
                gap = abs(across - middle - offset) / width
                shaft = (gap < 1) & (along > low) & (along < high)
                bone = tissue + rng.uniform(0.2, 0.5) * (0.6 + rng.uniform(0, 0.6) * (gap > 0.7))
                picture = np.where(shaft, bone, picture)
    picture = picture + 0.1 * (field(grid, 1.2, rng) - 0.5) * (picture > 0)
    if rng.random() < 0.25:
        picture = np.where(picture <= 0, rng.uniform(0.8, 1), picture)
    return toned(softened(picture.clip(0, 1), rng.uniform(0.3, 1)), rng)


def fan(grid: int, rng: np.random.Generator) -> Picture:
    """A sector of speckle on black: ultrasound."""
    y, x = plane(grid)
    y = y + rng.uniform(0.8, 1.1)
    inside = (abs(np.arctan2(x - rng.normal(0, 0.1), y + 0.1)) < rng.uniform(0.4, 0.9)) & (y < rng.uniform(1.2, 1.9))
    speckle = field(grid, rng.uniform(0.3, 1.2), rng) ** rng.uniform(0.7, 2.5) * np.exp(-rng.uniform(0, 1) * y)
    return toned(inside * speckle, rng) * inside


DRAWN: dict[str, Draw] = {
    "blank": blank, "noise": noise, "pattern": pattern, "scene": scene, "page": page, "slice": slice_of_body,
    "bones": bones, "fan": fan,
}  # fmt: skip


def _ramp(grid: int, rng: np.random.Generator) -> Picture:
    y, x = plane(grid)
    return rng.random() + 0.5 * (rng.normal(0, 0.5) * x + rng.normal(0, 0.5) * y)

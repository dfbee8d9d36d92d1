"""What a guard of pictures learns from: valid pictures, varied as another device might, and wrong ones it makes.

b pictures, n examples, v views, g side of the grid. Each example knows the picture it was made of, so that none is
made of a picture that judges it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.ndimage import affine_transform, gaussian_filter
from torch import Tensor

from clinimm.guard.canvas import Picture
from clinimm.guard.classes import VALID
from clinimm.guard.drawn import DRAWN
from clinimm.guard.features import GRID, features
from clinimm.guard.spoiled import SPOILED

OFF_VIEW = "off_view"
NOTHING = -1  # made of no picture
_VARIED = 3  # copies of a valid picture
_FEWEST, _MOST = 24, 120  # wrong pictures of a kind; a fourth of the valid ones between
_CHUNK = 128


@dataclass(frozen=True)
class Examples:
    """`kinds` index `names`, of which the first is "valid"; `source` is the row of the picture an example was made
    of, or -1. The first rows are the pictures themselves, in their order."""

    features: Float[Tensor, "n f"]
    kinds: Int[Tensor, " n"]
    source: Int[Tensor, " n"]
    names: tuple[str, ...]


def examples(
    pictures: Float[Tensor, "b v g g"],
    valid: list[bool],
    *,
    seed: int,
    drawn: bool = True,
    leave_out: tuple[str, ...] = (),
) -> Examples:
    """The pictures (those not `valid` are of the kind "off_view"), varied copies, and wrong ones.

    `leave_out` names kinds that are not made: to see how the guard does on what it never saw."""
    rng = np.random.default_rng(seed)
    known = pictures.double().numpy()
    good = [row for row, is_valid in enumerate(valid) if is_valid]
    bad = [row for row, is_valid in enumerate(valid) if not is_valid]
    each = min(_MOST, max(_FEWEST, len(good) // 4))
    made = _Made([VALID] + [OFF_VIEW] * bool(bad), pictures.shape[1])
    for row, is_valid in enumerate(valid):
        made.add(VALID if is_valid else OFF_VIEW, known[row], row)
    for row in np.repeat(good, _VARIED):
        made.add(VALID, varied(known[row], rng), int(row))
    for row in rng.choice(bad, each) if bad else ():
        made.add(OFF_VIEW, varied(known[row], rng)[..., :: rng.choice([-1, 1])], int(row))
    for name, spoil in SPOILED.items():
        for row in rng.choice(good, 0 if name in leave_out else each):
            made.add(name, np.stack([spoil(view, rng) for view in known[row]]), int(row))
    for name, draw in DRAWN.items() if drawn else ():
        for _ in range(0 if name in leave_out else each):
            made.add(name, np.stack([draw(GRID, rng)] * pictures.shape[1]), NOTHING)
    return made.done()


def varied(views: Float[np.ndarray, "v g g"], rng: np.random.Generator) -> Float[np.ndarray, "v g g"]:
    """Turned by up to 10 degrees, shifted, zoomed and cut a little, otherwise exposed, sharp and noisy: still valid."""
    angle, zoom = np.deg2rad(rng.uniform(-10, 10)), np.exp(rng.uniform(-0.2, 0.15) + rng.normal(0, 0.05, 2))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * zoom[:, None]
    shift = rng.uniform(-0.06, 0.06, 2)
    edge: Literal["constant", "nearest"] = "constant" if rng.random() < 0.5 else "nearest"
    gamma, gain, lift = np.exp(rng.normal(0, 0.25)), rng.uniform(0.7, 1.1), rng.uniform(-0.03, 0.12)
    blur, grain = max(0.0, rng.uniform(-1, 0.8)), max(0.0, rng.uniform(-0.06, 0.03))

    def vary(view: Picture) -> Picture:
        center = (np.array(view.shape) - 1) / 2
        moved = affine_transform(view, matrix, center - matrix @ center + shift * len(view), order=1, mode=edge)
        exposed = moved.clip(0, 1) ** gamma * gain + lift * (moved > 0)
        return (gaussian_filter(exposed, blur) + grain * rng.normal(size=view.shape) * (moved > 0)).clip(0, 1)

    return np.stack([vary(view) for view in views])


class _Made:
    """Examples as they are made: their pictures are kept only until there are enough of them to be seen at once."""

    def __init__(self, names: list[str], views: int) -> None:
        self.names, self.views = names, views
        self.kinds: list[int] = []
        self.source: list[int] = []
        self.waiting: list[Float[np.ndarray, "v g g"]] = []
        self.seen: list[Tensor] = []

    def add(self, name: str, picture: Float[np.ndarray, "v g g"], source: int) -> None:
        if name not in self.names:
            self.names.append(name)
        self.kinds.append(self.names.index(name))
        self.source.append(source)
        self.waiting.append(picture)
        if len(self.waiting) == _CHUNK:
            self.see()

    def see(self) -> None:
        if self.waiting:
            self.seen.append(features(torch.from_numpy(np.stack(self.waiting)).float()))
        self.waiting = []

    def done(self) -> Examples:
        self.see()
        return Examples(torch.cat(self.seen), torch.tensor(self.kinds), torch.tensor(self.source), tuple(self.names))

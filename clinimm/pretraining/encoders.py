"""All that runs a tower in a step, as one forward, so that processes and shards are the framework's to arrange."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from clinimm.models.adapt import Adapted
from clinimm.models.network import batch_statistics
from clinimm.models.towers.base import ImageTower, TextTower
from clinimm.pretraining.masked import MaskedPatches, MaskedWords


@dataclass(frozen=True)
class Rows:
    """A part of a batch on the device. What a row that has no picture or no text holds means nothing."""

    pixels: Float[Tensor, "b 1 ..."]
    has_image: Bool[Tensor, " b"]
    ids: Int[Tensor, "b n"]
    mask: Bool[Tensor, "b n"]
    has_text: Bool[Tensor, " b"]
    corrupted: Int[Tensor, "b n"] | None = None
    chosen: Bool[Tensor, "b n"] | None = None
    covered: Bool[Tensor, "b ..."] | None = None

    def to(self, device: torch.device) -> "Rows":
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(self, **{name: value.to(device) for name, value in given.items()})


class Encoded(NamedTuple):
    """`image` and `text` are of length 1, 0 where absent. Of what was hidden of words and of patches: the sum of the
    losses, and how much it was."""

    image: Float[Tensor, "b e"]
    text: Float[Tensor, "b e"]
    hidden_loss: Float[Tensor, "2"]
    hidden_count: Float[Tensor, "2"]


class Encoders(nn.Module):
    """Both towers, and what tells hidden words and patches. `adapted` are the towers that are not trained whole.

    Only rows that have a picture or a text go through its tower, so that no blank is part of a batch's statistics;
    where none has, one blank row runs and counts for nothing, so that every weight has its part in each process's
    gradient."""

    def __init__(
        self,
        image: ImageTower,
        text: TextTower,
        words: MaskedWords | None = None,
        patches: MaskedPatches | None = None,
        adapted: Sequence[Adapted] = (),
    ) -> None:
        super().__init__()
        self.image, self.text, self.words, self.patches = image, text, words, patches
        self.adapted = tuple(adapted)

    def train(self, mode: bool = True) -> "Encoders":
        """Towers of which only a part is trained keep the rest as in evaluation."""
        super().train(mode)
        for one in self.adapted:
            one.settle(mode)
        return self

    def forward(self, rows: Rows) -> Encoded:
        image, patches = self._images(rows)
        text, words = self._texts(rows)
        return Encoded(image, text, torch.stack([words[0], patches[0]]), torch.stack([words[1], patches[1]]))

    def _images(self, rows: Rows) -> tuple[Float[Tensor, "b e"], tuple[Tensor, Tensor]]:
        seen, weight = _present(rows.has_image)
        pixels = rows.pixels[seen] * weight
        with batch_statistics(self.image, len(seen) > 1):
            points = normalize(self.image(pixels).float(), dim=1)
            hidden = _nothing(points)
            if self.patches is not None and rows.covered is not None:
                covered = rows.covered[seen] & bool(weight)
                tokens = self.image.read(self.patches.hide(pixels, covered), None).tokens.values
                hidden = _counted(self.patches(tokens, pixels, covered))
        return _placed(points * weight, seen, len(rows.has_image)), hidden

    def _texts(self, rows: Rows) -> tuple[Float[Tensor, "b e"], tuple[Tensor, Tensor]]:
        seen, weight = _present(rows.has_text)
        ids, mask = rows.ids[seen], rows.mask[seen]
        if not weight:
            mask = torch.ones_like(mask)
        points = normalize(self.text(ids, mask).float(), dim=1)
        hidden = _nothing(points)
        if self.words is not None and rows.corrupted is not None and rows.chosen is not None:
            chosen = rows.chosen[seen] & bool(weight)
            tokens = self.text.read(self.text.embed(rows.corrupted[seen]), mask).tokens.values
            hidden = _counted(self.words(tokens, self.text.word_vectors(), ids, chosen))
        return _placed(points * weight, seen, len(rows.has_text)), hidden


def _present(has: Bool[Tensor, " b"]) -> tuple[Int[Tensor, " r"], int]:
    """The rows that are there, and 1; or the first row and the weight 0 where none is."""
    rows = has.nonzero()[:, 0]
    return (rows, 1) if len(rows) else (torch.zeros(1, dtype=torch.long, device=has.device), 0)


def _placed(points: Float[Tensor, "r e"], rows: Int[Tensor, " r"], b: int) -> Float[Tensor, "b e"]:
    return points.new_zeros(b, points.shape[1]).index_copy(0, rows, points)


def _nothing(points: Float[Tensor, "r e"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    return points.new_zeros(()), points.new_zeros(())


def _counted(answer: tuple[Tensor, Tensor]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    loss, count = answer
    return loss.float(), count.to(loss.device).float()


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """For the length of a block, batch normalization learns nothing from what it sees, and normalizes as before."""
    norms = [
        layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d) and layer.training
    ]
    for layer in norms:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in norms:
            layer.track_running_stats = True

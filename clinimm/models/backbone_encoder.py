"""A backbone's towers as encoders: what the tower reads, brought to the model's width."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.adapt import Adaptation, Adapted, adapt
from clinimm.models.encoder import Encoder, PictureEncoder
from clinimm.models.towers.base import ImageTower, TextTower, Tower


class BackboneEncoder(Encoder):
    """A tower, and a learned projection of its hidden tokens. `hidden` then `from_hidden` is `forward`: what
    a frozen tower gives can be kept and used again. `scaling` is what is done to the values before the tower."""

    scaling: tuple[float, ...] = ()
    tower: Tower
    adapted: Adapted
    project: nn.Module

    def _join(self, tower: Tower, adaptation: Adaptation, width: int, dropout: float) -> None:
        self.tower, self.adapted = tower, adapt(tower, adaptation)
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(tower.features, width))
        self.train()

    @property
    def architecture(self) -> dict[str, Any]:
        return dict(self.tower.architecture)

    def train(self, mode: bool = True) -> "BackboneEncoder":
        """As nn.Module's, but what is frozen stays in evaluation mode."""
        super().train(mode)
        self.adapted.settle(mode)
        return self

    def fixed(self) -> frozenset[str]:
        return frozenset(f"tower.{name}" for name in self.adapted.fixed())

    def hidden(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        """The tower's own tokens (b, n, features)."""
        return self.tower.read(embedded, mask).tokens

    def from_hidden(self, hidden: Float[Tensor, "b n f"], mask: Bool[Tensor, "b n"]) -> Tokens:
        return Tokens(self.project(hidden), mask)

    def forward(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        hidden = self.hidden(embedded, mask)
        return self.from_hidden(hidden.values, hidden.mask)


class BackboneImageEncoder(BackboneEncoder, PictureEncoder):
    """Takes pixels standardized with `mean` and `std`, which it undoes: a tower reads [0, 1]."""

    def __init__(
        self,
        tower: ImageTower,
        shape: Sequence[int],
        width: int,
        dropout: float,
        adaptation: Adaptation,
        *,
        mean: float,
        std: float,
    ) -> None:
        super().__init__(shape)
        self.scaling = (mean, std)
        self._join(tower, adaptation, width, dropout)

    def hidden(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        mean, std = self.scaling
        return super().hidden(embedded * std + mean, mask)


class BackboneTextEncoder(BackboneEncoder):
    """Takes ids of the tower's own tokenizer."""

    def __init__(self, tower: TextTower, width: int, dropout: float, adaptation: Adaptation) -> None:
        super().__init__()
        self._join(tower, adaptation, width, dropout)

    def embed(self, values: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        return self.tower.embed(values)

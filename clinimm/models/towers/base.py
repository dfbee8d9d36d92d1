"""What a tower is: one half of an image-text backbone, from pixels or token ids to a shared space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.errors import ConfigError


@dataclass(frozen=True)
class Hidden:
    """A tower's last hidden states, and what its own pooling makes of them, before the projection."""

    tokens: Tokens
    pooled: Float[Tensor, "b p"]


class Tower(nn.Module):
    """`read` gives tokens to a diagnosis model, `forward` a point in the shared space to a search.

    `features` is the width of a hidden token, `width` that of the shared space. `architecture` holds, as JSON types,
    all that `build_tower` needs to make the tower again with new weights; its "name" is the tower's in TOWERS."""

    features: int
    width: int
    architecture: Mapping[str, Any]

    def embed(self, values: Float[Tensor, "b ..."] | Int[Tensor, "b n"]) -> Float[Tensor, "b ..."]:
        """The values as floats that can carry gradients: themselves for pixels, word vectors (b, n, d) for ids."""
        return values

    def read(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        """Hidden tokens (b, n, features) of embedded values, and their pooled vector."""
        raise TypeError(f"{type(self).__name__} does not read")

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        """The pooled vector in the shared space, (b, width), not normalized."""
        raise TypeError(f"{type(self).__name__} does not project")

    def forward(
        self, values: Float[Tensor, "b ..."] | Int[Tensor, "b n"], mask: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b e"]:
        """Where the values lie in the shared space, (b, width), not normalized."""
        return self.project(self.read(self.embed(values), mask).pooled)

    def blocks(self) -> list[nn.Module]:
        """The parts of the tower from its input to its output, every parameter of what `read` runs in exactly one:
        what "the last n blocks" and a rate per depth mean. The projection is not among them."""
        raise TypeError(f"{type(self).__name__} does not know its blocks")


class ImageTower(Tower):
    """Reads pixels of one channel in [0, 1], (b, 1, h, w[, d]); standardizes them, and repeats them for each channel
    that the net takes (`channels`), by itself. `size` is the only (h, w) it takes, or None where any will do."""

    channels: int
    mean: Float[Tensor, " c"]
    std: Float[Tensor, " c"]

    def __init__(self, size: Sequence[int] | None, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.size = None if size is None else tuple(size)
        self.register_buffer("mean", torch.tensor(list(mean)), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)), persistent=False)

    def standardized(self, pixels: Float[Tensor, "b 1 ..."]) -> Float[Tensor, "b c ..."]:
        """The pixels as the net wants them. Raises ConfigError if it cannot take their size."""
        if self.size is not None and tuple(pixels.shape[2:]) != self.size:
            raise ConfigError(
                f"the tower takes pictures of {self.size}, not {tuple(pixels.shape[2:])}",
                where="inputs.*.size",
                mend=f"set size = {list(self.size)}",
            )
        shape = (1, -1) + (1,) * (pixels.ndim - 2)
        standard = (pixels - self.mean.view(shape)) / self.std.view(shape)
        return standard.expand(-1, self.channels, *pixels.shape[2:])


class TextTower(Tower):
    """Reads token ids (b, n) of its own tokenizer, n at most `length`; `mask` is False at padding."""

    length: int

    def word_vectors(self) -> Float[Tensor, "v d"]:
        """The table that `embed` looks word pieces up in."""
        raise TypeError(f"{type(self).__name__} has no word vectors")


class Projection(nn.Sequential):
    """From pooled features to the shared space. "linear" is one map without bias; "mlp" is two with a GELU between, as
    open_clip's text towers have; "none" keeps the vector."""

    def __init__(self, features: int, width: int, kind: str = "linear") -> None:
        if kind == "none" and features != width:
            raise ConfigError(f"a space of {width} needs a projection from {features}", where="projection")
        inner = (features + width) // 2
        layers: dict[str, list[nn.Module]] = {
            "none": [],
            "linear": [nn.Linear(features, width, bias=False)],
            "mlp": [nn.Linear(features, inner, bias=False), nn.GELU(), nn.Linear(inner, width, bias=False)],
        }
        super().__init__(*layers[kind])

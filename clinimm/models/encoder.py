"""What every encoder is: `embed` to floats that can carry gradients, then the rest of the way to tokens."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.resampler import PerceiverResampler


class Encoder(nn.Module):
    """Two steps, so that an attribution can differentiate the second alone. `pad_id` and `special_ids` are the
    tokenizer's, for text. A `resampler`, where there is one, takes what `forward` gives."""

    pad_id: int = 0
    special_ids: tuple[int, ...] = ()
    resampler: PerceiverResampler | None

    def __init__(self) -> None:
        super().__init__()
        self.register_module("resampler", None)

    def fit(self, values: Float[Tensor, "b ..."] | Int[Tensor, "b n"], mask: Bool[Tensor, "b n"] | None) -> None:
        """Takes from the training cases what is not learned by gradient; most encoders need nothing."""

    def embed(self, values: Float[Tensor, "b ..."] | Int[Tensor, "b n"]) -> Float[Tensor, "b ..."]:
        """The values as floats: themselves for pixels and lab values, word vectors (b, n, d) for text."""
        return values

    def forward(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        """Tokens (b, n, e) of embedded values."""
        raise TypeError(f"{type(self).__name__} does not encode")

    def fixed(self) -> frozenset[str]:
        """Names in its state of what it was given and training leaves as it was; mostly nothing."""
        return frozenset()


class PictureEncoder(Encoder):
    """An encoder of pixels (c, h, w[, d]) that keeps the `typical` picture, pixel by pixel the median of the training
    cases: what an explanation compares a picture with, as it compares a lab value with the training median."""

    typical: Float[Tensor, "..."]

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("typical", torch.zeros(tuple(shape)))

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> None:
        pixels = values.flatten(1).split(_PIXELS_AT_ONCE, dim=1)
        self.typical.copy_(torch.cat([part.median(dim=0).values for part in pixels]).view_as(self.typical))


_PIXELS_AT_ONCE = 4096  # a median sorts a copy: keep that small beside the cohort

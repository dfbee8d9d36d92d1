"""What every encoder is: `embed` to floats that can carry gradients, then the rest of the way to tokens."""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clinimm.batch import Tokens


class Encoder(nn.Module):
    """Two steps, so that an attribution can differentiate the second alone. `pad_id` and `special_ids` are the
    tokenizer's, for text."""

    pad_id: int = 0
    special_ids: tuple[int, ...] = ()

    def fit(self, values: Float[Tensor, "b ..."] | Int[Tensor, "b n"], mask: Bool[Tensor, "b n"] | None) -> None:
        """Takes from the training cases what is not learned by gradient; most encoders need nothing."""

    def embed(self, values: Float[Tensor, "b ..."] | Int[Tensor, "b n"]) -> Float[Tensor, "b ..."]:
        """The values as floats: themselves for pixels and lab values, word vectors (b, n, d) for text."""
        return values

    def forward(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        """Tokens (b, n, e) of embedded values."""
        raise TypeError(f"{type(self).__name__} does not encode")

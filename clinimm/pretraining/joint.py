"""The noun of contrastive learning: one whole batch of pictures and texts in their common space."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Joint(NamedTuple):
    """What contrastive objectives see of a whole batch, gathered over all processes. b batch, e width, k findings.

    Row i holds a picture, a text, or both; both are of one study where `paired`, and drawn apart where not. Embeddings
    that are absent, and labels that are not known, mean nothing, whatever they hold."""

    image: Float[Tensor, "b e"]
    """Projected to the common space and of length 1."""
    text: Float[Tensor, "b e"]
    has_image: Bool[Tensor, " b"]
    has_text: Bool[Tensor, " b"]
    paired: Bool[Tensor, " b"]
    patients: Int[Tensor, " b"]
    """Number of the picture's patient."""
    text_patients: Int[Tensor, " b"]
    """Number of the text's patient, another one where picture and text were drawn apart."""
    image_labels: Float[Tensor, "b k"]
    """Findings: 1 seen, -1 ruled out, 0 uncertain or not spoken of."""
    image_known: Bool[Tensor, " b"]
    text_labels: Float[Tensor, "b k"]
    text_known: Bool[Tensor, " b"]

    def to(self, device: torch.device | str) -> "Joint":
        return Joint(*(field.to(device) for field in self))

    def rows(self, index: Int[Tensor, " r"]) -> "Joint":
        """The chosen rows, in the order of `index`."""
        return Joint(*(field[index] for field in self))

    def cleared(self) -> "Joint":
        """The same in float32, with zeros for what is absent: its gradient is exactly 0, even if it held NaN."""
        return self._replace(
            image=self.image.float().masked_fill(~self.has_image[:, None], 0),
            text=self.text.float().masked_fill(~self.has_text[:, None], 0),
        )

    @property
    def matches(self) -> Bool[Tensor, "b b"]:
        """Where picture i and text j are of one study: on the diagonal, where paired."""
        return torch.diag(self.paired)

    @property
    def strangers(self) -> Bool[Tensor, "b b"]:
        """Where picture i and text j are both there and of different patients: the only sure negatives."""
        apart = self.patients[:, None] != self.text_patients[None]
        return apart & self.has_image[:, None] & self.has_text[None]

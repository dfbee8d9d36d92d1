"""A net over all summaries side by side, which must say what stands in the place of an absent one."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.models.fusions.heard import Fusion, Heard, Joined, Pool, summary


class Completion(Fusion):
    """All summaries side by side, an absent one guessed from those that are there, and a small net over them.

    The guess is the mean, over what is present, of one linear map for each ordered pair of inputs; its squared error on
    inputs that are there (each guessed from the others) is a loss. After Ma et al. 2021, "SMIL", and Wang et al. 2023,
    "ShaSpec". Differs: linear, and the vector that is guessed is not moved by the loss."""

    def __init__(
        self, width: int, qualities: Sequence[int], targets: int, dropout: float, *, weight: float = 0.1
    ) -> None:
        super().__init__()
        count = len(qualities)
        self.guess = nn.Parameter(torch.zeros(count, count, width, width))
        self.typical = nn.Parameter(torch.zeros(count, width))
        self.mix = nn.Sequential(nn.Dropout(dropout), nn.Linear(width * count, width), nn.GELU())
        self.pool = Pool(targets)
        self.weight = weight

    def forward(self, heard: Heard) -> Joined:
        slots = torch.stack([summary(one) for one in heard.tokens], dim=1) * heard.here[..., None]
        guessed, others = self.guessed(slots, heard.present)
        checked = (heard.present & others).to(slots.dtype)[..., None]
        error = (checked * (guessed - slots.detach()).square()).sum() / (checked.sum() * slots.shape[-1]).clamp_min(1)
        filled = torch.where(heard.present[..., None], slots, guessed)
        return Joined(self.mix(filled.flatten(1)), *self.pool.even(heard), penalty=self.weight * error)

    def guessed(
        self, slots: Float[Tensor, "b m e"], present: Bool[Tensor, "b m"]
    ) -> tuple[Float[Tensor, "b m e"], Bool[Tensor, "b m"]]:
        """(each summary guessed from the other present ones, whether there is any)."""
        apart = ~torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
        heard = (present[:, :, None] & apart).to(slots.dtype)  # b, from, to
        voices = torch.einsum("bie,ijef,bij->bjf", slots, self.guess, heard)
        count = heard.sum(1)
        return self.typical + voices / count.clamp_min(1)[..., None], count > 0

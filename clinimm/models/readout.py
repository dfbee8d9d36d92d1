"""What each input says by itself, read a second time, on cases that its encoder had not learned from.

b batch, e width, m modalities, k targets."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clinimm.models.fusions.heard import Heard, PerModality


class Readout(nn.Module):
    """A line from each input's summary to the logits. With a share of its own for each target, the answer is

    (1 - share) * answer + share * (prior + sum over m of trust_m * (line_m(summary_m) - prior))

    Heads that learn beside their encoder believe what it knows by heart; these lines are fitted once it stands still,
    on other patients. Source: Kirichenko et al. 2023, "Last Layer Re-Training is Sufficient for Robustness to Spurious
    Correlations". Differs: a line per input, so that an absent one takes its own evidence away and no other."""

    share: Float[Tensor, " k"]

    def __init__(self, width: int, modalities: int, targets: int) -> None:
        super().__init__()
        self.lines = PerModality(width, modalities, targets)
        self.register_buffer("share", torch.ones(targets))
        self.requires_grad_(False)

    def forward(
        self,
        answer: Float[Tensor, "b k"],
        heard: Heard,
        trust: Float[Tensor, "b m"] | None,
        prior: Float[Tensor, " k"],
    ) -> Float[Tensor, "b k"]:
        """The answer, with what the lines say in it. An input of trust 0 counts as one that is absent."""
        believed = heard.here if trust is None else heard.here * trust
        evidence = (believed[..., None] * (self.lines(heard) - prior)).sum(1)
        return (1 - self.share) * answer + self.share * (prior + evidence)

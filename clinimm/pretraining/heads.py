"""Learned judges of gathered embeddings: do these two belong together, and what would the missing one be."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity, normalize

from clinimm.losses import known_mean
from clinimm.pretraining.joint import Joint


class PairHead(nn.Module):
    """Logit that a picture and a text are of one study, learned on the pairs and on hard negatives.

    Source: image-text matching of ALBEF, Li et al. 2021, section 3.2. Differs: theirs judges from a transformer over
    both token sequences; ours from the two embeddings v, t as [v, t, v * t, |v - t|], so that it can be asked about
    any picture and text of all processes, and under gradient caching, without running a tower again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.judge = nn.Sequential(nn.Linear(4 * width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, image: Float[Tensor, "b e"], text: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
        return self.judge(torch.cat([image, text, image * text, (image - text).abs()], dim=1)).squeeze(1)

    def loss(self, joint: Joint, logits: Float[Tensor, "b b"], generator: torch.Generator) -> Float[Tensor, ""]:
        """Mean binary cross-entropy over the pairs, each pair's picture with a text that is not its own, and its text
        with another picture, drawn among `joint.strangers`: the likelier, the more alike the `logits` find them."""
        strangers = joint.strangers
        text, text_found = hard_negatives(logits, strangers, generator)
        image, image_found = hard_negatives(logits.T, strangers.T, generator)
        answers = self(
            torch.cat([joint.image, joint.image, joint.image[image]]),
            torch.cat([joint.text, joint.text[text], joint.text]),
        )
        found = torch.cat([joint.paired, joint.paired & text_found, joint.paired & image_found])
        wanted = torch.zeros_like(answers)
        wanted[: len(joint.paired)] = 1
        return known_mean(binary_cross_entropy_with_logits(answers, wanted, reduction="none"), found)


def hard_negatives(
    logits: Float[Tensor, "b b"], candidates: Bool[Tensor, "b b"], generator: torch.Generator
) -> tuple[Int[Tensor, " b"], Bool[Tensor, " b"]]:
    """One column for each row, drawn from the softmax of its candidates' logits, and whether it is a candidate, as it
    is not where there are none.

    One number a row is drawn, where the generator lives, so that equal seeds draw alike on every device and process;
    it is looked up among the row's summed probabilities."""
    lowest = torch.finfo(logits.dtype).min
    summed = logits.detach().masked_fill(~candidates, lowest).softmax(1).cumsum(1)
    draws = torch.rand(len(logits), 1, generator=generator, device=generator.device).to(logits)
    column = torch.searchsorted(summed, draws * summed[:, -1:], right=True).clamp_max(len(logits) - 1)
    return column.flatten(), candidates.gather(1, column).flatten()


class Reconstruction(nn.Module):
    """The embedding of a study's text told from its picture's, and the picture's from its text's, each of length 1:
    what a case that lacks one of them can be completed with.

    The target of a prediction gets no gradient from it, so that embeddings do not shrink to what is easily told:
    the stop-gradient and cosine of SimSiam, Chen and He 2021, across modalities."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_text = _two_layers(width)
        self.to_image = _two_layers(width)

    def text_of(self, image: Float[Tensor, "b e"]) -> Float[Tensor, "b e"]:
        return normalize(self.to_text(image), dim=1)

    def image_of(self, text: Float[Tensor, "b e"]) -> Float[Tensor, "b e"]:
        return normalize(self.to_image(text), dim=1)

    def loss(self, joint: Joint) -> Float[Tensor, ""]:
        """Mean over the pairs of 1 - cosine of what was told and what is, in [0, 2], both directions halved."""
        text = 1 - cosine_similarity(self.text_of(joint.image), joint.text.detach())
        image = 1 - cosine_similarity(self.image_of(joint.text), joint.image.detach())
        return known_mean((text + image) / 2, joint.paired)


def _two_layers(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

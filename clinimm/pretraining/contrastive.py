"""Losses on the matrix of similarities of all pictures (rows) and texts (columns) of a batch.

Pure functions in the precision of their logits. What does not count is masked, never dropped, so shapes stay the
same; where nothing counts a loss is 0, with a gradient of 0. b batch, k findings."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize

from clinimm.choose import choose
from clinimm.losses import known_mean

LARGEST_LOG_SCALE = 4.6052  # ln 100 as MedCLIP and CLIP round it


@torch.no_grad()
def clamp_log_scale(log_scale: nn.Parameter) -> None:
    """Keeps a learned log scale within [0, ln 100], in place: similarities are multiplied by 1 to 100.

    Source: CLIP (Radford et al. 2021, section 2.5) for the upper bound; MedCLIP's code has both."""
    log_scale.clamp_(0, LARGEST_LOG_SCALE)


def info_nce(
    logits: Float[Tensor, "b b"], paired: Bool[Tensor, " b"], excluded: Bool[Tensor, "b b"]
) -> Float[Tensor, ""]:
    """Mean over the pairs of the cross-entropy of finding the text of a picture among all texts, and of finding the
    picture of a text among all pictures.

    `excluded` are no negatives: what is absent, or of the same patient; the diagonal always stays. Source: CLIP,
    Radford et al. 2021, figure 3. Differs: rows without a pair serve as negatives only."""
    allowed = ~excluded | torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    text_of_picture = _log_softmax(logits, allowed, dim=1).diagonal()
    picture_of_text = _log_softmax(logits, allowed, dim=0).diagonal()
    return known_mean(-(text_of_picture + picture_of_text) / 2, paired)


SIMILARITIES = {
    "dot": lambda image, text: image @ text.T,
    "cosine": lambda image, text: normalize(image, dim=1) @ normalize(text, dim=1).T,
}


def semantic_matching(
    logits: Float[Tensor, "b b"],
    image_labels: Float[Tensor, "b k"],
    text_labels: Float[Tensor, "b k"],
    image_known: Bool[Tensor, " b"],
    text_known: Bool[Tensor, " b"],
    *,
    similarity: str = "dot",
    target_temperature: float = 1.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross-entropy with soft targets, the softmax of the labels' similarity over `target_temperature`, and what of it
    can be learned at all: the KL divergence, which is the cross-entropy less the targets' own entropy.

    Both are means over pictures (targets over texts) and over texts (targets over pictures), halved. A picture or text
    of unknown labels is left out. Labels without any finding are as similar to all.

    Source: MedCLIP, Wang et al. 2022. "dot" at temperature 1 is their code, "cosine" at 1 their paper's eq. 3 to 6.
    Differs: theirs calls sentences of unknown labels normal, and has no temperature, which leaves the targets of a
    large batch almost flat."""
    alike = choose(SIMILARITIES, similarity, "similarity")(image_labels, text_labels).to(logits.dtype)
    usable = image_known[:, None] & text_known[None]
    losses, divergences = [], []
    for dim, known in ((1, image_known), (0, text_known)):  # what is not usable is 0 and costs nothing
        wanted = _log_softmax(alike / target_temperature, usable, dim)
        share = wanted.exp()
        given = _log_softmax(logits, usable, dim)
        losses.append(known_mean(-(share * given).sum(dim), known))
        divergences.append(known_mean((share * (wanted - given)).sum(dim), known))
    return (losses[0] + losses[1]) / 2, (divergences[0] + divergences[1]) / 2


def sigmoid_matching(
    logits_with_bias: Float[Tensor, "b b"], positive: Bool[Tensor, "b b"], usable: Bool[Tensor, "b b"]
) -> Float[Tensor, ""]:
    """Sum over the usable pairs of the loss of calling each a match or none, per picture that has any.

    Source: SigLIP, Zhai et al. 2023, eq. 1. Differs: pairs that are not usable (an absent input, two studies of one
    patient) are left out."""
    signs = positive.to(logits_with_bias.dtype) * 2 - 1
    losses = -logsigmoid(signs * logits_with_bias) * usable
    return losses.sum() / usable.any(1).sum().clamp_min(1)


def _log_softmax(values: Float[Tensor, "b b"], allowed: Bool[Tensor, "b b"], dim: int) -> Float[Tensor, "b b"]:
    """Log softmax over the allowed entries alone; 0 at the others, which get no gradient. The lowest finite number
    stands in for -inf, of which a whole row would be NaN."""
    lowest = torch.finfo(values.dtype).min
    return values.masked_fill(~allowed, lowest).log_softmax(dim).masked_fill(~allowed, 0)

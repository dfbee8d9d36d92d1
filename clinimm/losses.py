"""What training makes small. An unknown label gives no loss. b batch, m modalities, k targets."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def known_mean(losses: Float[Tensor, "..."], known: Bool[Tensor, "..."]) -> Float[Tensor, ""]:
    """Mean of the losses that count; 0, with a gradient of 0, if none does."""
    weight = known.to(losses.dtype)
    return (losses * weight).sum() / weight.sum().clamp_min(1)


def masked_bce(
    logits: Float[Tensor, "b k"], targets: Float[Tensor, "b k"], known: Bool[Tensor, "b k"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy over the known labels."""
    return known_mean(binary_cross_entropy_with_logits(logits, targets, reduction="none"), known)


def unimodal_bce(
    unimodal: Float[Tensor, "b m k"],
    targets: Float[Tensor, "b k"],
    known: Bool[Tensor, "b k"],
    present: Bool[Tensor, "b m"],
) -> Float[Tensor, ""]:
    """Binary cross-entropy of each present modality's own answer over the known labels."""
    wanted = targets[:, None].expand_as(unimodal)
    losses = binary_cross_entropy_with_logits(unimodal, wanted, reduction="none")
    return known_mean(losses, present[..., None] & known[:, None])

"""How well pictures and texts of unseen patients find each other, beside chance."""

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from clinimm.pretraining.joint import Joint

DEPTHS = (1, 5, 10)
DIRECTIONS = ("image_to_text", "text_to_image")


def retrieval(joint: Joint) -> dict[str, float]:
    """Of each direction of DIRECTIONS over the pairs: Recall@1, 5 and 10, median rank, mean reciprocal rank, and what
    chance would give of recall and median rank. Empty where there is no pair.

    Every picture is looked up among the texts of all rows, and every text among the pictures. Others of the same
    patient are no errors, so they are not counted. Ties count half: a space where all lie together is at chance."""
    figures: dict[str, float] = {}
    if not joint.paired.any():
        return figures
    near = joint.image @ joint.text.T
    for direction, found, others in zip(DIRECTIONS, (near, near.T), (joint.strangers, joint.strangers.T), strict=True):
        ranks = ranks_of(found, others, joint.paired)
        candidates = 1 + others[joint.paired].sum(1).double()
        told = {f"recall_at_{k}": (ranks <= k).double().mean() for k in DEPTHS}
        told |= {f"chance_recall_at_{k}": (k / candidates).clamp_max(1).mean() for k in DEPTHS}
        told |= {"median_rank": ranks.median(), "chance_median_rank": ((candidates + 1) / 2).median()}
        told |= {"mrr": (1 / ranks).mean()}
        figures |= {f"{direction}_{name}": float(value) for name, value in told.items()}
    return figures


def ranks_of(
    near: Float[Tensor, "b b"], others: Bool[Tensor, "b b"], paired: Bool[Tensor, " b"]
) -> Float[Tensor, " p"]:
    """At which place each pair's row finds its own column among `others`, from 1."""
    near, others = near[paired].double(), others[paired]
    own = near[:, paired.nonzero()[:, 0]].diagonal()[:, None]
    before = (near > own) & others
    tied = (near == own) & others
    return 1 + before.sum(1) + tied.sum(1) / 2


def monitored(figures: Mapping[str, float]) -> tuple[float, float] | None:
    """What an epoch is judged by, less is better: how far the mean reciprocal rank of both directions is from 1, then
    the loss. None where there was no pair to judge on."""
    ranks = [figures[name] for direction in DIRECTIONS if (name := f"val_{direction}_mrr") in figures]
    return (1 - sum(ranks) / len(ranks), figures["val_loss"]) if ranks else None


def note(figures: Mapping[str, float]) -> str:
    """The epoch in a few words, for a progress bar."""
    told = f"loss {figures['train_loss']:.3f}"
    if "val_loss" in figures:
        told += f", val loss {figures['val_loss']:.3f}"
    if "val_image_to_text_mrr" in figures:
        told += f", rank {figures['val_image_to_text_median_rank']:.0f}"
        told += f" of chance {figures['val_image_to_text_chance_median_rank']:.0f}"
    return told

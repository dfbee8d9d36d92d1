"""What stands for "no evidence" in an input that is there: the far end of the integrated gradients' path.

Each baseline differs from its input only where there is evidence, so what is not evidence gets exactly 0."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.attribution.network import Explainable
from clinimm.batch import Batch, ModalityBatch
from clinimm.types import Kind

BLUR = 1 / 8
"""Standard deviation of the image baseline's blur, as a fraction of each side: a lesion does not survive it.

A flat gray baseline would leave a step at the path's start, since group normalization ignores contrast, and no number
of steps adds up over a step: on ResNet10 the gap was 0.2-0.4 logits at 512 steps, with the blur 4e-4 at 64-128."""

NAMES = {
    Kind.IMAGE: f"the image itself, blurred (Gaussian, sigma {BLUR:.3g} of each side)",
    Kind.TEXT: "padding in place of every word; special tokens kept",
    Kind.TABULAR: "the training median of every known value",
}


def baseline_batch(network: Explainable, batch: Batch) -> Batch:
    """`batch` with every input replaced by its kind's baseline; what is present stays present."""
    parts = {
        modality.name: replace(part, values=BASELINES[modality.kind](part, network.encoders[modality.name]))
        for modality, part in zip(network.modalities, batch.modalities.values(), strict=True)
    }
    return replace(batch, modalities=parts)


def _blurred_image(part: ModalityBatch, encoder: Any) -> Tensor:
    return blurred(part.values)


def _padded_text(part: ModalityBatch, encoder: Any) -> Tensor:
    ids = part.values
    special = torch.tensor(encoder.special_ids, dtype=ids.dtype, device=ids.device)
    return torch.where(_mask(part) & ~torch.isin(ids, special), encoder.pad_id, ids)


def _median_values(part: ModalityBatch, encoder: Any) -> Tensor:
    # Values are standardized, so that the training median is 0.
    return torch.where(_mask(part), 0.0, part.values)


BASELINES: dict[Kind, Callable[[ModalityBatch, Any], Tensor]] = {
    Kind.IMAGE: _blurred_image,
    Kind.TEXT: _padded_text,
    Kind.TABULAR: _median_values,
}


def blurred(image: Float[Tensor, "b c *space"], fraction: float = BLUR) -> Float[Tensor, "b c *space"]:
    """`image` under a Gaussian of `fraction` of each side; weights are renormalized at the edges, so a flat image stays
    as it is."""
    for axis in range(2, image.ndim):
        kernel = _gaussian_matrix(image.shape[axis], fraction).to(image)
        image = (image.movedim(axis, -1) @ kernel.T).movedim(-1, axis)
    return image


def _gaussian_matrix(size: int, fraction: float) -> Float[Tensor, "size size"]:
    places = torch.arange(size, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((places[:, None] - places[None, :]) / (fraction * size)) ** 2)
    return weights / weights.sum(dim=1, keepdim=True)


def _mask(part: ModalityBatch) -> Tensor:
    return part.mask if part.mask is not None else torch.ones_like(part.values, dtype=torch.bool)

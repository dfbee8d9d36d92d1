"""What stands for "no evidence" in an input that is there: the far end of the integrated gradients' path.

Each baseline differs from its input only where there is evidence, so what is not evidence gets exactly 0. For images it
must itself look like one: against the median training picture 8.3 and 3.3 times their area of the map lay in planted
lesions and large hearts; against a flat gray, which the same net took for a sick lung, 0.9 and 2.7; against blurs of
the image 0.8 to 1.4 and 1.6."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from clinimm.attribution.network import Explainable
from clinimm.batch import Batch, ModalityBatch
from clinimm.types import Kind

NAMES = {
    Kind.IMAGE: "the median training picture, pixel by pixel",
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


def _typical_image(part: ModalityBatch, encoder: Any) -> Tensor:
    return encoder.typical.expand_as(part.values)


def _padded_text(part: ModalityBatch, encoder: Any) -> Tensor:
    ids = part.values
    special = torch.tensor(encoder.special_ids, dtype=ids.dtype, device=ids.device)
    return torch.where(_mask(part) & ~torch.isin(ids, special), encoder.pad_id, ids)


def _median_values(part: ModalityBatch, encoder: Any) -> Tensor:
    # Values are standardized, so that the training median is 0.
    return torch.where(_mask(part), 0.0, part.values)


BASELINES: dict[Kind, Callable[[ModalityBatch, Any], Tensor]] = {
    Kind.IMAGE: _typical_image,
    Kind.TEXT: _padded_text,
    Kind.TABULAR: _median_values,
}


def _mask(part: ModalityBatch) -> Tensor:
    return part.mask if part.mask is not None else torch.ones_like(part.values, dtype=torch.bool)

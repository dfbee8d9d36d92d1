"""Small random changes to training inputs: the parameters are drawn first, then applied.

No flips: a note may speak of left and right."""

from collections.abc import Collection
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from clinimm.batch import Batch, ModalityBatch
from clinimm.types import Kind, Modality

_TURN, _SHIFT, _ZOOM, _GAIN, _BIAS = 0.12, 0.06, 0.1, 0.15, 0.15  # radians; shares of half the picture; of the values


def augment(
    batch: Batch,
    modalities: Collection[Modality],
    generator: torch.Generator,
    *,
    pictures: Collection[str],
    analyte_dropout: float,
) -> Batch:
    """A batch with the named pictures moved and shaded at random, and known lab values hidden with a probability.

    A panel always keeps one value: hiding the whole of it is modality dropout's to do."""
    parts = dict(batch.modalities)
    for modality in modalities:
        part = parts[modality.name]
        if modality.kind is Kind.IMAGE and modality.name in pictures:
            parts[modality.name] = replace(part, values=shaken(part.values, generator))
        elif modality.kind is Kind.TABULAR and analyte_dropout > 0:
            parts[modality.name] = hidden(part, analyte_dropout, generator)
    return replace(batch, modalities=parts)


def shaken(values: Float[Tensor, "b c ..."], generator: torch.Generator) -> Float[Tensor, "b c ..."]:
    """Each picture turned by up to 7 degrees in its plane, moved, zoomed, and changed in contrast and brightness."""
    return shake(values, draw_shakes(len(values), values.ndim - 2, generator))


def draw_shakes(n: int, axes: int, generator: torch.Generator) -> Float[Tensor, "b s"]:
    """What `shake` does to each of n pictures of so many axes, as uniform draws in [-1, 1]."""
    return torch.rand(n, 5 + axes, generator=generator) * 2 - 1


def shake(values: Float[Tensor, "b c ..."], draw: Float[Tensor, "b s"]) -> Float[Tensor, "b c ..."]:
    """Each picture changed as drawn for it."""
    draw = draw.to(values)
    moved = grid_sample(
        values, affine_grid(_affine(draw, values.ndim - 2), list(values.shape), align_corners=False),
        padding_mode="border", align_corners=False,
    )  # fmt: skip
    shape = (len(values),) + (1,) * (values.ndim - 1)
    return moved * (1 + _GAIN * draw[:, 0].reshape(shape)) + _BIAS * draw[:, 1].reshape(shape)


def _affine(draw: Float[Tensor, "b p"], axes: int) -> Float[Tensor, "b r s"]:
    """(b, axes, axes + 1) from uniform draws in [-1, 1]; a turn is in the plane of rows and columns."""
    theta = torch.eye(axes, axes + 1).to(draw).repeat(len(draw), 1, 1)
    angle, zoom = _TURN * draw[:, 2], 1 + _ZOOM * draw[:, 3]
    first, second = (0, 1) if axes == 2 else (1, 2)  # grid_sample's x is the last axis: of volumes, the slices
    theta[:, first, first] = theta[:, second, second] = zoom * angle.cos()
    theta[:, first, second], theta[:, second, first] = -zoom * angle.sin(), zoom * angle.sin()
    theta[:, :, axes] = _SHIFT * draw[:, 4 : 4 + axes]
    return theta


def hidden(part: ModalityBatch, probability: float, generator: torch.Generator) -> ModalityBatch:
    """Known values hidden with this probability; where that would leave none, all are kept."""
    mask = torch.ones_like(part.values, dtype=torch.bool) if part.mask is None else part.mask
    kept = mask & (torch.rand(mask.shape, generator=generator).to(part.values.device) >= probability)
    kept = torch.where(kept.any(1, keepdim=True), kept, mask)
    return replace(part, mask=kept, values=torch.where(kept, part.values, 0.0))

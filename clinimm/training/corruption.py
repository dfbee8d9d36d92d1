"""Inputs spoilt on purpose, so that the gate learns to doubt what is not what it should be.

Spoilt means that nothing is left in it that could be read: noise, one color, its parts in another order, and for a
picture a smear of it or one drowned in noise. How good a picture looks (its quality features) is measured again in
half of the cases, as it would be from its file; in the others it looks as before, so that its tokens must tell, too.
The quality of other inputs is moved at random in half of the cases.

After the image corruptions of Hendrycks and Dietterich 2019 at their strongest, and, for what they teach, outlier
exposure (Hendrycks, Mazeika and Dietterich 2019)."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, adaptive_avg_pool3d, interpolate

from clinimm.batch import Batch, ModalityBatch, Tokens
from clinimm.data.quality.moved import Looks, moved
from clinimm.models.fusions.doubt import AGES

_PUSH = 2.0
_TABLE = 2  # axes of a batch of panels, or of notes
_SMEARED = 6  # what is left of a picture a side
_DROWNED = 2.0  # noise in standard deviations of the picture


def spoil(batch: Batch, generator: torch.Generator, looks: Mapping[str, Looks] | None = None) -> Batch:
    """The batch with every present input spoilt; `looks` measures the pictures of a modality."""
    parts = {name: _spoilt(part, generator, (looks or {}).get(name)) for name, part in batch.modalities.items()}
    return replace(batch, modalities=parts)


def _spoilt(part: ModalityBatch, generator: torch.Generator, looks: Looks | None) -> ModalityBatch:
    rows = part.present.nonzero()[:, 0]
    if not len(rows):
        return part
    change = spoilt_words if not part.values.is_floating_point() else spoilt_numbers
    change = spoilt_pictures if part.values.ndim > _TABLE else change
    values = part.values.index_copy(0, rows, change(part.values[rows], generator))
    if part.mask is not None and part.values.is_floating_point():
        values = torch.where(part.mask, values, part.values)  # an unknown analyte stays unknown
    encoded = part.encoded
    if encoded is not None:
        odd = spoilt_numbers(encoded.values[rows], generator)
        encoded = Tokens(encoded.values.index_copy(0, rows, odd), encoded.mask)
    before = part.quality[rows]
    if looks is None:
        quality = _pushed(before, generator)
    else:
        quality = _measured(before, part.values[rows], values[rows], looks, generator)
    return replace(part, values=values, quality=part.quality.index_copy(0, rows, quality), encoded=encoded)


def spoilt_numbers(values: Float[Tensor, "r ..."], generator: torch.Generator) -> Float[Tensor, "r ..."]:
    """Each row as noise, as one number, or with its numbers in another order, at random; noise and number are as large
    as the numbers of all rows, or up to twice as large."""
    flat = values.flatten(1)
    mean, spread = values.mean(), values.std(correction=0).clamp_min(1e-3)
    noise = torch.randn(flat.shape, generator=generator).to(flat)
    loud = 1 + torch.rand(len(flat), 1, generator=generator).to(flat)
    order = torch.rand(flat.shape, generator=generator).argsort(1).to(flat.device)
    kinds = torch.stack([mean + loud * spread * noise, (mean + loud * spread * noise[:, :1]).expand_as(flat),
                         flat.gather(1, order)])  # fmt: skip
    chosen = torch.randint(len(kinds), (len(flat),), generator=generator).to(flat.device)
    return kinds[chosen, torch.arange(len(flat), device=flat.device)].view_as(values)


def spoilt_pictures(values: Float[Tensor, "r c ..."], generator: torch.Generator) -> Float[Tensor, "r c ..."]:
    """Each row as `spoilt_numbers` would have it, smeared, or drowned in noise, at random."""
    pool = adaptive_avg_pool2d if values.ndim == len("rchw") else adaptive_avg_pool3d
    smeared = interpolate(pool(values, _SMEARED), size=values.shape[2:], mode="nearest")
    spread = values.flatten(1).std(1, correction=0).view(-1, *[1] * (values.ndim - 1))
    drowned = values + _DROWNED * spread * torch.randn(values.shape, generator=generator).to(values)
    numbers = spoilt_numbers(values, generator)
    kinds = torch.stack([numbers, numbers, smeared, drowned])
    chosen = torch.randint(len(kinds), (len(values),), generator=generator).to(values.device)
    return kinds[chosen, torch.arange(len(values), device=values.device)]


def spoilt_words(values: Int[Tensor, "r n"], generator: torch.Generator) -> Int[Tensor, "r n"]:
    """Each row as random words of the vocabulary, as one word again and again, or as words of all notes mixed."""
    any_word = torch.randint(int(values.max()) + 1, values.shape, generator=generator).to(values)
    mixed = values.flatten()[torch.randint(values.numel(), values.shape, generator=generator).to(values.device)]
    kinds = torch.stack([any_word, any_word[:, :1].expand_as(values), mixed.to(values)])
    chosen = torch.randint(len(kinds), (len(values),), generator=generator).to(values.device)
    return kinds[chosen, torch.arange(len(values), device=values.device)]


def _pushed(quality: Float[Tensor, "r q"], generator: torch.Generator) -> Float[Tensor, "r q"]:
    """Half of the rows pushed by about twice the spread of all, but for the age."""
    push = _PUSH * torch.randn(quality.shape, generator=generator).to(quality)
    half = (torch.rand(len(quality), 1, generator=generator) < 0.5).to(quality)
    pushed = quality + half * push * (quality.std(0, correction=0) + 0.1)
    return torch.cat([pushed[:, :-AGES], quality[:, -AGES:]], dim=1)


def _measured(
    quality: Float[Tensor, "r q"], before: Float[Tensor, "r c ..."], after: Float[Tensor, "r c ..."], looks: Looks,
    generator: torch.Generator,
) -> Float[Tensor, "r q"]:  # fmt: skip
    """Half of the rows as the pictures look now."""
    half = (torch.rand(len(quality), generator=generator) < 0.5).nonzero()[:, 0].to(quality.device)
    return quality.index_copy(0, half, moved(quality[half], before[half], after[half], looks))

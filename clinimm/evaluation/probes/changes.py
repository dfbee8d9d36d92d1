"""Batches with one thing changed, to see whether a model's answer follows it.

b cases, f analytes, c channels."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from clinimm.batch import Batch, ModalityBatch
from clinimm.data.quality import QUALITIES
from clinimm.types import InputState, Kind, Modality, Status

FRAME, MARGIN = 0.08, 0.2  # of a side: what counts as border, and what a crop to the centre cuts off
ALONE, COVERED, CENTER, BORDER = "alone", "border covered", "center only", "border only"
HIDDEN, HALF, REVEALED, SWAPPED = "analyte hidden", "half hidden", "gaps at the median", "another case's gaps"

_GONE = InputState(Status.ABSENT, "hidden_by_a_probe")


@dataclass(frozen=True)
class Change:
    """What was done to which input; `analyte` where it was done to one of them."""

    kind: str
    input: str
    analyte: str = ""


@dataclass(frozen=True)
class Changed:
    """A batch in which some cases were changed; the answers for the others are none."""

    batch: Batch
    rows: Bool[Tensor, " b"]


def picture_changes(batch: Batch, modality: Modality, typical: float) -> dict[Change, Changed]:
    """The picture alone, as it came and with parts of it replaced by a `typical` value: its border covered, all but its
    center, all but its border. The cases that have it."""
    name = modality.name
    part = batch.modalities[name]
    border, outer = frame(modality, FRAME), frame(modality, MARGIN)
    only = Batch(
        batch.case_ids,
        {other: one if other == name else _gone(one) for other, one in batch.modalities.items()},
        batch.targets,
        batch.target_mask,
    )
    kept = {COVERED: ~border, CENTER: ~outer, BORDER: border}
    seen = {Change(ALONE, name): only}
    for kind, shown in kept.items():
        values = torch.where(shown, part.values, torch.as_tensor(typical, dtype=part.values.dtype))
        seen[Change(kind, name)] = _with(only, name, replace(part, values=values, encoded=None))
    return {change: Changed(one, part.present) for change, one in seen.items()}


def frame(modality: Modality, share: float) -> Bool[Tensor, "1 ..."]:
    """Which pixels of the prepared picture lie within `share` of its rows or columns from an edge."""
    h, w = modality.shape[1:3]
    rows, columns = max(1, round(share * h)), max(1, round(share * w))
    inside = torch.zeros(modality.shape, dtype=torch.bool)
    inside[:, rows : h - rows, columns : w - columns] = True
    return ~inside[:1]


def table_changes(batch: Batch, modality: Modality, seed: int) -> dict[Change, Changed]:
    """A table with gaps made or closed: each analyte hidden where it is known; half of what is known hidden by lot; all
    gaps closed at the training median; and what is unknown in another case, drawn by lot, hidden here too.

    Closing a gap at the median, the same for everyone, sets no patient apart from another: what the order of the
    answers loses by it is what was read from the gaps."""
    name = modality.name
    part = batch.modalities[name]
    known = known_of(part)
    generator = torch.Generator().manual_seed(seed)
    half = known & (torch.rand(known.shape, generator=generator) < 0.5)
    found = {
        Change(HALF, name): known & ~half,
        Change(REVEALED, name): part.present[:, None].expand_as(known),
        Change(SWAPPED, name): known & known[_donors(part.present, generator)],
    }
    for column, analyte in enumerate(modality.analytes):
        left = known.clone()
        left[:, column] = False
        found[Change(HIDDEN, name, analyte.name)] = left
    return {
        change: Changed(_with(batch, name, with_known(part, told)), (told != known).any(dim=1))
        for change, told in found.items()
    }


def known_of(part: ModalityBatch) -> Bool[Tensor, "b f"]:
    """Which analytes of each case are known."""
    mask = torch.ones_like(part.values, dtype=torch.bool) if part.mask is None else part.mask
    return mask & part.present[:, None]


def with_known(part: ModalityBatch, known: Bool[Tensor, "b f"]) -> ModalityBatch:
    """The table with these analytes known: a new one at 0, the training median. With none left it is absent."""
    values = torch.where(known & known_of(part), part.values, 0.0)
    present = known.any(dim=1)
    quality = part.quality.clone()
    quality[:, QUALITIES[Kind.TABULAR].index("completeness")] = known.float().mean(dim=1)
    states = tuple(s if there else _GONE for s, there in zip(part.states, present.tolist(), strict=True))
    quality = torch.where(present[:, None], quality, 0.0)
    return ModalityBatch(values, present, known, quality, states)


def typical_value(part: ModalityBatch) -> float:
    """The median of all pixels of all pictures that are there; 0 where none is."""
    values = part.values[part.present]
    return float(values.flatten()[:: max(1, values.numel() // (1 << 20))].median()) if values.numel() else 0.0


def _donors(present: Bool[Tensor, " b"], generator: torch.Generator) -> Tensor:
    """For each case that has the input another one that has it; a case that has not stands for itself."""
    rows = present.nonzero()[:, 0]
    donors = torch.arange(len(present))
    order = torch.randperm(len(rows), generator=generator)
    donors[rows[order]] = rows[order.roll(1)]
    return donors


def _gone(part: ModalityBatch) -> ModalityBatch:
    return replace(part, present=torch.zeros_like(part.present), states=(_GONE,) * len(part.states))


def _with(batch: Batch, name: str, part: ModalityBatch) -> Batch:
    return Batch(batch.case_ids, {**batch.modalities, name: part}, batch.targets, batch.target_mask)

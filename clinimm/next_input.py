"""Which absent input to get next: how far each would be expected to move the answer, by the model's own completion.

For each absent input, draws of what it might hold given the others (a joint Gaussian over fixed features) go through
the learner; the answer moves as far as the learner's does. Source: the expected value of information (Howard 1966),
with the change of the probability for its value."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float

from clinimm.batch import Batch, ModelOutput, Tokens
from clinimm.calibration import Calibrator
from clinimm.models.committee import Committee, believed
from clinimm.scores import subset_name
from clinimm.types import NextInput

DRAWS = 64


def next_inputs(
    committee: Committee,
    batch: Batch,
    tokens: Mapping[str, Tokens],
    output: ModelOutput,
    calibrator: Calibrator,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[NextInput, ...]:
    """The inputs that a batch of one lacks, the one that is expected to change its answer most first; `tokens` are the
    committee's for it, and `output` its answer. Empty for a complete case, one with nothing, or without a learner."""
    names = [modality.name for modality in committee.modalities]
    here = batch.present[0].tolist()
    if committee.learner is None or all(here) or not any(here):
        return ()
    logits = output.logits[0].double().cpu().numpy()
    heard = believed(batch.present, output.trust)
    mine = committee.of_member(tokens, len(committee.nets))
    now = committee.learner.fuse(mine, heard, batch.quality).logits
    generator = torch.Generator().manual_seed(seed)
    found = []
    for arriving in (name for name, one in zip(names, here, strict=True) if not one):
        later = committee.learner.imagined(mine, heard, arriving, draws, generator)
        moved = logits + (later - now).double().cpu().numpy()
        pattern = [name for name, one in zip(names, here, strict=True) if one or name == arriving]
        found.append(_told(arriving, logits, moved, _pattern(names, here), subset_name(pattern), calibrator))
    return tuple(sorted(found, key=lambda one: (-max(one.expected_change.values()), one.name)))


def _pattern(names: Sequence[str], here: Sequence[bool]) -> str:
    return subset_name([name for name, one in zip(names, here, strict=True) if one])


def _told(
    name: str,
    logits: Float[np.ndarray, " k"],
    moved: Float[np.ndarray, "d k"],
    before: str,
    after: str,
    calibrator: Calibrator,
) -> NextInput:
    now = calibrator.apply(logits[None], [before])
    later = calibrator.apply(moved, [after] * len(moved))
    change = np.abs(later - now).mean(axis=0)
    flips = ((later >= calibrator.thresholds) != (now >= calibrator.thresholds)).mean(axis=0)
    targets = list(calibrator.targets)
    return NextInput(
        name=name,
        expected_change=dict(zip(targets, change.tolist(), strict=True)),
        flip_chance=dict(zip(targets, flips.tolist(), strict=True)),
    )

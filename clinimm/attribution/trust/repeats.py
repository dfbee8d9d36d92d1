"""Tests that explain again: the same case twice, under a noise that nobody would see, and with shuffled weights. Each
costs as much as an explanation or more, so that they run only where a check is asked for."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from captum.metrics import sensitivity_max
from torch import Tensor

from clinimm.attribution.trust.limits import Limits
from clinimm.attribution.trust.randomized import cosine
from clinimm.attribution.units import Units
from clinimm.batch import Batch
from clinimm.types import Attribution, Check, Kind, Modality

Explainer = Callable[[Batch], Attribution]


def repeatable(explain: Explainer, batch: Batch, first: Attribution) -> Check:
    """1 where asking again gives other bits, else 0."""
    again = explain(batch)
    same = all(np.array_equal(first.maps[name], values, equal_nan=True) for name, values in again.maps.items())
    return Check("repeat", float(not (same and again.shapley == first.shapley)), 0.0)


def sensitivity(
    explain: Explainer, batch: Batch, first: Attribution, modalities: Sequence[Modality], units: Sequence[Units],
    limits: Limits, *, radius: float, noises: int, seed: int,
) -> list[Check]:  # fmt: skip
    """The greatest change of the units' scores, relative to their size, under noise of at most `radius` standard
    deviations on every pixel and value. Nothing for a case that is words alone: there is no small change of a word.

    Source: sensitivity-max (Yeh et al. 2019), by Captum."""
    noisy = [m.name for m in modalities if m.kind is not Kind.TEXT and bool(batch.modalities[m.name].present[0])]
    if not noisy:
        return []
    generator = torch.Generator().manual_seed(seed)
    given = tuple(batch.modalities[name].values for name in noisy)

    def explained(values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        same = all(torch.equal(a, b) for a, b in zip(values, given, strict=True))
        found = first if same else explain(_with(batch, dict(zip(noisy, values, strict=True))))
        return tuple(torch.from_numpy(one.scores(found.maps[one.name]))[None] for one in units)

    def shaken(values: tuple[Tensor, ...], size: float) -> tuple[Tensor, ...]:
        noise = ((2 * torch.rand(one.shape, generator=generator) - 1).to(one.device) for one in values)
        return tuple(one + size * grain for one, grain in zip(values, noise, strict=True))

    change = sensitivity_max(
        explained, given, perturb_func=shaken, perturb_radius=radius, n_perturb_samples=noises, max_examples_per_batch=1
    )
    return [Check("sensitivity", float(change[0]), limits.sensitivity)]


def randomized(shuffled: Sequence[Explainer], batch: Batch, first: Attribution, limits: Limits) -> Check:
    """The mean cosine between the maps and those of nets with shuffled weights."""
    alike = float(np.mean([cosine(first, one(batch)) for one in shuffled]))
    return Check("randomized weights", alike, limits.randomized)


def _with(batch: Batch, values: dict[str, Tensor]) -> Batch:
    parts = {name: replace(part, values=values.get(name, part.values)) for name, part in batch.modalities.items()}
    return replace(batch, modalities=parts)

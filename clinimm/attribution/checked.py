"""Explanations of one case, each with the verdict of the tests that say whether it is to be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from clinimm.attribution.committee import Target, explain_together
from clinimm.attribution.explain import METHOD
from clinimm.attribution.kept import Kept
from clinimm.attribution.trust.limits import Limits
from clinimm.attribution.trust.randomized import SHUFFLES, STEPS, shuffled
from clinimm.attribution.trust.repeats import Explainer, randomized, repeatable, sensitivity
from clinimm.attribution.trust.tests import SEED, gate, perturbed
from clinimm.batch import Batch
from clinimm.models.committee import Committee
from clinimm.types import Attribution, Check


@dataclass(frozen=True)
class Care:
    """How closely an explanation is made and tested; `clinimm.config.explain` says what each means."""

    tolerance: float
    max_steps: int
    rows: int
    orders: int
    thorough_orders: int
    radius: float
    noises: int
    limits: Limits


def explain_checked(
    committee: Committee,
    batch: Batch,
    targets: Mapping[str, int],
    care: Care,
    *,
    method: str = METHOD,
    thorough: bool = False,
) -> list[Attribution]:
    """The explanation of each target (its name and place) of a batch of one, with its checks. `thorough` adds those
    that explain again: the same case, under noise, and with shuffled weights."""
    kept = Kept(committee.members_for(batch), batch)
    weights = weights_of(committee, batch)
    others = _shuffled(committee) if thorough else []
    options = {"method": method, "tolerance": care.tolerance, "internal_batch_size": care.rows}
    asked = [(batch, target) for target in targets.items()]
    alone = [[one] for one in asked] if thorough else [asked]  # as they are repeated: last digits depend on it
    plain = [one for each in alone for one in explain_together(committee, each, max_steps=care.max_steps, **options)]
    explained = []
    for found, (_, target) in zip(plain, asked, strict=True):
        checks = plain_checks(kept, found, weights, target[1], care, thorough=thorough)
        if thorough:
            again, *guessed = (
                partial(_explain, one, target, options | {"max_steps": steps})
                for one, steps in ((committee, care.max_steps), *((other, STEPS) for other in others))
            )
            checks += _thorough(again, guessed, batch, found, committee, kept, care)
        explained.append(replace(found, checks=(*found.checks, *checks)))
    return explained


def plain_checks(
    kept: Kept, found: Attribution, weights: Mapping[str, float], index: int, care: Care, *, thorough: bool = False
) -> list[Check]:
    """The checks of an explanation that do not explain again. `weights` are what the gate gives each input."""
    orders = care.thorough_orders if thorough else care.orders
    return [
        *perturbed(kept, found, index, care.limits, orders=orders, thorough=thorough),
        gate(found, weights, care.limits),
    ]


def _thorough(
    again: Explainer, guessed: Sequence[Explainer], batch: Batch, found: Attribution,
    committee: Committee, kept: Kept, care: Care,
) -> list[Check]:  # fmt: skip
    units = list(kept.units.values())
    return [
        repeatable(again, batch, found),
        *sensitivity(
            again, batch, found, committee.modalities, units, care.limits,
            radius=care.radius, noises=care.noises, seed=SEED,
        ),
        randomized(guessed, batch, found, care.limits),
    ]  # fmt: skip


def _explain(committee: Committee, target: Target, options: Mapping[str, Any], batch: Batch) -> Attribution:
    return explain_together(committee, [(batch, target)], **options)[0]


@torch.no_grad()
def weights_of(committee: Committee, batch: Batch) -> dict[str, float]:
    """What the gate gives each input; exactly 0 for the absent."""
    names = (modality.name for modality in committee.modalities)
    return dict(zip(names, committee(batch).weights[0].tolist(), strict=True))


def _shuffled(committee: Committee) -> list[Committee]:
    """The same for the same artifact: the draws are seeded."""
    generator = torch.Generator().manual_seed(SEED)
    return [shuffled(committee, generator) for _ in range(SHUFFLES)]

"""Whether an artifact's guards let good inputs in and keep wrong pictures out, on the test set. b cases.

Every good test input counts. Wrong pictures are made of the test set's own: inverted, turned upside down, black, and
noise; no threshold was set by these films. That is a tripwire for a guard that broke, not a measure of how good it
is."""

from collections.abc import Callable, Mapping

import torch
from scipy.stats import beta
from torch import Tensor

from clinimm.batch import Batch
from clinimm.config import Config, ImageInput
from clinimm.evaluation.limits import LEVEL, Finding
from clinimm.guard.guards import Guards
from clinimm.guard.judgement import Verdict
from clinimm.guard.pictures import PictureGuard

Spoil = Callable[[Tensor, torch.Generator], Tensor]
WRONG: Mapping[str, Spoil] = {
    "inverted": lambda pixels, _: 1 - pixels,
    "upside down": lambda pixels, _: pixels.flip(2),
    "black": lambda pixels, _: torch.zeros_like(pixels),
    "noise": lambda pixels, generator: torch.rand(pixels.shape, generator=generator).to(pixels),
}
"""Pixels in [0, 1] to pixels in [0, 1]; the axis after the channel runs from head to foot."""


def false_blocks_hold(before: Batch, after: Batch, guards: Guards, limit: float) -> list[Finding]:
    """Whether what is usable is let in: the exact lower end of the share that the guard turned away must not lie above
    the limit (Clopper & Pearson 1934)."""
    found = []
    for name in guards.by_name:
        given = int(before.modalities[name].present.sum())
        blocked = given - int(after.modalities[name].present.sum())
        if given:
            told = f"{name}: {blocked} of {given} usable test inputs turned away ({blocked / given:.1%})"
            holds = _lowest(blocked, given) <= limit
            found.append(Finding("false blocks", holds, f"{told}; limit {limit:.1%}"))
    return found or [Finding("false blocks", None, "no input of the test set is guarded")]


def wrong_pictures_hold(guards: Guards, batch: Batch, config: Config, least: float, *, seed: int) -> list[Finding]:
    """Whether wrong pictures are blocked or flagged: of no kind may the share surely lie below `least`."""
    found = []
    for name, section in config.inputs.items():
        if not isinstance(section, ImageInput):
            continue
        guard = guards.by_name.get(name)
        part = batch.modalities[name]
        if not isinstance(guard, PictureGuard) or not bool(part.present.any()):
            found.append(Finding("wrong pictures", None, f"{name}: is not guarded, or no test case has one"))
            continue
        right = part.values[part.present] * section.std + section.mean
        found.append(_caught(name, guard, right.clamp(0, 1), section.mean, section.std, least, seed))
    return found


def _caught(name: str, guard: PictureGuard, right: Tensor, mean: float, std: float, least: float, seed: int) -> Finding:
    generator = torch.Generator().manual_seed(seed)
    shares, holds = [], True
    for kind, spoil in WRONG.items():
        judged = guard.judge((spoil(right, generator) - mean) / std)
        caught = sum(judgement.verdict is not Verdict.OK for judgement in judged)
        shares.append(f"{kind} {caught / len(judged):.0%}")
        holds = holds and _lowest(len(judged) - caught, len(judged)) <= 1 - least
    return Finding("wrong pictures", holds, f"{name}: caught of {len(right)}: {', '.join(shares)} (least {least:.0%})")


def _lowest(hits: int, of: int) -> float:
    """The lower end of what a share may be, that was seen so often."""
    return float(beta.ppf(1 - LEVEL, hits, of - hits + 1)) if hits else 0.0

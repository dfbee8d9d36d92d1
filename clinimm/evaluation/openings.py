"""Whether an artifact's guards let good inputs in and keep wrong pictures out, on the test set. b cases.

Every good test input counts: a film that the manifest itself calls lateral is none for a model of frontal ones. Wrong
pictures are those, and what is made of the good ones: inverted, turned upside down, black, and noise; no threshold was
set by these films. That is a tripwire for a guard that broke, not a measure of how good it is."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool
from scipy.stats import beta
from torch import Tensor

from clinimm.batch import Batch
from clinimm.config import Config, ImageInput
from clinimm.evaluation.limits import LEVEL, Finding
from clinimm.guard.guards import Guards, accepted
from clinimm.guard.judgement import Verdict
from clinimm.guard.pictures import PictureGuard
from clinimm.types import Case

Spoil = Callable[[Tensor, torch.Generator], Tensor]
Right = Mapping[str, Bool[Tensor, " b"]]
WRONG: Mapping[str, Spoil] = {
    "inverted": lambda pixels, _: 1 - pixels,
    "upside down": lambda pixels, _: pixels.flip(2),
    "black": lambda pixels, _: torch.zeros_like(pixels),
    "noise": lambda pixels, generator: torch.rand(pixels.shape, generator=generator).to(pixels),
}
"""Pixels in [0, 1] to pixels in [0, 1]; the axis after the channel runs from head to foot."""


def right_kind(config: Config, cases: Sequence[Case]) -> Right:
    """For each input, which cases' pictures are of the kind that the model takes, as far as the cases tell."""
    return {name: accepted(name, section, cases, len(cases)) for name, section in config.inputs.items()}


def false_blocks_hold(before: Batch, after: Batch, guards: Guards, right: Right, limit: float) -> list[Finding]:
    """Whether what is usable is let in: the exact lower end of the share that the guard turned away must not lie above
    the limit (Clopper & Pearson 1934)."""
    found = []
    for name in guards.by_name:
        good = before.modalities[name].present & right[name]
        given, blocked = int(good.sum()), int((good & ~after.modalities[name].present).sum())
        if given:
            told = f"{name}: {blocked} of {given} usable test inputs turned away ({blocked / given:.1%})"
            holds = _lowest(blocked, given) <= limit
            found.append(Finding("false blocks", holds, f"{told}; limit {limit:.1%}"))
    return found or [Finding("false blocks", None, "no input of the test set is guarded")]


def wrong_pictures_hold(
    guards: Guards, batch: Batch, config: Config, right: Right, least: float, *, seed: int
) -> list[Finding]:
    """Whether wrong pictures are blocked or flagged: of no kind may the share surely lie below `least`."""
    found = []
    for name, section in config.inputs.items():
        if not isinstance(section, ImageInput):
            continue
        guard = guards.by_name.get(name)
        part = batch.modalities[name]
        good = part.present & right[name]
        if not isinstance(guard, PictureGuard) or not bool(good.any()):
            found.append(Finding("wrong pictures", None, f"{name}: is not guarded, or no test case has one"))
            continue
        generator = torch.Generator().manual_seed(seed)
        pixels = (part.values[good] * section.std + section.mean).clamp(0, 1)
        wrong = {kind: (spoil(pixels, generator) - section.mean) / section.std for kind, spoil in WRONG.items()}
        if bool((others := part.present & ~right[name]).any()):
            wrong["not accepted"] = part.values[others]
        found.append(_caught(name, guard, wrong, least))
    return found


def _caught(name: str, guard: PictureGuard, wrong: Mapping[str, Tensor], least: float) -> Finding:
    shares, holds = [], True
    for kind, values in wrong.items():
        caught = sum(judgement.verdict is not Verdict.OK for judgement in guard.judge(values))
        shares.append(f"{kind} {caught} of {len(values)}")
        holds = holds and _lowest(len(values) - caught, len(values)) <= 1 - least
    return Finding("wrong pictures", holds, f"{name}: caught: {', '.join(shares)} (least {least:.0%})")


def _lowest(hits: int, of: int) -> float:
    """The lower end of what a share may be, that was seen so often."""
    return float(beta.ppf(1 - LEVEL, hits, of - hits + 1)) if hits else 0.0

"""Maps over the inputs of a case by the method that reports use: all present inputs at once, on one joint path."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clinimm.attribution.checks import allowed, completeness
from clinimm.attribution.question import Question
from clinimm.batch import Tokens
from clinimm.types import Check, Kind

Maps = dict[str, Tensor]
POINTS = 8
"""Gauss-Legendre points on each stretch of the path."""

_LEGENDRE = np.polynomial.legendre.leggauss(POINTS)
_NODES, _WEIGHTS = (1 + _LEGENDRE[0]) / 2, _LEGENDRE[1] / 2  # on [0, 1]


@dataclass(frozen=True)
class Ends:
    """The logits at both ends of the path."""

    baseline_logit: float
    logit: float

    @property
    def change(self) -> float:
        return self.logit - self.baseline_logit


@dataclass(frozen=True)
class Voice:
    """One member before the question: its `part` in the logit, its own logits at both ends, the case's tokens."""

    question: Question
    part: float
    ends: Ends
    tokens: dict[str, Tokens]


@dataclass(frozen=True)
class Effort:
    """How closely the maps must add up, with at most how many points a member, and how many rows are in memory."""

    tolerance: float
    max_steps: int
    internal_batch_size: int


@dataclass(frozen=True)
class Explained:
    """Signed maps of the inputs in use, in logits and in their modality's shape: words, not word vectors. The member
    with the most points has `steps` of them, and `passes` rows were run, over all members. No `check` where the method
    does not promise to add up."""

    maps: Maps
    steps: int
    passes: int
    check: Check | None


def integrated_gradients(voices: Sequence[Voice], effort: Effort) -> Explained:
    """Integrated gradients of one joint straight path from the baselines to the case, for each member.

    On every stretch of a member's path its maps must sum to the change of its logit, so the stretch that is furthest
    off, of whichever member, is halved until the whole adds up, and each member's gap is small beside what all of
    them move: what adds up by luck does not count.

    Source: Sundararajan et al. 2017, eq. 1, by quadrature on each stretch. Differs: points lie densest where a net
    bends, and in the nets that bend, which takes far fewer than doubling them all."""
    stretches = [_walk(_Stretch(voice, 0.0, 1.0, voice.ends, {}, 0.0), effort) for voice in voices]
    change = sum(voice.part * voice.ends.change for voice in voices)
    passes = POINTS * len(voices)
    while _is_off(stretches, change, effort) and POINTS * (len(stretches) + 1) <= effort.max_steps * len(voices):
        worst = max(range(len(stretches)), key=lambda i: abs(stretches[i].gap))
        stretches += _halve(stretches.pop(worst), effort)
        passes += 2 * POINTS + 1
    points = [POINTS * sum(stretch.voice is voice for stretch in stretches) for voice in voices]
    first, *rest = stretches
    maps = {name: sum((one.maps[name] for one in rest), values) for name, values in first.maps.items()}
    return Explained(maps, max(points), passes, _check(stretches, change, effort))


Method = Callable[[Sequence[Voice], Effort], Explained]


@dataclass(frozen=True)
class _Stretch:
    """A part of one member's path, between two places in [0, 1]; `gap` is what its maps sum to beyond the change over
    it. Maps and gap count as the member does; `ends` are its own."""

    voice: Voice
    start: float
    end: float
    ends: Ends
    maps: Maps
    gap: float


def _halve(whole: _Stretch, effort: Effort) -> list[_Stretch]:
    """Both halves, from one batch: their points, and the place where they meet."""
    middle = (whole.start + whole.end) / 2
    points = [*_points(whole.start, middle), *_points(middle, whole.end), middle]
    logits, slopes = _slopes(whole.voice.question, points, effort.internal_batch_size)
    meet = float(logits[-1])
    first = replace(whole, end=middle, ends=Ends(whole.ends.baseline_logit, meet))
    second = replace(whole, start=middle, ends=Ends(meet, whole.ends.logit))
    early, late = ([one[i * POINTS : (i + 1) * POINTS] for one in slopes] for i in (0, 1))
    return [_measured(first, early), _measured(second, late)]


def _walk(stretch: _Stretch, effort: Effort) -> _Stretch:
    """The stretch with its maps and its gap."""
    points = _points(stretch.start, stretch.end)
    return _measured(stretch, _slopes(stretch.voice.question, points, effort.internal_batch_size)[1])


def _points(start: float, end: float) -> list[float]:
    return [start + (end - start) * node for node in _NODES]


def _slopes(question: Question, places: Sequence[float], rows: int) -> tuple[Tensor, list[Tensor]]:
    """The logit at each place of the path, and its gradient by every input in use, a row per place."""
    logits, slopes = [], []
    for start in range(0, len(places), rows):
        here = [question.at(place) for place in places[start : start + rows]]
        varied = tuple(torch.cat(one).detach().requires_grad_() for one in zip(*here, strict=True))
        with torch.enable_grad():
            answers = question.logits(*varied)
            slopes.append(torch.autograd.grad(answers.sum(), varied))
        logits.append(answers.detach())
    return torch.cat(logits), [torch.cat(one) for one in zip(*slopes, strict=True)]


def _measured(stretch: _Stretch, slopes: Sequence[Tensor]) -> _Stretch:
    """The stretch with the maps that the slopes at its points make, and their gap."""
    question, part = stretch.voice.question, stretch.voice.part
    maps, total = {}, 0.0
    for name, slope in zip(question.used, slopes, strict=True):
        weights = torch.tensor(_WEIGHTS, dtype=slope.dtype, device=slope.device)
        mean = torch.tensordot(weights, slope, dims=1) * (stretch.end - stretch.start)
        values = mean[None] * (question.embedded[name] - question.baseline[name])
        maps[name] = part * _shaped(question, name, values)
        total += float(values.double().sum())
    return replace(stretch, maps=maps, gap=part * (total - stretch.ends.change))


def _shaped(question: Question, name: str, values: Tensor) -> Tensor:
    """A map in its modality's own shape: word vectors are summed to words."""
    kinds = {modality.name: modality.kind for modality in question.network.modalities}
    return (values[0].sum(dim=-1) if kinds[name] is Kind.TEXT else values[0]).detach()


def _check(stretches: Sequence[_Stretch], change: float, effort: Effort) -> Check:
    return completeness(change + sum(s.gap for s in stretches), change, effort.tolerance)


def _is_off(stretches: Sequence[_Stretch], change: float, effort: Effort) -> bool:
    """Whether the whole does not add up, or would not but for the luck of members that are off either way."""
    gaps = {id(s.voice): 0.0 for s in stretches}
    for stretch in stretches:
        gaps[id(stretch.voice)] += stretch.gap
    moved = sum(voice.part * abs(voice.ends.change) for voice in {id(s.voice): s.voice for s in stretches}.values())
    spread = sum(gap**2 for gap in gaps.values()) ** 0.5
    return spread > allowed(moved, effort.tolerance) or not _check(stretches, change, effort).passed

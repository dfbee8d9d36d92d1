"""Maps over the inputs of a question, by name. Every method walks all present inputs at once, on one path."""

from collections.abc import Callable
from dataclasses import dataclass

from captum.attr import IntegratedGradients
from torch import Tensor

from clinimm.attribution.checks import completeness
from clinimm.attribution.question import Question
from clinimm.types import Check

Maps = dict[str, Tensor]
POINTS = 8
"""Gauss-Legendre points on each stretch of the path."""


@dataclass(frozen=True)
class Ends:
    """The logits at both ends of the path."""

    baseline_logit: float
    logit: float

    @property
    def change(self) -> float:
        return self.logit - self.baseline_logit


@dataclass(frozen=True)
class Effort:
    """How closely the maps must add up, with at most how many points, and how many rows are in memory at a time."""

    tolerance: float
    max_steps: int
    internal_batch_size: int


@dataclass(frozen=True)
class Explained:
    """Signed maps over the embedded inputs in use, in logits; `steps` points make them, `passes` rows were run."""

    maps: Maps
    steps: int
    passes: int
    check: Check


def integrated_gradients(question: Question, ends: Ends, effort: Effort) -> Explained:
    """Integrated gradients of one joint straight path from the baselines to the case.

    On every stretch of the path the maps must sum to the change of the logit, so the stretch that is furthest off is
    halved until the whole adds up. Source: Sundararajan et al. 2017, eq. 1, by Captum on each stretch. Differs: points
    lie densest where the net bends, which takes half as many of them as doubling them everywhere."""
    stretches = _halve(question, _Stretch(0.0, 1.0, ends, {}, 0.0), effort)
    while _is_off(stretches, ends, effort) and POINTS * (len(stretches) + 1) <= effort.max_steps:
        worst = max(range(len(stretches)), key=lambda i: abs(stretches[i].gap))
        stretches += _halve(question, stretches.pop(worst), effort)
    return Explained(
        maps={name: sum((s.maps[name] for s in stretches[1:]), stretches[0].maps[name]) for name in question.used},
        steps=POINTS * len(stretches),
        passes=_ROWS_A_HALVING * (len(stretches) - 1),
        check=_completeness(stretches, ends, effort),
    )


Method = Callable[[Question, Ends, Effort], Explained]
METHODS: dict[str, Method] = {"integrated_gradients": integrated_gradients}


@dataclass(frozen=True)
class _Stretch:
    """A part of the path, between two places in [0, 1]; `gap` is what its maps sum to beyond the change over it."""

    start: float
    end: float
    ends: Ends
    maps: Maps
    gap: float


_ROWS_A_HALVING = 2 * POINTS + 1


def _halve(question: Question, whole: _Stretch, effort: Effort) -> list[_Stretch]:
    middle = (whole.start + whole.end) / 2
    logit = question.logit_at(middle)
    return [
        _walk(question, whole.start, middle, Ends(whole.ends.baseline_logit, logit), effort),
        _walk(question, middle, whole.end, Ends(logit, whole.ends.logit), effort),
    ]


def _walk(question: Question, start: float, end: float, ends: Ends, effort: Effort) -> _Stretch:
    maps = IntegratedGradients(question.logits).attribute(
        question.at(end),
        baselines=question.at(start),
        n_steps=POINTS,
        internal_batch_size=effort.internal_batch_size,
    )
    total = sum((float(values.double().sum()) for values in maps), 0.0)
    return _Stretch(start, end, ends, dict(zip(question.used, maps, strict=True)), total - ends.change)


def _completeness(stretches: list[_Stretch], ends: Ends, effort: Effort) -> Check:
    return completeness(ends.change + sum(s.gap for s in stretches), ends.change, effort.tolerance)


def _is_off(stretches: list[_Stretch], ends: Ends, effort: Effort) -> bool:
    return not _completeness(stretches, ends, effort).passed

"""The robustness curve: the AUROC as inputs are taken away at random, and the area under it.

No model is asked again: a case that lost inputs has the answer it got for the subset it is left with. n cases, m
inputs, k targets, r resamples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from clinimm.bootstrap import Estimate, Weights, estimate, resampled
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.measure import Gain
from clinimm.scores import Scores, subset_name

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
REPEATS, FEWEST_REPEATS, ENOUGH = 20, 2, 20_000  # removals; and removals times cases
MODEL = "clinimm"

BySubset: TypeAlias = Mapping[str, Float[np.ndarray, "n k"]]

_BLOCK = 1 << 20  # pairs of a yes and a no that are compared at once


@dataclass(frozen=True)
class Curve:
    """`auroc` at each of the rates, the mean over the removals; `area` is the mean height of the curve."""

    name: str
    auroc: tuple[Estimate, ...]
    area: Estimate

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "auroc": [one.record() for one in self.auroc], "area": self.area.record()}


@dataclass(frozen=True)
class Robustness:
    """`curves` has the model first; `gains` are the differences of its area to each opponent's, on the same removals
    and the same draws of patients."""

    target: str
    cases: int
    rates: tuple[float, ...]
    repeats: int
    curves: tuple[Curve, ...]
    gains: tuple[Gain, ...]

    @property
    def beaten_by(self) -> tuple[Gain, ...]:
        """The opponents whose area is larger, clearly or not."""
        return tuple(gain for gain in self.gains if (gain.auroc.value or 0.0) < 0)

    def record(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "cases": self.cases,
            "rates": list(self.rates),
            "repeats": self.repeats,
            "curves": [curve.record() for curve in self.curves],
            "gains": [gain.record() for gain in self.gains],
        }


def robustness(
    answers: Answers,
    opponents: Mapping[str, BySubset] | None = None,
    *,
    rates: tuple[float, ...] = RATES,
    repeats: int | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[Robustness, ...]:
    """One per target. Each input of each case is removed with probability `rate`, by itself; a case that would lose all
    keeps one of them, drawn at random, for no model is asked about nothing. What is removed at one rate stays removed
    at the next. By default there are 20 removals, fewer where more than a thousand cases average out their luck.

    Opponents answer the same cases in the same order, for every subset, and always: fill a gap by the prevalence. Cases
    without any input are left out."""
    repeats = repeats or max(FEWEST_REPEATS, min(REPEATS, ENOUGH // max(1, len(answers.scores))))
    removed = removals(answers.scores, rates, repeats, seed)
    everyone = {MODEL: answers.probabilities, **(opponents or {})}
    targets = answers.scores.target_names
    return tuple(_of_target(answers, everyone, removed, target, rates, bootstrap, seed) for target in targets)


def removals(scores: Scores, rates: tuple[float, ...], repeats: int, seed: int) -> Int[np.ndarray, "t p n"]:
    """What each case is left with at each rate and repeat, as the place of the subset in `scores.logits`; a case with
    no input at all gets the first."""
    names = list(scores.logits)
    place = np.zeros(1 << len(scores.modalities), dtype=np.int64)
    bits = 1 << np.arange(len(scores.modalities))
    for kept in _patterns(len(bits)):
        name = subset_name([m for m, there in zip(scores.modalities, kept, strict=True) if there])
        place[int((kept * bits).sum())] = names.index(name)
    luck = np.random.default_rng(seed).random((repeats, *scores.present.shape))
    luck = np.where(scores.present, luck, -1.0)
    last = luck == luck.max(axis=-1, keepdims=True)
    left = [place[((((luck >= rate) | last) & scores.present) * bits).sum(axis=-1)] for rate in rates]
    return np.stack(left)


def _patterns(m: int) -> Iterator[Bool[np.ndarray, " m"]]:
    for code in range(1, 1 << m):
        yield np.array([bool(code >> i & 1) for i in range(m)])


def _of_target(
    answers: Answers,
    everyone: Mapping[str, BySubset],
    removed: Int[np.ndarray, "t p n"],
    target: str,
    rates: tuple[float, ...],
    bootstrap: int,
    seed: int,
) -> Robustness:
    scores, j = answers.scores, answers.scores.target_names.index(target)
    rows = scores.known(target) & scores.answered(scores.whole)
    labels = answers.labels(target)[rows]
    patients = [patient for patient, row in zip(scores.patient_ids, rows, strict=True) if row]
    told = [np.stack([p[subset][rows, j] for subset in scores.logits]) for p in everyone.values()]

    def together(weights: Weights) -> Float[np.ndarray, "r j"]:
        heights = [_heights(labels, one, removed[:, :, rows], weights) for one in told]
        return np.concatenate([np.c_[height, height @ _trapezoid(rates)] for height in heights], axis=1)

    width = len(rates) + 1
    values, draws = np.full(len(told) * width, np.nan), np.empty((0, len(told) * width))
    if patients:
        values, draws = resampled(together, patients, resamples=bootstrap, seed=seed)
    at, drawn = values.reshape(len(told), width), draws.reshape(-1, len(told), width)
    count = len(set(patients))
    curves, gains = [], []
    for i, name in enumerate(everyone):
        found = [estimate(at[i, t], drawn[:, i, t], count) for t in range(width)]
        curves.append(Curve(name, tuple(found[:-1]), found[-1]))
        if i:
            gap = estimate(at[0, -1] - at[i, -1], drawn[:, 0, -1] - drawn[:, i, -1], count)
            gains.append(Gain(MODEL, name, len(labels), gap))
    return Robustness(target, len(labels), rates, removed.shape[1], tuple(curves), tuple(gains))


def _trapezoid(rates: tuple[float, ...]) -> Float[np.ndarray, " t"]:
    """What each height counts for in the mean height of the curve."""
    at = np.array(rates)
    if len(at) < 2:
        return np.ones(1)
    steps = np.diff(at)
    return (np.r_[steps, 0.0] + np.r_[0.0, steps]) / 2 / (at[-1] - at[0])


def _heights(
    labels: Bool[np.ndarray, " n"],
    probabilities: Float[np.ndarray, "s n"],
    removed: Int[np.ndarray, "t p n"],
    weights: Weights,
) -> Float[np.ndarray, "r t"]:
    """The mean AUROC over the removals of each rate. An AUROC is the weighted share of pairs of a yes and a no that are
    ordered rightly; so the mean over removals needs only the mean of that order, pair by pair, whatever the weights."""
    yes, no = np.flatnonzero(labels), np.flatnonzero(~labels)
    of_yes, of_no = weights[:, yes], weights[:, no]
    right = np.zeros((len(weights), len(removed)))
    for t, left in enumerate(removed):
        seen = probabilities[left, np.arange(len(labels))]
        for part in np.array_split(np.arange(len(yes)), 1 + len(yes) * len(no) // _BLOCK):
            order = np.zeros((len(part), len(no)), dtype=np.uint8)  # twice per removal: REPEATS is well under 128
            for one in seen:
                order += one[yes[part]][:, None] > one[no]
                order += one[yes[part]][:, None] >= one[no]
            right[:, t] += ((of_yes[:, part] @ order.astype(np.float64)) * of_no).sum(axis=1)
    total = (of_yes.sum(axis=1) * of_no.sum(axis=1))[:, None] * 2 * removed.shape[1]
    return np.divide(right, total, out=np.full(right.shape, np.nan), where=total > 0)

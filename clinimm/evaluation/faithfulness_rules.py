"""Whether an artifact's explanations explain it, and no worse than those of the one that answers now.

Sources: Sundararajan, Taly & Yan 2017 (completeness); Adebayo et al. 2018 (maps that do not change with the weights
show the picture, not the model); Samek et al. 2017 (deletion). n patients, j measures."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from clinimm.bootstrap import Weights, resampled
from clinimm.evaluation.faithfulness import (
    COMPLETE,
    COMPREHENSIVENESS,
    DELETION,
    FEWEST,
    RANDOMIZED,
    RELIABLE,
    SUFFICIENCY,
    Faithfulness,
    Key,
    Measured,
    Number,
    mean,
)
from clinimm.evaluation.grid import percent, signed_figure
from clinimm.evaluation.limits import LEVEL, Finding, Limits
from clinimm.evaluation.paired import max_t_width

COMPARED = (COMPREHENSIVENESS, SUFFICIENCY, RELIABLE, RANDOMIZED)
"""Deletion is not: it grows with the size of the logits, and comprehensiveness is the same without it."""


def explanations_hold(found: Faithfulness, modalities: Sequence[str], limits: Limits) -> list[Finding]:
    """Whether the maps add up, are not those of shuffled weights, and order each input better than chance does."""
    if not found.patients:
        return [Finding("explanations", None, "no case with a usable input to explain")]
    numbers = {(number.measure, number.modality): number for number in found.numbers}
    added = numbers[COMPLETE, ""].mean.value or 0.0
    told = f"{round(added * found.patients)} of {found.patients} explained cases add up to their logit"
    return [
        Finding("completeness", 1 - added <= limits.incomplete, told),
        _resemblance(numbers[RANDOMIZED, ""], limits.resemblance),
        *(_deletion(name, numbers.get((DELETION, name)), limits.by_chance) for name in modalities),
    ]


def _resemblance(number: Number, limit: float) -> Finding:
    """Not asked of few: maps of two analytes point the same way by luck."""
    if number.patients < FEWEST or number.mean.value is None:
        return Finding(RANDOMIZED, None, _few("maps of nets with shuffled weights", number.patients))
    told = f"maps of nets with shuffled weights resemble these by {signed_figure(number.mean)}"
    return Finding(RANDOMIZED, number.mean.value <= limit, f"{told} (cosine; limit {limit:.2f})")


def _deletion(name: str, number: Number | None, limit: float) -> Finding:
    if number is None or number.p is None:
        return Finding(DELETION, None, _few(name, 0 if number is None else number.patients))
    told = f"{name}: without what its map ranks first the answer falls {signed_figure(number.mean)} logits further than"
    told += f" in random orders ({number.patients} patients; p {number.p:.2g}, must be below {limit:g})"
    return Finding(DELETION, number.p < limit, told)


def explanations_no_worse(
    candidate: Measured, current: Measured, limit: float, *, resamples: int, seed: int
) -> list[Finding]:
    """Whether no measure that both have is surely worse, and by more than the share `limit` of what it was. One band
    for all of them, so that of equals one in twenty is refused by chance, however many there are. Both must be of the
    same patients in the same order. The cosine counts by its distance from 1."""
    keys = [key for key in current.values if key[0] in COMPARED]
    if not keys:
        return []
    before, after = (np.stack([_goodness(one, key) for key in keys], 1) for one in (current, candidate))
    gap = after - before
    patients = (~np.isnan(gap)).sum(0)
    judged = [j for j in range(len(keys)) if patients[j] >= FEWEST]
    found: dict[int, tuple[float, float, float]] = {}
    if judged:
        told = resampled(partial(_means, gap[:, judged]), current.patient_ids, resamples=resamples, seed=seed)
        was = np.nanmean(np.where(np.isnan(gap), np.nan, before)[:, judged], axis=0)
        half = max_t_width(told[1], LEVEL)
        found = dict(zip(judged, zip(was, told[0], half, strict=True), strict=True))
    return [
        _compared(key, int(patients[j]), found[j], limit) if j in found else _uncompared(key, int(patients[j]))
        for j, key in enumerate(keys)
    ]


def _goodness(one: Measured, key: Key) -> Float[np.ndarray, " n"]:
    return 1 - one.of(key) if key[0] == RANDOMIZED else one.of(key)


def _means(gaps: Float[np.ndarray, "n j"], weights: Weights) -> Float[np.ndarray, "r j"]:
    return np.stack([mean(column, weights) for column in gaps.T], axis=1)


def _compared(key: Key, patients: int, figures: tuple[float, float, float], limit: float) -> Finding:
    was, gap, half = figures
    worse = gap + half < 0 and gap < -limit * abs(was)
    told = f"{_named(key)}: {was:.3f}, now {was + gap:.3f}, {gap:+.3f} [{gap - half:+.3f}, {gap + half:+.3f}]"
    return Finding("no less faithful", not bool(worse), f"{told} ({patients} patients; may lose {percent(limit)})")


def _uncompared(key: Key, patients: int) -> Finding:
    return Finding("no less faithful", None, _few(_named(key), patients))


def _few(what: str, patients: int) -> str:
    return f"{what}: {patients} explained patients in whom there is something to measure; {FEWEST} are needed"


def _named(key: Key) -> str:
    measure, modality = key
    name = {RANDOMIZED: "distance from the maps of shuffled weights", RELIABLE: "share that every check passes"}
    return f"{name.get(measure, measure)}{modality and f' of {modality}'}"

"""How far explanations explain their model: numbers with intervals, on a sample of patients it was not trained on.

Each patient of the sample is explained once, for the targets in turn. By input, against random orders of its units:
`deletion`, by how many logits more the answer falls; `comprehensiveness`, the same as a share of all that was seen to
happen, so that models of any confidence compare; `sufficiency`, as such a share too, by how much more of it comes back.
Of the whole: `reliable`, the share that every check passes; `complete`, the share whose maps add up; and `randomized
weights`, the cosine of the maps with those of nets whose weights were shuffled, which alone is better when less.

Sources: those of `clinimm.attribution.trust`, which makes every one of these tests. n patients, m modalities."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.console import Console
from scipy.stats import wilcoxon

from clinimm.attribution.checked import Care, plain_checks, weights_of
from clinimm.attribution.committee import explain_together, members_answering
from clinimm.attribution.kept import Kept
from clinimm.attribution.trust.curves import curves, ordering, random_orders
from clinimm.attribution.trust.limits import STILL
from clinimm.attribution.trust.randomized import SHUFFLES, STEPS, cosine, shuffled
from clinimm.attribution.trust.tests import SEED
from clinimm.batch import Batch
from clinimm.bootstrap import Estimate, Values, Weights, patient_bootstrap
from clinimm.inference import evaluating
from clinimm.models.committee import Committee
from clinimm.progress import progress_bar
from clinimm.types import Attribution, rounded

DELETION, COMPREHENSIVENESS, SUFFICIENCY = "deletion", "comprehensiveness", "sufficiency"
RELIABLE, COMPLETE, RANDOMIZED = "reliable", "complete", "randomized weights"
FEWEST = 10
"""Patients without whom nothing is judged. Of 7 the best Wilcoxon test there is has p = 0.008."""

TOGETHER = 8  # cases explained at once

Key: TypeAlias = tuple[str, str]
"""A measure and the input that it is of; "" for the whole explanation."""


@dataclass(frozen=True)
class Number:
    """One measure over the patients of whom it could be taken. `p` is of deletion: the chance of so much, were the
    order no better than a random one (Wilcoxon, one-sided); None for the other measures, and for fewer than
    `FEWEST` patients."""

    measure: str
    modality: str
    patients: int
    mean: Estimate
    p: float | None

    def record(self) -> dict[str, Any]:
        told = {"measure": self.measure, "modality": self.modality or None, "patients": self.patients}
        return told | self.mean.record() | {"p": rounded(self.p)}


@dataclass(frozen=True)
class Faithfulness:
    """What the explanations of a sample are worth; `patients` of it were explained."""

    patients: int
    numbers: tuple[Number, ...]

    def record(self) -> dict[str, Any]:
        """Plain JSON types, ids of nobody."""
        return {"patients": self.patients, "numbers": [number.record() for number in self.numbers]}


@dataclass(frozen=True)
class Measured:
    """Each measure of one explanation of each of n patients; NaN where the input is absent, or no removal of its parts
    moves the answer."""

    patient_ids: tuple[str, ...]
    values: Mapping[Key, Float[np.ndarray, " n"]]

    @classmethod
    def concat(cls, parts: Sequence["Measured"]) -> "Measured":
        """Of several models, each of its own patients."""
        keys = dict.fromkeys(key for part in parts for key in part.values)
        ids = tuple(patient for part in parts for patient in part.patient_ids)
        return cls(ids, {key: np.concatenate([part.of(key) for part in parts]) for key in keys})

    def of(self, key: Key) -> Float[np.ndarray, " n"]:
        """The values of a measure; NaN for all where it was taken of none."""
        return self.values.get(key, np.full(len(self.patient_ids), np.nan))

    def faithfulness(self, *, resamples: int, seed: int) -> Faithfulness:
        """The mean of each measure with its 95 % interval, by drawing patients."""
        numbers = (self._number(key, resamples, seed) for key in self.values)
        explained = int((~np.isnan(self.of((COMPLETE, "")))).sum())
        return Faithfulness(explained, tuple(numbers))

    def _number(self, key: Key, resamples: int, seed: int) -> Number:
        values, (measure, modality) = self.of(key), key
        known = ~np.isnan(values)
        ids = [patient for patient, one in zip(self.patient_ids, known, strict=True) if one]
        statistics = {"mean": partial(mean, values[known])}
        found = patient_bootstrap(statistics, ids, resamples=resamples, seed=seed)["mean"]
        return Number(measure, modality, len(ids), found, chance(values[known]) if measure == DELETION else None)


def sample(present: Bool[np.ndarray, "n m"], patient_ids: Sequence[str], patients: int, *, seed: int) -> list[int]:
    """Rows of one case each of so many patients, or of all there are with any input. The order is drawn; in turns the
    next in it is taken who has the input that fewest of those before have, so that a rare one is measured too."""
    order = np.random.default_rng(seed).permutation(len(patient_ids)).tolist()
    firsts = {patient_ids[row]: row for row in reversed(order) if present[row].any()}
    left = [row for row in order if firsts.get(patient_ids[row]) == row]
    chosen: list[int] = []
    while left and len(chosen) < patients:
        rarest = np.argsort(present[chosen].sum(0), kind="stable")
        row = next(row for modality in rarest for row in left if present[row, modality])
        left.remove(row)
        chosen.append(row)
    return chosen


def measure(
    committee: Committee, batch: Batch, patient_ids: Sequence[str], rows: Sequence[int], targets: Sequence[str],
    care: Care, *, seed: int, label: str = "", console: Console | None = None,
) -> Measured:  # fmt: skip
    """The measures of these rows of the batch, whose patients are `patient_ids`; NaN for one without any input."""
    device, names = committee.prior.device, tuple(targets)
    asked = {
        place: (batch.rows(torch.tensor([row])).to(device), place % len(names))
        for place, row in enumerate(rows)
        if bool(batch.present[row].any())
    }
    found: dict[int, dict[Key, float]] = {}
    with progress_bar(console) as bar, evaluating(committee):
        task = bar.add_task(f"explain {label}", total=2 * len(asked), note="")
        ours: dict[int, Attribution] = {}
        for places in _some(list(asked)):
            explained = explain_together(
                committee, [(asked[place][0], (names[asked[place][1]], asked[place][1])) for place in places],
                tolerance=care.tolerance, max_steps=care.max_steps, internal_batch_size=care.rows,
            )  # fmt: skip
            ours |= zip(places, explained, strict=True)
            for place in places:
                found[place] = _of_one(committee, *asked[place], ours[place], care)
                bar.advance(task)
        for place, alike in _resemblances(committee, asked, ours, seed):
            found[place][RANDOMIZED, ""] = alike
            bar.advance(task)
    order = ["", *batch.modalities]
    keys = sorted(dict.fromkeys(key for one in found.values() for key in one), key=lambda key: order.index(key[1]))
    values = {key: np.array([found.get(place, {}).get(key, np.nan) for place in range(len(rows))]) for key in keys}
    return Measured(tuple(patient_ids[row] for row in rows), values)


def _of_one(committee: Committee, one: Batch, target: int, why: Attribution, care: Care) -> dict[Key, float]:
    kept = Kept(members_answering(committee, one, target), one)
    checks = plain_checks(kept, why, weights_of(committee, one), target, care)
    found: dict[Key, float] = {
        (RELIABLE, ""): float(all(check.passed for check in (*why.checks, *checks))),
        (COMPLETE, ""): float(all(check.passed for check in why.checks)),
    }
    for name, units in kept.units.items():
        by_chance = curves(kept, name, random_orders(units.count, care.orders, SEED))  # known from its checks
        compared = ordering(kept, name, units.scores(why.maps[name]), target, by_chance)
        if compared.span >= STILL:
            found[DELETION, name] = -compared.comprehensiveness * compared.span
            found[COMPREHENSIVENESS, name] = -compared.comprehensiveness
            found[SUFFICIENCY, name] = -compared.sufficiency
    return found


def _resemblances(
    committee: Committee, asked: Mapping[int, tuple[Batch, int]], ours: Mapping[int, Attribution], seed: int
) -> Iterator[tuple[int, float]]:
    """The cosine of each case's maps with those of a shuffled net: of one of `SHUFFLES` in turn, so that the mean is
    over all of these at the price of one."""
    generator = torch.Generator().manual_seed(seed)
    for turn in range(SHUFFLES):
        other = shuffled(committee, generator)
        for places in _some([place for place in asked if place % SHUFFLES == turn]):
            theirs = explain_together(
                other, [(asked[place][0], ("", asked[place][1])) for place in places], max_steps=STEPS
            )
            yield from ((place, cosine(ours[place], one)) for place, one in zip(places, theirs, strict=True))


def _some(places: Sequence[int]) -> list[Sequence[int]]:
    """In parts of `TOGETHER`."""
    return [places[start : start + TOGETHER] for start in range(0, len(places), TOGETHER)]


def mean(values: Float[np.ndarray, " n"], weights: Weights) -> Values:
    """The mean of each resample, over the patients who have the number; NaN where none has."""
    known = ~np.isnan(values)
    total = weights[:, known].sum(axis=1)
    return np.divide(weights[:, known] @ values[known], total, out=np.full(len(weights), np.nan), where=total > 0)


def chance(gains: Float[np.ndarray, " n"]) -> float | None:
    """The one-sided p of gains above 0, by Wilcoxon's signed ranks; None for fewer than `FEWEST`."""
    if len(gains) < FEWEST:
        return None
    return float(wilcoxon(gains, alternative="greater").pvalue) if gains.any() else 1.0

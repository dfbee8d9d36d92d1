"""How far two readers agree, beside what chance alone would give. p patients, c categories, r resamples.

Kappa falls where one answer is rare, however often readers agree (Feinstein & Cicchetti 1990), so that it is never told
alone: the share of agreement, the kappa that prevalence and bias are taken out of, and both readers' shares of the
positive answer stand beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from clinimm.bootstrap import Estimate, estimate

RESAMPLES = 1000
SEED = 0


@dataclass(frozen=True)
class Agreement:
    """`n` are pairs of answers, of so many `patients`. `kappa` is None where both readers gave one and the same answer
    throughout: chance alone then agrees in full. `positive` are the readers' shares of the positive answer."""

    n: int
    patients: int
    observed: Estimate
    kappa: Estimate
    pabak: Estimate
    positive: tuple[float, float]

    @property
    def prevalence(self) -> float:
        """The difference between the shares of pairs that both call positive and both call not. 0 where it is even.

        Source: Byrt, Bishop & Carlin 1993, the prevalence index (a - d) / n, of two categories: positive, or not."""
        return self.positive[0] + self.positive[1] - 1

    @property
    def bias(self) -> float:
        """By how much more the first reader calls positive. Source: Byrt, Bishop & Carlin 1993, the bias index."""
        return self.positive[0] - self.positive[1]


def agreement(
    first: Sequence[str], second: Sequence[str], patient_ids: Sequence[str], *, categories: Sequence[str]
) -> Agreement:
    """Two readers' answers to the same questions, which are of patients; the first of the categories is the positive
    one. Intervals are of 95 %, by drawing patients: answers about one patient are alike.

    Sources: kappa, Cohen 1960; without prevalence and bias (PABAK), Byrt, Bishop & Carlin 1993, which of c categories
    is Brennan & Prediger 1981: (c * observed - 1) / (c - 1), c counting those that could be given. Raises ValueError
    where there is no answer."""
    if not first:
        raise ValueError("there are no answers")
    c, place = len(categories), {category: number for number, category in enumerate(categories)}
    cells = [c * place[one] + place[other] for one, other in zip(first, second, strict=True)]
    counts = _by_patient(cells, patient_ids, c * c)
    values, draws = (_statistics(summed.reshape(-1, c, c)) for summed in (counts.sum(axis=0), _drawn(counts)))
    found = [estimate(values[0, j], draws[:, j], len(counts)) for j in range(3)]
    whole = counts.sum(axis=0).reshape(c, c) / len(first)
    return Agreement(
        n=len(first),
        patients=len(counts),
        observed=found[0],
        kappa=found[1],
        pabak=found[2],
        positive=(float(whole[0].sum()), float(whole[:, 0].sum())),
    )


def shares(words: Sequence[str], patient_ids: Sequence[str], *, categories: Sequence[str]) -> dict[str, Estimate]:
    """The share of each category among words that are about patients, with its 95 % interval by drawing patients.
    Raises ValueError where there is no word."""
    if not words:
        raise ValueError("there are no words")
    place = {category: number for number, category in enumerate(categories)}
    counts = _by_patient([place[word] for word in words], patient_ids, len(categories))
    values, draws = (
        summed / summed.sum(axis=1, keepdims=True) for summed in (counts.sum(axis=0)[None], _drawn(counts))
    )
    return {category: estimate(values[0, j], draws[:, j], len(counts)) for category, j in place.items()}


def _by_patient(cells: Sequence[int], patient_ids: Sequence[str], size: int) -> Float[np.ndarray, "p j"]:
    """How often each cell occurs, patient by patient."""
    patients, row = np.unique(np.asarray(patient_ids), return_inverse=True)
    counts = np.zeros((len(patients), size))
    np.add.at(counts, (row, np.asarray(cells)), 1)
    return counts


def _drawn(counts: Float[np.ndarray, "p j"]) -> Float[np.ndarray, "r j"]:
    """The sums over as many patients, drawn anew. Those whose counts are alike are drawn as one kind, by its share:
    the sums are distributed as if each were drawn by name, at the cost of the kinds."""
    kinds, sizes = np.unique(counts, axis=0, return_counts=True)
    draws = np.random.default_rng(SEED).multinomial(len(counts), sizes / len(counts), size=RESAMPLES)
    return np.asarray(draws @ kinds)


def _statistics(tables: Float[np.ndarray, "r c c"]) -> Float[np.ndarray, "r 3"]:
    """Observed agreement, kappa and PABAK of each table of counts; kappa NaN where chance agrees in full."""
    c = tables.shape[1]
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    observed = np.trace(shares, axis1=1, axis2=2)
    chance = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    room = 1 - chance
    kappa = np.where(room > 1e-12, (observed - chance) / np.where(room > 1e-12, room, 1), np.nan)
    return np.stack([observed, kappa, (c * observed - 1) / (c - 1)], axis=1)

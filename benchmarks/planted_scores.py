"""Scores of a planted cohort whose inputs go missing for a reason: what calibration and conformal sets are measured on.

Three inputs a, b, c are noisy views of one disease that share part of their noise; a network is played by the exact
log odds of each subset, bent by a slope, an offset and a ripple of its own, so that every pattern needs its own
calibration and none is perfectly calibrated by a line.

    mcar   each input is missing by chance
    mar    a is always there, and what it shows decides whether b and c are
    mnar   what an input itself would have shown, and the disease, decide whether it is there
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from clinimm.scores import Scores, columns, subsets

INPUTS = ("a", "b", "c")
MECHANISMS = ("mcar", "mar", "mnar")
SIGNAL = np.array([1.6, 1.2, 0.9])  # by how much the disease moves an input whose noise has unit variance
SHARED = 0.3  # part of the noise that all inputs have in common


@dataclass(frozen=True)
class Patients:
    """What is true of n patients: ill or not, what each input shows (n, 3), and whether it is there (n, 3)."""

    ill: np.ndarray
    shown: np.ndarray
    present: np.ndarray


@dataclass(frozen=True)
class World:
    """`strength` is how strongly missingness leans on its cause, `rate` about how much is missing."""

    mechanism: str
    prevalence: float = 0.3
    rate: float = 0.4
    strength: float = 1.2

    def draw(self, cases: int, seed: int) -> Scores:
        return self.score(self.patients(cases, seed))

    def patients(self, cases: int, seed: int) -> Patients:
        rng = np.random.default_rng(seed)
        ill = rng.random(cases) < self.prevalence
        own, common = rng.normal(size=(cases, 3)), rng.normal(size=(cases, 1))
        shown = SIGNAL * ill[:, None] + np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own
        present = rng.random((cases, 3)) > expit(np.log(self.rate / (1 - self.rate)) + self._lean(shown, ill))
        present[~present.any(axis=1), 0] = True
        return Patients(ill, shown, present)

    def score(self, patients: Patients) -> Scores:
        """The scores that the network gives, each case on what it is left with."""
        ids = tuple(f"p{i}" for i in range(len(patients.ill)))
        exact = {_code(name): self._logit(patients.shown, i, name) for i, name in enumerate(subsets(INPUTS))}
        exact[0] = np.zeros(len(ids))
        table = np.stack([exact[code] for code in sorted(exact)])
        bits = patients.present @ _BITS
        logits = {name: table[bits & _code(name), np.arange(len(ids))][:, None] for name in subsets(INPUTS)}
        return Scores(ids, ids, ("ill",), INPUTS, patients.ill[:, None].astype(float), patients.present, logits)

    def _lean(self, shown: np.ndarray, ill: np.ndarray) -> np.ndarray:
        off = shown - SIGNAL * self.prevalence
        if self.mechanism == "mar":
            return self.strength * np.stack([np.full(len(off), -99.0), off[:, 0], -off[:, 0]], axis=1)
        if self.mechanism == "mnar":
            sick = 0.7 * (ill[:, None] - self.prevalence)
            return self.strength * (off * [1, -1, 1] + sick * [1, 1, -1])
        return np.zeros_like(off)

    def _logit(self, shown: np.ndarray, index: int, subset: str) -> np.ndarray:
        """The bent log odds given all inputs of a subset, whether they are there or not."""
        chosen = columns(subset, INPUTS)
        noise = (1 - SHARED) * np.eye(3) + SHARED
        lean = np.linalg.solve(noise[np.ix_(chosen, chosen)], SIGNAL[chosen])
        odds = shown[:, chosen] @ lean - 0.5 * SIGNAL[chosen] @ lean + np.log(self.prevalence / (1 - self.prevalence))
        ripple = 0.3 * np.sin(2 * shown[:, chosen].sum(axis=1) + index)
        return odds * (1 + 0.5 * np.cos(index)) + 0.3 * np.sin(3 * index) + ripple


_BITS = np.array([1, 2, 4])


def _code(subset: str) -> int:
    return int(sum(_BITS[j] for j in columns(subset, INPUTS)))

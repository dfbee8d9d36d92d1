"""DeLong's test of a model against each opponent, beside the paired patient bootstrap and never instead of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from clinimm import metrics
from clinimm.evaluation.answers import Answers
from clinimm.types import rounded


@dataclass(frozen=True)
class Tested:
    """The model against one opponent, on the cases that both answer. `films` is how many cases a patient has on
    average: above 1 the test is too sure of itself."""

    target: str
    over: str
    cases: int
    films: float
    test: metrics.DeLong

    def record(self) -> dict[str, Any]:
        figures = {name: None if np.isnan(value) else rounded(value) for name, value in asdict(self.test).items()}
        about = {"target": self.target, "over": self.over, "cases": self.cases}
        return {**about, "cases_per_patient": rounded(self.films), **figures}


def delong_tests(
    answers: Answers, opponents: Mapping[str, Mapping[str, Float[np.ndarray, "n k"]]]
) -> tuple[Tested, ...]:
    """The model with all inputs against each opponent with all inputs, for every target. Opponents are in the order of
    the answers; NaN is no answer."""
    targets = answers.scores.target_names
    return tuple(_tested(answers, target, name, said) for target in targets for name, said in opponents.items())


def _tested(answers: Answers, target: str, name: str, said: Mapping[str, Float[np.ndarray, "n k"]]) -> Tested:
    scores = answers.scores
    j, whole = scores.target_names.index(target), scores.whole
    rows = scores.known(target) & scores.answered(whole) & ~np.isnan(said[whole][:, j])
    patients = {patient for patient, row in zip(scores.patient_ids, rows, strict=True) if row}
    test = metrics.delong(answers.labels(target)[rows], answers.probabilities[whole][rows, j], said[whole][rows, j])
    return Tested(target, name, int(rows.sum()), float(rows.sum() / max(1, len(patients))), test)

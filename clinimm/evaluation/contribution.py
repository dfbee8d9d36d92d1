"""What each input adds, as its Shapley value over the subsets of inputs, the worth of a subset being its AUROC.

Source: Soenksen et al. 2022, HAIM, with an AUROC of 0.5 for no input at all; the interaction of pairs is Grabisch and
Roubens 1999. The values of the inputs sum to the AUROC of all inputs less 0.5. r resamples, s subsets, m inputs."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm import metrics
from clinimm.attribution.shapley import Subset, interaction_index, powerset, shapley_values
from clinimm.bootstrap import Estimate, Weights, estimate, resampled
from clinimm.evaluation.answers import Answers
from clinimm.scores import subset_name

COMPLETE, EVERYONE = "cases with every input", "all cases"
GUESS = 0.5  # the AUROC of a model that sees nothing


@dataclass(frozen=True)
class Contribution:
    """`on` names the cases: those that have every input, where a subset is what it says, or all of them, where a case
    that has nothing of a subset is answered by the prior, as the model would: what an input adds to the cohort, how
    often it is there included. `interactions` above 0 are synergy: the two say more together than apart."""

    target: str
    on: str
    cases: int
    positives: int
    whole: Estimate
    shapley: dict[str, Estimate]
    interactions: dict[tuple[str, str], Estimate]

    def record(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "on": self.on,
            "cases": self.cases,
            "positives": self.positives,
            "auroc": self.whole.record(),
            "shapley": {name: one.record() for name, one in self.shapley.items()},
            "interactions": {subset_name(pair): one.record() for pair, one in self.interactions.items()},
        }


def contributions(answers: Answers, *, bootstrap: int = 1000, seed: int = 0) -> tuple[Contribution, ...]:
    """For each target what each input adds, on the cases that have every input and on all; none for a model of one
    input. Where no case is complete, or no AUROC defined, the values are None."""
    scores = answers.scores
    if len(scores.modalities) < 2:
        return ()
    groups = {COMPLETE: scores.present.all(axis=1), EVERYONE: scores.answered(scores.whole)}
    return tuple(
        _contribution(answers, target, on, scores.known(target) & rows, bootstrap, seed)
        for target in scores.target_names
        for on, rows in groups.items()
    )


def _contribution(
    answers: Answers, target: str, on: str, rows: Bool[np.ndarray, " n"], bootstrap: int, seed: int
) -> Contribution:
    names, j = answers.scores.modalities, answers.scores.target_names.index(target)
    labels = answers.labels(target)[rows]
    told = [answers.probabilities[subset_name(sorted(s, key=names.index))][rows, j] for s in powerset(names)[1:]]
    shares, pairs = _matrices(names)

    def together(weights: Weights) -> Float[np.ndarray, "r j"]:
        worth = np.stack([np.full(len(weights), GUESS)] + [metrics.weighted_auroc(labels, p, weights) for p in told])
        return np.concatenate([worth[-1:], shares @ worth, pairs @ worth]).T

    patients = [patient for patient, row in zip(answers.scores.patient_ids, rows, strict=True) if row]
    length = 1 + len(shares) + len(pairs)
    values, draws = np.full(length, np.nan), np.empty((0, length))
    if patients:
        values, draws = resampled(together, patients, resamples=bootstrap, seed=seed)
    found = [estimate(values[i], draws[:, i], len(set(patients))) for i in range(length)]
    return Contribution(
        target=target,
        on=on,
        cases=len(labels),
        positives=int(labels.sum()),
        whole=found[0],
        shapley=dict(zip(names, found[1 : 1 + len(names)], strict=True)),
        interactions=dict(zip(combinations(names, 2), found[1 + len(names) :], strict=True)),
    )


def _matrices(names: tuple[str, ...]) -> tuple[Float[np.ndarray, "m s"], Float[np.ndarray, "p s"]]:
    """Both indices as what they are, linear in the worth of the subsets: an index of each subset worth 1 alone."""
    subsets = powerset(names)
    ones: list[dict[Subset, float]] = [{one: float(one == worth) for one in subsets} for worth in subsets]
    shares = [list(shapley_values(names, one).values()) for one in ones]
    pairs = [list(interaction_index(names, one).values()) for one in ones]
    return np.array(shares).T, np.array(pairs).T

"""What a model, or one model per fold, said of test cases: probabilities and flags for every subset of inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from clinimm.calibration import Calibrator
from clinimm.conformal import Conformal, holds
from clinimm.scores import Scores
from clinimm.types import Case


@dataclass(frozen=True)
class Answers:
    """`probabilities` and `flagged` (at the model's own thresholds) have every subset that `scores` has; so has
    `covered`, whose conformal sets hold the truth, for a model that gives sets, which promised that of a share of
    `promised`. `attributes` tells of each case what
    was not fed in (site, sex, age), "" where unknown: subgroups are made of it."""

    scores: Scores
    probabilities: dict[str, Float[np.ndarray, "n k"]]
    flagged: dict[str, Bool[np.ndarray, "n k"]]
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    covered: dict[str, Bool[np.ndarray, "n k"]] = field(default_factory=dict)
    promised: float | None = None

    @staticmethod
    def of(
        scores: Scores,
        calibrator: Calibrator,
        attributes: Mapping[str, tuple[str, ...]] | None = None,
        conformal: Conformal | None = None,
    ) -> "Answers":
        """What one model says once its logits are calibrated, and whom its conformal sets cover."""
        probabilities = {
            subset: calibrator.apply(logits, scores.patterns(subset)) for subset, logits in scores.logits.items()
        }
        flagged = {subset: p >= calibrator.thresholds for subset, p in probabilities.items()}
        if conformal is None:
            return Answers(scores, probabilities, flagged, attributes or {})
        covered = _covered(scores, probabilities, conformal)
        return Answers(scores, probabilities, flagged, attributes or {}, covered, 1 - conformal.alpha)

    @staticmethod
    def concat(parts: Sequence["Answers"]) -> "Answers":
        """The folds of a cross-validation, each answered and calibrated by its own model: probabilities can be pooled
        where logits could not."""
        return Answers(
            scores=Scores.concat([part.scores for part in parts]),
            probabilities=_joined([part.probabilities for part in parts]),
            flagged=_joined([part.flagged for part in parts]),
            attributes={
                name: tuple(value for part in parts for value in part.attributes[name]) for name in parts[0].attributes
            },
            covered=_joined([part.covered for part in parts]),
            promised=parts[0].promised,
        )

    def labels(self, target: str) -> Bool[np.ndarray, " n"]:
        """Whose answer is yes; it means nothing where the label is not known."""
        return np.asarray(self.scores.targets[:, self.scores.target_names.index(target)] > 0.5)


def attributes_of(cases: Sequence[Case], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The attributes of cases, a column each."""
    return {name: tuple(case.attributes.get(name, "") for case in cases) for name in names}


def _covered(
    scores: Scores, probabilities: Mapping[str, Float[np.ndarray, "n k"]], conformal: Conformal
) -> dict[str, Bool[np.ndarray, "n k"]]:
    labels = scores.targets > 0.5
    found = {}
    for subset, p in probabilities.items():
        sets = conformal.sets(p, scores.patterns(subset))
        found[subset] = np.stack([holds(sets[:, j], labels[:, j]) for j in range(labels.shape[1])], axis=1)
    return found


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

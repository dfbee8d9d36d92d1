"""What a model, or one model per fold, said of test cases: probabilities and flags for every subset of inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from clinimm.calibration import Calibrator
from clinimm.scores import Scores


@dataclass(frozen=True)
class Answers:
    """`probabilities` and `flagged` (at the model's own thresholds) have every subset that `scores` has."""

    scores: Scores
    probabilities: dict[str, Float[np.ndarray, "n k"]]
    flagged: dict[str, Bool[np.ndarray, "n k"]]

    @staticmethod
    def of(scores: Scores, calibrator: Calibrator) -> "Answers":
        """What one model says once its logits are calibrated."""
        probabilities = {
            subset: calibrator.apply(logits, scores.patterns(subset)) for subset, logits in scores.logits.items()
        }
        flagged = {subset: p >= calibrator.thresholds for subset, p in probabilities.items()}
        return Answers(scores, probabilities, flagged)

    @staticmethod
    def concat(parts: Sequence["Answers"]) -> "Answers":
        """The folds of a cross-validation, each answered and calibrated by its own model: probabilities can be pooled
        where logits could not."""
        first = parts[0]
        return Answers(
            scores=Scores.concat([part.scores for part in parts]),
            probabilities={
                name: np.concatenate([part.probabilities[name] for part in parts]) for name in first.probabilities
            },
            flagged={name: np.concatenate([part.flagged[name] for part in parts]) for name in first.flagged},
        )

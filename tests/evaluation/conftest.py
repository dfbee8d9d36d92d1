"""A model of three inputs whose logits are made up: the film and the labs tell something, the note tells nothing."""

import numpy as np
import pytest
from scipy.special import expit

from clinimm.calibration import Calibrator
from clinimm.evaluation.answers import Answers
from clinimm.scores import Scores, columns, subsets

NAMES = ("cxr", "note", "labs")
SIGNAL = np.array([1.0, 0.0, 2.0])


def made_up(n=300, films=2, seed=0, targets=("severe",), scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    patients = [f"s{seed}p{i // films}" for i in range(n)]
    evidence = np.repeat(rng.normal(size=(n, 3)) * SIGNAL, films, axis=0)[:n]
    present = rng.random((n, 3)) < [0.9, 0.6, 0.5]
    present[~present.any(axis=1), 0] = True
    luck = np.repeat(rng.random(n), films)[:n]
    labels = (luck < expit(evidence.sum(axis=1))).astype(float)
    labels[rng.random(n) < 0.05] = np.nan
    k = len(targets)
    return Scores(
        case_ids=tuple(f"s{seed}c{i}" for i in range(n)),
        patient_ids=tuple(patients),
        target_names=targets,
        modalities=NAMES,
        targets=np.tile(labels[:, None], (1, k)),
        present=present,
        logits={
            name: np.tile(scale * _seen(evidence, present, name)[:, None] + shift, (1, k)) for name in subsets(NAMES)
        },
    )


def _seen(evidence, present, subset):
    chosen = columns(subset, NAMES)
    return (evidence * present)[:, chosen].sum(axis=1)


def answered(scores, validation):
    return Answers.of(scores, Calibrator.fit(validation, sensitivity=0.9, bootstrap=20, seed=0))


@pytest.fixture(scope="session")
def answers():
    return answered(made_up(seed=1), made_up(seed=2))


@pytest.fixture(scope="session")
def fold_answers():
    """Two folds whose models speak on different scales."""
    return [
        answered(made_up(seed=3, scale=0.02), made_up(n=600, seed=13, scale=0.02)),
        answered(made_up(seed=4, scale=5.0, shift=9.0), made_up(n=600, seed=14, scale=5.0, shift=9.0)),
    ]

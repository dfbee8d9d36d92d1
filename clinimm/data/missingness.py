"""Whether what is missing tells the answer by itself: a trap, since a model learns it in place of medicine.

Which tests a doctor orders, and which a hospital can afford, goes with the outcome (Agniel, Kohane and Weber 2018, BMJ
361:k1479); such a clue holds in one hospital and fails in the next."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression

from clinimm.bootstrap import Estimate, patient_bootstrap
from clinimm.data.split import patient_folds
from clinimm.io.labs import LabPanel
from clinimm.metrics import weighted_auroc
from clinimm.types import Case

FOLDS = 5
RESAMPLES = 1000
_UNKNOWN = Estimate(None, None, None, 0, 0)


def mask_of(
    cases: Sequence[Case], names: Sequence[str], panels: Sequence[Sequence[LabPanel]]
) -> Float[np.ndarray, "n f"]:
    """1 where a case has an input, in the order of `names`, then 1 where it has an analyte of each panel's; else 0."""
    inputs = np.array([[name in case.inputs for name in names] for case in cases], dtype=np.float64)
    analytes = [np.stack([~np.isnan(panel.values) for panel in column]) for column in panels]
    return np.concatenate([inputs, *analytes], axis=1)


def mask_auroc(cases: Sequence[Case], target: str, mask: Float[np.ndarray, "n f"], seed: int = 0) -> Estimate:
    """How well the mask alone tells the target: AUROC of a logistic regression, every case scored by a model that saw
    none of its patient's, over 5 folds, with a patient-bootstrap interval.

    No value where fewer than 5 patients have either answer: some fold would lack it."""
    rows = [row for row, case in enumerate(cases) if case.targets.get(target) is not None]
    known = [replace(cases[row], targets={target: cases[row].targets[target]}) for row in rows]
    labels = np.array([case.targets[target] is True for case in known], dtype=np.bool_)
    patients = [case.patient_id for case in known]
    if min(_patients_with(patients, labels, answer) for answer in (True, False)) < FOLDS:
        return _UNKNOWN
    fold_of = patient_folds(known, FOLDS, seed)
    scores = _out_of_fold(mask[rows], labels, np.array([fold_of[patient] for patient in patients]))
    statistic = {target: partial(weighted_auroc, labels, scores)}
    return patient_bootstrap(statistic, patients, resamples=RESAMPLES, seed=seed)[target]


def _patients_with(patients: Sequence[str], labels: Bool[np.ndarray, " n"], answer: bool) -> int:
    return len({patient for patient, label in zip(patients, labels, strict=True) if label == answer})


def _out_of_fold(
    mask: Float[np.ndarray, "n f"], labels: Bool[np.ndarray, " n"], fold: np.ndarray
) -> Float[np.ndarray, " n"]:
    """Each case's score by the model of the other folds. Scores are taken from the fold's mean mask and without the
    intercept: it goes against the held-out rate, and would make a mask that tells nothing look worse than chance."""
    scores = np.zeros(len(labels))
    for held_out in np.unique(fold):
        test = fold == held_out
        model = LogisticRegression(max_iter=1000).fit(mask[~test], labels[~test])
        scores[test] = (mask[test] - mask[~test].mean(axis=0)) @ model.coef_[0]
    return scores

"""Whether a regression tells the cases of one sample from those of another by their points in a space.

n cases of both samples, e width."""

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clinimm import metrics


def told_apart(points: Float[np.ndarray, "n e"], second: Bool[np.ndarray, " n"], patients: np.ndarray) -> float:
    """The AUROC with which a logistic regression tells cases of the second sample from those of the first, asked only
    about patients it has not seen; 0.5 is not at all. Source: Lopez-Paz & Oquab 2017, classifier two-sample tests."""
    folds = min(5, len(set(patients[second])), len(set(patients[~second])))
    if folds < 2:
        return float("nan")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    split = GroupKFold(folds, shuffle=True, random_state=0).split(points, groups=patients)
    usable = [(known, asked) for known, asked in split if len(np.unique(second[known])) == 2]
    if len(usable) < folds:
        return float("nan")
    said = cross_val_predict(model, points, second, cv=usable, method="decision_function")
    return metrics.auroc(second, said)

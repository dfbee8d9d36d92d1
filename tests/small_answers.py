"""Answers made of arrays: a model whose every figure is known."""

from collections.abc import Mapping, Sequence

import numpy as np

from clinimm.evaluation.answers import Answers
from clinimm.scores import Scores, subsets


def answers_of(
    labels: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    *,
    modalities: Sequence[str] = ("labs",),
    patients: Sequence[str] | None = None,
    present: np.ndarray | None = None,
    threshold: float = 0.5,
) -> Answers:
    """What a model says of one target, `finding`, by subset of its inputs."""
    n = len(labels)
    scores = Scores(
        case_ids=tuple(f"case-{i}" for i in range(n)),
        patient_ids=tuple(patients or [f"patient-{i}" for i in range(n)]),
        target_names=("finding",),
        modalities=tuple(modalities),
        targets=labels.astype(float)[:, None],
        present=np.ones((n, len(modalities)), dtype=bool) if present is None else present,
        logits={name: np.zeros((n, 1)) for name in subsets(modalities)},
    )
    columns = {name: probabilities[name].astype(float)[:, None] for name in subsets(modalities)}
    return Answers(scores, columns, {name: p >= threshold for name, p in columns.items()})


def drawn(n: int, *, seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that they were drawn by: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(0, 1.5 * sharpness, n)))
    return rng.random(n) < p, p

"""Straight lines from logits to calibrated logits, fit for many resamples at once. n cases, r resamples, p parameters.

Source: Platt 1999, Probabilistic outputs for support vector machines, with his smoothed targets: a yes counts as
(N+ + 1) / (N+ + 2), a no as 1 / (N- + 2), so that cases told apart perfectly still get a finite slope."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

SMALLEST_SLOPE = 0.01
STEPS, TOLERANCE, RIDGE = 200, 1e-9, 1e-10

Logits: TypeAlias = Float[np.ndarray, " n"]
Labels: TypeAlias = Bool[np.ndarray, " n"]
Weights: TypeAlias = Float[np.ndarray, "r n"]
Lines: TypeAlias = Float[np.ndarray, "r 2"]


def fit_lines(logits: Logits, labels: Labels, weights: Weights) -> Lines:
    """The slope and offset of each row of weights. A slope is never below 0.01: the order of cases is kept, and a
    score that ranks them backward ends close to the prevalence for everyone."""
    center, scale = logits.mean(), logits.std() or 1.0
    z = (logits - center) / scale
    targets = _smoothed(labels, weights)
    start = np.zeros((len(weights), 2))
    lines = _logistic(np.stack([z, np.ones_like(z)], axis=1), np.zeros_like(z), targets, weights, start)
    lines = np.stack([lines[:, 0] / scale, lines[:, 1] - lines[:, 0] * center / scale], axis=1)
    flat = lines[:, 0] < SMALLEST_SLOPE
    lines[flat] = fit_offsets(logits, labels, weights[flat], slope=SMALLEST_SLOPE)
    return lines


def fit_offsets(logits: Logits, labels: Labels, weights: Weights, *, slope: float = 1.0) -> Lines:
    """The offset of each row of weights under a given slope: mean probability meets the smoothed prevalence."""
    targets = _smoothed(labels, weights)
    start = np.zeros((len(weights), 1))
    offsets = _logistic(np.ones((len(logits), 1)), slope * logits, targets, weights, start)
    return np.concatenate([np.full_like(offsets, slope), offsets], axis=1)


def _smoothed(labels: Labels, weights: Weights) -> Float[np.ndarray, "r n"]:
    yes = (weights * labels).sum(axis=1, keepdims=True)
    no = weights.sum(axis=1, keepdims=True) - yes
    return np.where(labels, (yes + 1) / (yes + 2), 1 / (no + 2))


def _logistic(
    x: Float[np.ndarray, "n p"],
    offset: Logits,
    targets: Float[np.ndarray, "r n"],
    weights: Weights,
    start: Float[np.ndarray, "r p"],
) -> Float[np.ndarray, "r p"]:
    """Weighted logistic regressions by Newton's method, each step shortened to log(1 + s) / s, s being the most that it
    moves any logit: that never overshoots. Source: Sun & Tran-Dinh 2019, Generalized self-concordant functions."""
    beta = start
    for _ in range(STEPS):
        p = expit(offset + beta @ x.T)
        gradient = (weights * (p - targets)) @ x
        hessian = np.einsum("rn,np,nq->rpq", weights * p * (1 - p), x, x) + RIDGE * np.eye(x.shape[1])
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        moved = np.abs(step @ x.T).max(axis=1, keepdims=True, initial=TOLERANCE**2)
        beta = beta - step * np.log1p(moved) / moved
        if moved.max(initial=0.0) < TOLERANCE:
            break
    return beta

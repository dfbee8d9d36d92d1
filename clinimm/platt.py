"""Straight lines from logits to calibrated logits, fit for many resamples at once. n cases, r resamples, p parameters.

Source: Platt 1999, Probabilistic outputs for support vector machines, with his smoothed targets: a yes counts as
(N+ + 1) / (N+ + 2), a no as 1 / (N- + 2), so that cases told apart perfectly still get a finite slope."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

SMALLEST_SLOPE = 0.01
SLOPE_HOLD, OFFSET_HOLD = 10.0, 2.0  # precision of the prior on how far own cases part from the rest: see fit_parted
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
    lines = logistic(np.stack([z, np.ones_like(z)], axis=1), np.zeros_like(z), targets, weights, start)
    lines = np.stack([lines[:, 0] / scale, lines[:, 1] - lines[:, 0] * center / scale], axis=1)
    flat = lines[:, 0] < SMALLEST_SLOPE
    lines[flat] = fit_offsets(logits, labels, weights[flat], slope=SMALLEST_SLOPE)
    return lines


def fit_parted(logits: Logits, labels: Labels, weights: Weights, own: Labels) -> Lines:
    """The line of the `own` cases, which may part from the line of the others as far as they give reason to.

    One regression in which own cases have a slope and an offset on top, held to zero by a normal prior (of a logit
    that is standardized: standard deviation .32 for the slope, .71 for the offset): no own case, the others' line;
    many, their own. Hidden inputs are not missing inputs: who lacks one is another mix of patients, which moves the
    offset first. Measured in benchmarks/conformal_coverage.py."""
    center, scale = logits.mean(), logits.std() or 1.0
    z = (logits - center) / scale
    x = np.stack([z, np.ones_like(z), z * own, own.astype(np.float64)], axis=1)
    hold = np.array([0.0, 0.0, SLOPE_HOLD, OFFSET_HOLD])
    start = np.zeros((len(weights), 4))
    found = logistic(x, np.zeros_like(z), _smoothed(labels, weights), weights, start, hold)
    slopes = (found[:, 0] + found[:, 2]) / scale
    lines = np.stack([slopes, found[:, 1] + found[:, 3] - slopes * center], axis=1)
    flat = slopes < SMALLEST_SLOPE
    lines[flat] = fit_offsets(logits, labels, weights[flat], slope=SMALLEST_SLOPE)
    return lines


def fit_offsets(logits: Logits, labels: Labels, weights: Weights, *, slope: float = 1.0) -> Lines:
    """The offset of each row of weights under a given slope: mean probability meets the smoothed prevalence."""
    targets = _smoothed(labels, weights)
    start = np.zeros((len(weights), 1))
    offsets = logistic(np.ones((len(logits), 1)), slope * logits, targets, weights, start)
    return np.concatenate([np.full_like(offsets, slope), offsets], axis=1)


def _smoothed(labels: Labels, weights: Weights) -> Float[np.ndarray, "r n"]:
    yes = (weights * labels).sum(axis=1, keepdims=True)
    no = weights.sum(axis=1, keepdims=True) - yes
    return np.where(labels, (yes + 1) / (yes + 2), 1 / (no + 2))


def logistic(
    x: Float[np.ndarray, "n p"],
    offset: Logits,
    targets: Float[np.ndarray, "r n"],
    weights: Weights,
    start: Float[np.ndarray, "r p"],
    hold: Float[np.ndarray, " p"] | None = None,
) -> Float[np.ndarray, "r p"]:
    """Weighted logistic regressions by Newton's method, each step shortened to log(1 + s) / s, s being the most that it
    moves any logit: that never overshoots. `hold` is the precision of a normal prior at zero.

    Source: Sun & Tran-Dinh 2019, Generalized self-concordant functions."""
    beta = start
    prior = np.zeros(x.shape[1]) if hold is None else hold
    for _ in range(STEPS):
        p = expit(offset + beta @ x.T)
        gradient = (weights * (p - targets)) @ x + prior * beta
        hessian = np.einsum("rn,np,nq->rpq", weights * p * (1 - p), x, x) + np.diag(prior + RIDGE)
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        moved = np.abs(step @ x.T).max(axis=1, keepdims=True, initial=TOLERANCE**2)
        beta = beta - step * np.log1p(moved) / moved
        if moved.max(initial=0.0) < TOLERANCE:
            break
    return beta

"""A model, or the models of all folds of a run, at another hospital: none of its patients was seen by any of them.

Where a run has a model per fold, each answers for all of the new patients, and their calibrated logits are averaged: a
committee of equals, for no fold is better than another. A case is flagged where the average reaches the average of
their thresholds. n cases, k targets, r resamples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit, logit
from sklearn.model_selection import GroupKFold

from clinimm import metrics
from clinimm.bootstrap import Estimate, Statistic, Values, Weights, patient_bootstrap
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.grid import Grid, figure, signed_figure
from clinimm.platt import fit_lines, fit_offsets

SUREST = 1e-9
RECALIBRATION_FOLDS = 5
_Z = 1.959964  # standard errors on either side of a 95 % interval


@dataclass(frozen=True)
class External:
    """One target at home and elsewhere. `internal` is what the artifact said of its own test cases, `external` the
    AUROC here, `change` between them.

    `in_the_large` is the mean probability less the observed share: over 0 it promises too much. `slope` and `offset`
    are of the line that would recalibrate it here (1 and 0 where nothing is to be done). `brier` and `ece` have the
    error as it is ("as it came") and with only the offset set anew on other patients of this hospital ("offset set
    here")."""

    target: str
    cases: int
    patients: int
    positives: int
    internal: Estimate
    external: Estimate
    change: Estimate
    in_the_large: Estimate
    slope: Estimate
    offset: Estimate
    brier: Mapping[str, Estimate]
    ece: Mapping[str, Estimate]

    @property
    def verdict(self) -> str:
        """What became of ranking and of calibration, in a sentence."""
        if self.external.value is None:
            return f"{self.target}: too few cases of a class here to judge it."
        return f"{self.target}: {_held(self)} {_promised(self)}"

    def record(self) -> dict[str, Any]:
        estimates = {
            "internal": self.internal, "external": self.external, "change": self.change,
            "in_the_large": self.in_the_large, "slope": self.slope, "offset": self.offset,
        }  # fmt: skip
        return {
            "target": self.target, "cases": self.cases, "patients": self.patients, "positives": self.positives,
            **{name: estimate.record() for name, estimate in estimates.items()},
            "brier": {name: estimate.record() for name, estimate in self.brier.items()},
            "ece": {name: estimate.record() for name, estimate in self.ece.items()},
            "verdict": self.verdict,
        }  # fmt: skip


def committee_of_folds(answers: Sequence[Answers], thresholds: Sequence[Float[np.ndarray, " k"]]) -> Answers:
    """What the models of all folds say together of the same cases, each calibrated by itself: the mean of their logits,
    at the mean of their thresholds' logits. One model is left as it is."""
    if len(answers) == 1:
        return answers[0]
    first = answers[0]
    if any(one.scores.case_ids != first.scores.case_ids for one in answers):
        raise ValueError("the folds answer different cases")
    threshold = expit(np.mean([_logit(one) for one in thresholds], axis=0))
    said = {
        subset: np.asarray(expit(np.mean([_logit(one.probabilities[subset]) for one in answers], axis=0)))
        for subset in first.probabilities
    }
    return Answers(first.scores, said, {subset: p >= threshold for subset, p in said.items()}, first.attributes)


def internal_auroc(records: Sequence[Mapping[str, Any]], target: str) -> Estimate:
    """What artifacts said of their own test cases, from their `metrics.json`: the mean over the folds of a run, whose
    test patients are different ones. None where an artifact does not tell."""
    told = [_told(record, target) for record in records]
    values = [value for value, _ in told if value is not None]
    if not told or len(values) < len(told):
        return Estimate(None, None, None, 0, 0)
    errors = [error for _, error in told if error is not None]
    mean = float(np.mean(values))
    if len(errors) < len(told):
        return Estimate(mean, None, None, 0, 0)
    half = _Z * float(np.sqrt(np.sum(np.square(errors)))) / len(told)
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), 0, 0)


def external(
    answers: Answers, records: Sequence[Mapping[str, Any]] = (), *, bootstrap: int = 1000, seed: int = 0
) -> tuple[External, ...]:
    """One per target: the answers for a hospital that no model saw, beside the `metrics.json` of the artifacts."""
    return tuple(_external(answers, records, target, bootstrap, seed) for target in answers.scores.target_names)


def external_grid(found: Sequence[External]) -> Grid:
    """At home and here, side by side; the last lines say it in words."""
    columns = (
        "target", "cases", "yes", "AUROC at home", "AUROC here", "change", "promised less observed", "slope", "Brier",
        "Brier, offset set here",
    )  # fmt: skip
    rows = tuple(
        (
            one.target, str(one.cases), str(one.positives), figure(one.internal), figure(one.external),
            signed_figure(one.change), signed_figure(one.in_the_large), figure(one.slope),
            figure(one.brier[AS_IT_CAME]), figure(one.brier[OFFSET_SET]),
        )
        for one in found
    )  # fmt: skip
    return Grid("At another hospital", columns, rows, tuple(one.verdict for one in found))


AS_IT_CAME, OFFSET_SET = "as it came", "offset set here"


def _external(
    answers: Answers, records: Sequence[Mapping[str, Any]], target: str, bootstrap: int, seed: int
) -> External:
    scores, j = answers.scores, answers.scores.target_names.index(target)
    rows = scores.known(target) & scores.answered(scores.whole)
    labels, p = scores.targets[rows, j] > 0.5, answers.probabilities[scores.whole][rows, j]
    patients = [patient for patient, row in zip(scores.patient_ids, rows, strict=True) if row]
    anew = _offset_set(labels, p, np.asarray(patients, dtype=object).astype(str), seed)
    statistics: dict[str, Statistic] = {
        "auroc": partial(metrics.weighted_auroc, labels, p),
        "large": partial(_promised_less_observed, labels, p),
        "slope": lambda weights: _lines(labels, p, weights)[:, 0],
        "offset": lambda weights: _offsets(labels, p, weights),
    }
    for name, said in {AS_IT_CAME: p, OFFSET_SET: anew}.items():
        statistics[f"brier {name}"] = partial(metrics.weighted_brier, labels, said)
        statistics[f"ece {name}"] = partial(metrics.weighted_ece, labels, said)
    found = patient_bootstrap(statistics, patients, resamples=bootstrap, seed=seed)
    home = internal_auroc(records, target)
    return External(
        target=target,
        cases=len(labels),
        patients=len(set(patients)),
        positives=int(labels.sum()),
        internal=home,
        external=found["auroc"],
        change=_change(home, found["auroc"]),
        in_the_large=found["large"],
        slope=found["slope"],
        offset=found["offset"],
        brier={name: found[f"brier {name}"] for name in (AS_IT_CAME, OFFSET_SET)},
        ece={name: found[f"ece {name}"] for name in (AS_IT_CAME, OFFSET_SET)},
    )


def _promised_less_observed(labels: Bool[np.ndarray, " n"], p: Float[np.ndarray, " n"], weights: Weights) -> Values:
    total = weights.sum(axis=1)
    return np.divide(weights @ (p - labels), total, out=np.full(len(weights), np.nan), where=total > 0)


def _lines(labels: Bool[np.ndarray, " n"], p: Float[np.ndarray, " n"], weights: Weights) -> Float[np.ndarray, "r 2"]:
    """Slope and offset per resample, NaN where it holds one class."""
    found = np.full((len(weights), 2), np.nan)
    both = _both(labels, weights)
    if both.any():
        found[both] = fit_lines(_logit(p), labels, weights[both])
    return found


def _offsets(labels: Bool[np.ndarray, " n"], p: Float[np.ndarray, " n"], weights: Weights) -> Values:
    """The offset alone, at slope 1: recalibration in the large."""
    found = np.full(len(weights), np.nan)
    both = _both(labels, weights)
    if both.any():
        found[both] = fit_offsets(_logit(p), labels, weights[both])[:, 1]
    return found


def _offset_set(
    labels: Bool[np.ndarray, " n"], p: Float[np.ndarray, " n"], patients: np.ndarray, seed: int
) -> Float[np.ndarray, " n"]:
    """The probabilities with the offset set on four fifths of the patients, for the other fifth."""
    anew = p.copy()
    count = min(RECALIBRATION_FOLDS, len(set(patients)))
    if count < 2:
        return anew
    for others, own in GroupKFold(count, shuffle=True, random_state=seed).split(p, groups=patients):
        offset = fit_offsets(_logit(p[others]), labels[others], np.ones((1, len(others))))[0, 1]
        anew[own] = expit(_logit(p[own]) + offset)
    return anew


def _both(labels: Bool[np.ndarray, " n"], weights: Weights) -> Bool[np.ndarray, " r"]:
    yes = weights @ labels
    return np.asarray((yes > 0) & (yes < weights.sum(axis=1)))


def _change(home: Estimate, here: Estimate) -> Estimate:
    """Elsewhere less at home: other patients, so the errors add up as independent ones do."""
    if home.value is None or here.value is None:
        return Estimate(None, None, None, here.resamples, here.dropped)
    gap = here.value - home.value
    ends = (home.low, home.high, here.low, here.high)
    if any(end is None for end in ends):
        return Estimate(gap, None, None, here.resamples, here.dropped)
    low = float(np.hypot((here.value - (here.low or 0.0)), ((home.high or 0.0) - home.value)))
    high = float(np.hypot(((here.high or 0.0) - here.value), (home.value - (home.low or 0.0))))
    return Estimate(gap, gap - low, gap + high, here.resamples, here.dropped)


def _told(record: Mapping[str, Any], target: str) -> tuple[float | None, float | None]:
    """AUROC of all inputs, and its standard error, in an artifact's record."""
    for one in record.get("targets", ()):
        if one.get("target") == target and one.get("subsets"):
            auroc = one["subsets"][-1]["metrics"]["auroc"]
            ends = auroc["interval"]
            return auroc["value"], None if ends is None else (ends[1] - ends[0]) / (2 * _Z)
    return None, None


def _held(one: External) -> str:
    change = one.change
    if change.value is None or change.low is None or change.high is None:
        return f"it orders cases with an AUROC of {figure(one.external)} here."
    if change.high < 0:
        return f"it orders cases worse here, by {signed_figure(change)} AUROC."
    if change.low > 0:
        return f"it orders cases better here, by {signed_figure(change)} AUROC."
    return f"it orders cases no clearly other way than at home ({signed_figure(change)} AUROC)."


def _promised(one: External) -> str:
    large = one.in_the_large
    if large.value is None or large.low is None or large.high is None:
        return "Too few patients to judge its calibration."
    if large.low <= 0 <= large.high:
        return "On average it promises what is observed."
    word = "more" if large.value > 0 else "less"
    return f"It promises {word} than is observed, by {signed_figure(large)}: set the offset anew before using it."


def _logit(p: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.asarray(logit(np.clip(p, SUREST, 1 - SUREST)))

"""A model beside its opponents on the same test cases, and in a plain sentence who wins.

Once on all inputs, and once averaged over the subsets of inputs, where what is left is answered by each in its own way.
n cases, r resamples."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm import metrics
from clinimm.bootstrap import Estimate, Values, Weights, paired_bootstrap_difference, patient_bootstrap
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.measure import Gain, Row, measure
from clinimm.evaluation.opponents import ABSENCE, Opinion, Opinions

OURS = "clinimm, all inputs"


@dataclass(frozen=True)
class Comparison:
    """`rows` has the model first; `gains` is the model against each opponent, on the cases that both answer.

    `over_subsets` has the mean AUROC over all subsets of inputs, each on the cases that have one of its inputs, and
    `subset_gains` the model's against each opponent's; there, an opponent with nothing to go by says the prevalence."""

    target: str
    rows: tuple[Row, ...]
    gains: tuple[Gain, ...]
    over_subsets: dict[str, Estimate]
    subset_gains: tuple[Gain, ...]

    @property
    def best(self) -> Row | None:
        """The opponent of the highest AUROC among those that answer every case; None where no AUROC is defined."""
        most = max(row.cases for row in self.rows)
        full = [row for row in self.rows[1:] if row.cases == most and row.estimates["auroc"].value is not None]
        return max(full, key=lambda row: row.estimates["auroc"].value or 0.0, default=None)

    @property
    def best_over_subsets(self) -> str | None:
        """The opponent of the highest mean AUROC over subsets; None where none is defined."""
        told = {name: one.value for name, one in self.over_subsets.items() if name != OURS and one.value is not None}
        return max(told, key=lambda name: told[name], default=None)

    @property
    def verdict(self) -> str:
        """Who wins, and whether the interval of the difference leaves out zero."""
        ours, best = self.rows[0].estimates["auroc"].value, self.best
        if ours is None or best is None:
            return f"{self.target}: too few test cases of a class to name a winner."
        return f"{self.target}: {_winner(OURS, best.name, self.gains)}."

    @property
    def verdict_over_subsets(self) -> str:
        """The same of the mean over all subsets of inputs; empty where there is one input, or no winner to name."""
        best = self.best_over_subsets
        if best is None or self.over_subsets[OURS].value is None:
            return ""
        return f"{self.target}, averaged over the subsets of inputs: {_winner(OURS, best, self.subset_gains)}."

    @property
    def leak(self) -> str:
        """What the mask alone can tell, as a sentence; empty where it tells nothing for sure."""
        auroc = next(row for row in self.rows if row.name == ABSENCE).estimates["auroc"]
        if auroc.low is None or auroc.low <= 0.5:
            return ""
        return f"{self.target}: which inputs are missing tells the label by itself (AUROC {auroc.value:.3f}): a leak."

    def record(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "rows": [row.record() for row in self.rows],
            "gains": [gain.record() for gain in self.gains],
            "over_subsets": {name: estimate.record() for name, estimate in self.over_subsets.items()},
            "subset_gains": [gain.record() for gain in self.subset_gains],
            "verdict": self.verdict,
            "verdict_over_subsets": self.verdict_over_subsets,
            "leak": self.leak,
        }


def compare(answers: Answers, opinions: Opinions, *, bootstrap: int = 1000, seed: int = 0) -> tuple[Comparison, ...]:
    """One comparison per target. The opinions must hold every case of the answers, in any order."""
    theirs = in_order(answers, opinions)
    everyone = {OURS: _ours(answers), **theirs.of}
    always = {OURS: answers.probabilities, **theirs.always()}
    targets = answers.scores.target_names
    return tuple(_comparison(answers, everyone, always, target, bootstrap, seed) for target in targets)


def in_order(answers: Answers, opinions: Opinions) -> Opinions:
    """The opinions on the cases of the answers, in their order."""
    place = {case_id: row for row, case_id in enumerate(opinions.case_ids)}
    return opinions.rows(np.array([place[case_id] for case_id in answers.scores.case_ids], dtype=np.int64))


def _ours(answers: Answers) -> Opinion:
    """The model as one more opinion: no answer where nothing of a subset is there."""
    probabilities = {
        subset: np.where(answers.scores.answered(subset)[:, None], p, np.nan)
        for subset, p in answers.probabilities.items()
    }
    return Opinion(probabilities, answers.flagged)


def _comparison(
    answers: Answers,
    everyone: dict[str, Opinion],
    always: dict[str, dict[str, Float[np.ndarray, "n k"]]],
    target: str,
    bootstrap: int,
    seed: int,
) -> Comparison:
    judged = partial(_row, answers, target, bootstrap=bootstrap, seed=seed)
    against = partial(_gain, answers, target, everyone[OURS], bootstrap=bootstrap, seed=seed)
    over_subsets, subset_gains = _averaged(answers, always, target, bootstrap=bootstrap, seed=seed)
    return Comparison(
        target=target,
        rows=tuple(judged(name, opinion) for name, opinion in everyone.items()),
        gains=tuple(against(name, opinion) for name, opinion in everyone.items() if name != OURS),
        over_subsets=over_subsets,
        subset_gains=subset_gains,
    )


def _row(answers: Answers, target: str, name: str, opinion: Opinion, *, bootstrap: int, seed: int) -> Row:
    labels, (p,), flagged, ids = _judged(answers, target, opinion)
    return measure(name, labels, p, flagged, ids, bootstrap=bootstrap, seed=seed)


def _gain(
    answers: Answers, target: str, ours: Opinion, name: str, opinion: Opinion, *, bootstrap: int, seed: int
) -> Gain:
    labels, (theirs, mine), _, ids = _judged(answers, target, opinion, ours)
    first, second = (partial(metrics.weighted_auroc, labels, p) for p in (mine, theirs))
    difference = paired_bootstrap_difference(first, second, ids, resamples=bootstrap, seed=seed)
    return Gain(OURS, name, len(labels), difference)


def _judged(
    answers: Answers, target: str, *opinions: Opinion
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, list[str]]:
    """Labels, each opinion's probabilities, the first one's flags and the patients, where all have an answer."""
    scores = answers.scores
    j, whole = scores.target_names.index(target), scores.whole
    columns = [opinion.probabilities[whole][:, j] for opinion in opinions]
    rows = scores.known(target) & ~np.isnan(columns).any(axis=0)
    ids = [patient_id for patient_id, row in zip(scores.patient_ids, rows, strict=True) if row]
    return scores.targets[rows, j] > 0.5, [p[rows] for p in columns], opinions[0].flagged[whole][rows, j], ids


def _averaged(
    answers: Answers,
    always: dict[str, dict[str, Float[np.ndarray, "n k"]]],
    target: str,
    *,
    bootstrap: int,
    seed: int,
) -> tuple[dict[str, Estimate], tuple[Gain, ...]]:
    """The mean AUROC of everyone over all subsets of inputs, and ours against each, all on the same draws."""
    j, known = answers.scores.target_names.index(target), answers.scores.known(target)
    ids = [patient_id for patient_id, row in zip(answers.scores.patient_ids, known, strict=True) if row]
    labels = answers.scores.targets[known, j] > 0.5
    asked = {subset: answers.scores.answered(subset)[known] for subset in answers.scores.logits}
    means = {
        name: partial(_mean_auroc, labels, {subset: one[subset][known, j] for subset in asked}, asked)
        for name, one in always.items()
    }
    values = patient_bootstrap(means, ids, resamples=bootstrap, seed=seed)
    gains = tuple(
        Gain(
            OURS,
            name,
            len(labels),
            paired_bootstrap_difference(means[OURS], theirs, ids, resamples=bootstrap, seed=seed),
        )
        for name, theirs in means.items()
        if name != OURS
    )
    return values, gains


def _mean_auroc(
    labels: Bool[np.ndarray, " n"],
    told: dict[str, Float[np.ndarray, " n"]],
    asked: dict[str, Bool[np.ndarray, " n"]],
    weights: Weights,
) -> Values:
    """The mean over subsets of the AUROC on the cases that have one of its inputs, NaN where one is undefined."""
    aurocs = [
        metrics.weighted_auroc(labels[rows], told[subset][rows], weights[:, rows])
        for subset, rows in asked.items()
        if len(np.unique(labels[rows])) == 2
    ]
    return np.mean(aurocs, axis=0) if aurocs else np.full(len(weights), np.nan)


def _winner(ours: str, best: str, gains: tuple[Gain, ...]) -> str:
    gain = next(gain for gain in gains if gain.over == best)
    winner, loser = (ours, best) if (gain.auroc.value or 0.0) > 0 else (best, ours)
    return f"the winner is {winner}, ahead of {loser} by {_ahead(gain)}"


def _ahead(gain: Gain) -> str:
    difference = gain.auroc
    if difference.value is None or difference.low is None or difference.high is None:
        return "an AUROC difference that too few patients support"
    sign = 1 if difference.value > 0 else -1
    low, high = sorted((sign * difference.low, sign * difference.high))
    luck = "" if gain.clear else "; the interval holds zero, so this may be luck"
    return f"{abs(difference.value):.3f} AUROC [{low:.3f}, {high:.3f}]{luck}"

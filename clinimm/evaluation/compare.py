"""A model beside its opponents on the same test cases, and in a plain sentence who wins."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from clinimm import metrics
from clinimm.bootstrap import paired_bootstrap_difference
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.measure import Gain, Row, measure
from clinimm.evaluation.opponents import ABSENCE, Opinion, Opinions

OURS = "clinimm, all inputs"


@dataclass(frozen=True)
class Comparison:
    """`rows` has the model first; `gains` is the model against each opponent, on the cases that both answer."""

    target: str
    rows: tuple[Row, ...]
    gains: tuple[Gain, ...]

    @property
    def best(self) -> Row | None:
        """The opponent of the highest AUROC among those that answer every case; None where no AUROC is defined."""
        most = max(row.cases for row in self.rows)
        full = [row for row in self.rows[1:] if row.cases == most and row.estimates["auroc"].value is not None]
        return max(full, key=lambda row: row.estimates["auroc"].value or 0.0, default=None)

    @property
    def verdict(self) -> str:
        """Who wins, and whether the interval of the difference leaves out zero."""
        ours, best = self.rows[0].estimates["auroc"].value, self.best
        if ours is None or best is None:
            return f"{self.target}: too few test cases of a class to name a winner."
        gain = next(gain for gain in self.gains if gain.over == best.name)
        winner, loser = (OURS, best.name) if (gain.auroc.value or 0.0) > 0 else (best.name, OURS)
        return f"{self.target}: the winner is {winner}, ahead of {loser} by {_ahead(gain)}."

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
            "verdict": self.verdict,
            "leak": self.leak,
        }


def compare(answers: Answers, opinions: Opinions, *, bootstrap: int = 1000, seed: int = 0) -> tuple[Comparison, ...]:
    """One comparison per target. The opinions must hold every case of the answers, in any order."""
    place = {case_id: row for row, case_id in enumerate(opinions.case_ids)}
    rows = np.array([place[case_id] for case_id in answers.scores.case_ids], dtype=np.int64)
    opponents = {
        name: Opinion(opinion.probabilities[rows], opinion.flagged[rows]) for name, opinion in opinions.of.items()
    }
    ours = _ours(answers)
    return tuple(
        _comparison(answers, {OURS: ours, **opponents}, target, bootstrap, seed)
        for target in answers.scores.target_names
    )


def _ours(answers: Answers) -> Opinion:
    whole = answers.scores.whole
    answered = answers.scores.answered(whole)[:, None]
    return Opinion(np.where(answered, answers.probabilities[whole], np.nan), answers.flagged[whole])


def _comparison(answers: Answers, opinions: dict[str, Opinion], target: str, bootstrap: int, seed: int) -> Comparison:
    judged = partial(_row, answers, target, bootstrap=bootstrap, seed=seed)
    against = partial(_gain, answers, target, opinions[OURS], bootstrap=bootstrap, seed=seed)
    return Comparison(
        target=target,
        rows=tuple(judged(name, opinion) for name, opinion in opinions.items()),
        gains=tuple(against(name, opinion) for name, opinion in opinions.items() if name != OURS),
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
    j = scores.target_names.index(target)
    columns = [opinion.probabilities[:, j] for opinion in opinions]
    rows = scores.known(target) & ~np.isnan(columns).any(axis=0)
    ids = [patient_id for patient_id, row in zip(scores.patient_ids, rows, strict=True) if row]
    return scores.targets[rows, j] > 0.5, [p[rows] for p in columns], opinions[0].flagged[rows, j], ids


def _ahead(gain: Gain) -> str:
    difference = gain.auroc
    if difference.value is None or difference.low is None or difference.high is None:
        return "an AUROC difference that too few patients support"
    sign = 1 if difference.value > 0 else -1
    low, high = sorted((sign * difference.low, sign * difference.high))
    luck = "" if gain.clear else "; the interval holds zero, so this may be luck"
    return f"{abs(difference.value):.3f} AUROC [{low:.3f}, {high:.3f}]{luck}"

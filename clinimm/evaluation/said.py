"""What a learner says of cases for every subset of their inputs: of training cases that it had not seen, which set its
Platt line, and of the cases it is judged on.

n training cases, q asked cases, s subsets of inputs, m modalities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.model_selection import GroupKFold

from clinimm.evaluation.joined import Questions, Split
from clinimm.evaluation.learners import Asked, Learner
from clinimm.evaluation.plain import PlainCases
from clinimm.platt import fit_lines
from clinimm.scores import columns, subsets

INNER_FOLDS = 4
FEWEST_FOR_PATTERN = 20  # of the rarer class


@dataclass(frozen=True)
class Said:
    """Logits of one opponent by subset, the whole last: of training cases when they were held out, and of the asked
    cases. NaN is no answer. `inner_left` and `outer_left` have the place of the subset that a case really is left with,
    -1 where that is nothing."""

    inner: Float[np.ndarray, "n s"]
    outer: Float[np.ndarray, "q s"]
    inner_left: Int[np.ndarray, "n s"]
    outer_left: Int[np.ndarray, "q s"]


@dataclass(frozen=True)
class Trial:
    """The splits that every opponent goes through: those within the training patients, and the whole of them against
    the asked cases."""

    train: PlainCases
    labels: Bool[np.ndarray, " n"]
    inner: tuple[tuple[Int[np.ndarray, " _"], Split], ...]
    outer: Split

    @staticmethod
    def of(train: PlainCases, labels: Bool[np.ndarray, " n"], asked: PlainCases, seed: int) -> "Trial":
        """Patients are dealt into four inner folds by the seed."""
        patients = np.unique(np.asarray(train.patient_ids))
        inner: list[tuple[Int[np.ndarray, " _"], Split]] = []
        if len(patients) > 1:
            fold = GroupKFold(min(INNER_FOLDS, len(patients)), shuffle=True, random_state=seed)
            for known, held in fold.split(np.zeros(len(train)), groups=train.patient_ids):
                inner.append((held, Split(train.take(known), labels[known], train.take(held), seed, rehearsal=True)))
        return Trial(train, labels, tuple(inner), Split(train, labels, asked, seed))

    def said(self, learner: Learner) -> Said:
        """What the learner says, its inner logits of cases that it had not seen."""
        inner = np.zeros((len(self.train), len(subsets(list(self.train.kinds)))))
        for held, split in self.inner:
            inner[held] = every_subset(learner(split), split.asked)
        outer = every_subset(learner(self.outer), self.outer.asked)
        return Said(inner, outer, left_with(self.train), left_with(self.outer.asked))


def every_subset(asked: Asked, cases: PlainCases) -> Float[np.ndarray, "q s"]:
    """The answers for each subset of inputs, all else hidden. A case that is left with the same inputs by two subsets
    is asked once."""
    shown = shown_by_subset(cases)
    q, s, m = shown.shape
    keys = np.concatenate([np.repeat(np.arange(q), s)[:, None], shown.reshape(q * s, m)], axis=1)
    unique, back = np.unique(keys, axis=0, return_inverse=True)
    answers = asked(Questions(unique[:, 0], unique[:, 1:].astype(bool)))
    return answers[back.reshape(-1)].reshape(q, s)


def shown_by_subset(cases: PlainCases) -> Bool[np.ndarray, "q s m"]:
    """Which inputs each case is left with by each subset."""
    names = list(cases.kinds)
    kept = np.zeros((len(subsets(names)), len(names)), dtype=bool)
    for row, subset in enumerate(subsets(names)):
        kept[row, columns(subset, names)] = True
    return np.asarray(cases.present[:, None, :] & kept[None])


def left_with(cases: PlainCases) -> Int[np.ndarray, "q s"]:
    """The place of the subset of inputs that each case is left with by each subset."""
    names = list(cases.kinds)
    bits = 1 << np.arange(len(names))
    place = np.full(1 << len(names), -1)
    for column, subset in enumerate(subsets(names)):
        place[bits[columns(subset, names)].sum()] = column
    return np.asarray(place[(shown_by_subset(cases) * bits).sum(axis=2)])


def calibrated(said: Said, labels: Bool[np.ndarray, " n"]) -> Said:
    """The same through the Platt line of the held-out training cases, each with all that it had."""
    line = _line(said.inner[:, -1], labels)
    if line is None:
        return said
    slope, offset = line
    return replace(said, inner=slope * said.inner + offset, outer=slope * said.outer + offset)


def calibrated_by_pattern(said: Said, labels: Bool[np.ndarray, " n"]) -> Said:
    """As `calibrated`, but what a case is left with has a line of its own where 20 held-out training cases of the rarer
    class have all of it: as a net is calibrated, for what lost an input is not as sure as it looks."""
    one = calibrated(said, labels)
    inner, outer = one.inner.copy(), one.outer.copy()
    for column in range(inner.shape[1]):
        complete = (said.inner_left[:, column] == column) & ~np.isnan(said.inner[:, column])
        if min(labels[complete].sum(), (~labels[complete]).sum()) < FEWEST_FOR_PATTERN:
            continue
        line = _line(said.inner[complete, column], labels[complete])
        if line is None:
            continue
        slope, offset = line
        for new, raw, left in ((inner, said.inner, said.inner_left), (outer, said.outer, said.outer_left)):
            new[left == column] = slope * raw[left == column] + offset
    return replace(said, inner=inner, outer=outer)


def mean(parts: Sequence[Said]) -> Said:
    """The mean logit of those that answer."""
    return replace(parts[0], inner=_mean([part.inner for part in parts]), outer=_mean([part.outer for part in parts]))


def first(parts: Sequence[Said]) -> Said:
    """The first that answers."""
    return replace(parts[0], inner=_first([part.inner for part in parts]), outer=_first([part.outer for part in parts]))


def _line(logits: Float[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> tuple[float, float] | None:
    """Slope and offset by the cases with an answer; None where they are of one class."""
    answered = ~np.isnan(logits)
    if len(np.unique(labels[answered])) < 2:
        return None
    slope, offset = fit_lines(logits[answered], labels[answered], np.ones((1, int(answered.sum()))))[0]
    return float(slope), float(offset)


def _mean(logits: Sequence[Float[np.ndarray, "n s"]]) -> Float[np.ndarray, "n s"]:
    stacked = np.stack(logits)
    answers = (~np.isnan(stacked)).sum(axis=0)
    return np.where(answers > 0, np.nansum(stacked, axis=0) / np.maximum(answers, 1), np.nan)


def _first(logits: Sequence[Float[np.ndarray, "n s"]]) -> Float[np.ndarray, "n s"]:
    found = logits[0]
    for later in logits[1:]:
        found = np.where(np.isnan(found), later, found)
    return found

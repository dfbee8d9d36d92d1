"""What a learner says of cases for every subset of their inputs: of training cases that it had not seen, which set its
Platt line, and of the cases it is judged on.

n training cases, q asked cases, s subsets of inputs, m modalities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.model_selection import GroupKFold

from clinimm.evaluation.joined import Questions, Split
from clinimm.evaluation.learners import Asked, Learner
from clinimm.evaluation.plain import PlainCases
from clinimm.platt import fit_lines
from clinimm.scores import columns, subsets

INNER_FOLDS = 4


@dataclass(frozen=True)
class Said:
    """Logits of one opponent by subset, the whole last: of training cases when they were held out, and of the asked
    cases. NaN is no answer."""

    inner: Float[np.ndarray, "n s"]
    outer: Float[np.ndarray, "q s"]


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
        return Said(inner, every_subset(learner(self.outer), self.outer.asked))


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


def calibrated(said: Said, labels: Bool[np.ndarray, " n"]) -> Said:
    """The same through the Platt line of the held-out training cases, each with all that it had."""
    whole = said.inner[:, -1]
    answered = ~np.isnan(whole)
    if len(np.unique(labels[answered])) < 2:
        return said
    slope, offset = fit_lines(whole[answered], labels[answered], np.ones((1, int(answered.sum()))))[0]
    return Said(slope * said.inner + offset, slope * said.outer + offset)


def mean(parts: Sequence[Said]) -> Said:
    """The mean logit of those that answer."""
    return Said(_mean([part.inner for part in parts]), _mean([part.outer for part in parts]))


def first(parts: Sequence[Said]) -> Said:
    """The first that answers."""
    return Said(_first([part.inner for part in parts]), _first([part.outer for part in parts]))


def _mean(logits: Sequence[Float[np.ndarray, "n s"]]) -> Float[np.ndarray, "n s"]:
    stacked = np.stack(logits)
    answers = (~np.isnan(stacked)).sum(axis=0)
    return np.where(answers > 0, np.nansum(stacked, axis=0) / np.maximum(answers, 1), np.nan)


def _first(logits: Sequence[Float[np.ndarray, "n s"]]) -> Float[np.ndarray, "n s"]:
    found = logits[0]
    for later in logits[1:]:
        found = np.where(np.isnan(found), later, found)
    return found

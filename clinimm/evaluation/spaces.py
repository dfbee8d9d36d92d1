"""Cases as the encoders of a network see them: opponents that get the very features that our fusion gets.

n training cases, q asked cases, e width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from clinimm.evaluation.learners import LINE, Learner, alone, boosted_trees, logistic
from clinimm.evaluation.plain import PlainCases
from clinimm.evaluation.said import Said, Trial, calibrated, calibrated_by_pattern, left_with, mean
from clinimm.types import Kind

LATE = "late mean of logistics on embeddings"
HAIM = "boosted trees on joined embeddings (HAIM)"
LINEAR = "logistic on embeddings and gaps"
NOT_CLEAN = ", of encoders that had learned from these cases"


@dataclass(frozen=True)
class Space:
    """One network's embedding of each input, of all training and of all asked cases. `clean` marks the training cases
    that this network never learned from: those whose embeddings are as good as those of new cases."""

    train: Mapping[str, Float[np.ndarray, "n _"]]
    asked: Mapping[str, Float[np.ndarray, "q _"]]
    clean: Bool[np.ndarray, " n"]

    def of(self, labeled: Bool[np.ndarray, " n"]) -> "Space":
        """The same of some of the training cases."""
        return Space({name: rows[labeled] for name, rows in self.train.items()}, self.asked, self.clean[labeled])


def embedded(cases: PlainCases, embeddings: Mapping[str, Float[np.ndarray, "n _"]]) -> PlainCases:
    """The cases, each input a row of numbers; NaN where it is absent."""
    values = {name: np.where(cases.has(name)[:, None], embeddings[name], np.nan) for name in cases.kinds}
    return replace(cases, kinds=dict.fromkeys(cases.kinds, Kind.TABULAR), values=values)


def opponents_in(
    spaces: Sequence[Space], train: PlainCases, labels: Bool[np.ndarray, " n"], asked: PlainCases, seed: int
) -> dict[str, Said]:
    """What learners on embeddings say. Coordinates of two networks mean different things, so each space has learners of
    its own, taught by the clean cases of it, and their logits are averaged. Where no space has clean cases of both
    classes, they learn from all cases, and their names say so."""
    usable = [space for space in spaces if len(np.unique(labels[space.clean])) == 2]
    note = "" if usable else NOT_CLEAN
    told = [_in_space(space, space.clean, train, labels, asked, seed) for space in usable] or [
        _in_space(space, np.ones(len(train), bool), train, labels, asked, seed) for space in spaces
    ]
    return {
        f"{name}{note}": calibrated_by_pattern(mean([one[name] for one in told]), labels)
        for name in (LATE, HAIM, LINEAR)
    }


def _in_space(
    space: Space,
    rows: Bool[np.ndarray, " n"],
    train: PlainCases,
    labels: Bool[np.ndarray, " n"],
    asked: PlainCases,
    seed: int,
) -> dict[str, Said]:
    some, known = embedded(train, space.train).take(rows), labels[rows]
    trial = Trial.of(some, known, embedded(asked, space.asked), seed)

    def said(learner: Learner) -> Said:
        return calibrated(trial.said(learner), known)

    found = {
        LATE: calibrated(mean([said(alone(name, LINE)) for name in train.kinds]), known),
        HAIM: said(boosted_trees),
        LINEAR: said(logistic),
    }
    return {name: _spread(one, rows, train) for name, one in found.items()}


def _spread(said: Said, rows: Bool[np.ndarray, " n"], train: PlainCases) -> Said:
    """The same over all training cases; no answer for those that were not asked."""
    inner = np.full((len(rows), said.inner.shape[1]), np.nan)
    inner[rows] = said.inner
    return replace(said, inner=inner, inner_left=left_with(train))

"""The simple learners that a multimodal net must beat: each learns once from a split, then answers about any part of
the inputs of the asked cases.

An answer is a logit, NaN where the learner has nothing to go by. n training cases, r questions, p features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logit
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clinimm.choose import choose
from clinimm.evaluation.joined import Model, Questions, Split, components, tf_idf
from clinimm.types import Kind

Labels: TypeAlias = Bool[np.ndarray, " n"]
Logits: TypeAlias = Float[np.ndarray, " r"]
Rows: TypeAlias = Float[np.ndarray, "r p"]
Asked: TypeAlias = Callable[[Questions], Logits]
Learner: TypeAlias = Callable[[Split], Asked]

TREES = 300
SUREST = 0.003  # a forest of 300 trees can say no less


def alone(name: str, models: Mapping[str, Model] | None = None) -> Learner:
    """Learns from one input and answers where it is shown, by the model of its kind: pixels by principal components and
    a logistic regression, words by TF-IDF of one and two and a logistic regression, analytes by boosted trees."""

    def learn(split: Split) -> Asked:
        seen, there = split.train.has(name), split.asked.has(name)
        model = choose(models or SINGLE, split.train.kinds[name], "kind")(int(seen.sum()), split.seed)
        answers = np.full(len(split.asked), np.nan)
        if there.any():
            learned = learned_by(model, split.train.values[name][seen], split.labels[seen])
            answers[there] = learned(split.asked.values[name][there])
        column = list(split.train.kinds).index(name)
        return lambda questions: np.where(questions.shown[:, column], answers[questions.rows], np.nan)

    return learn


@dataclass(frozen=True)
class Joined:
    """Learns from everything joined into one row per case. What is hidden is a gap: NaN where the model knows gaps (as
    HAIM's boosted trees do, Soenksen et al. 2022), else `filled` with 0, which of them were gaps told beside. A costly
    model may rehearse with a cheaper one of its kind."""

    model: Model
    filled: bool = False
    rehearse: Model | None = None

    def __call__(self, split: Split) -> Asked:
        chosen = self.rehearse if split.rehearsal and self.rehearse else self.model
        model = chosen(len(split.train), split.seed)
        learned = learned_by(model, self._whole(split.learned_rows()), split.labels)
        return lambda questions: where_any(questions, learned(self._whole(split.asked_rows(questions))))

    def _whole(self, rows: Rows) -> Rows:
        return np.nan_to_num(rows) if self.filled else rows


@dataclass(frozen=True)
class Absence:
    """Sees only which inputs and analytes are there: what it gets right is a leak of the cohort, not medicine."""

    model: Model

    def __call__(self, split: Split) -> Asked:
        every = Questions(np.arange(len(split.train)), split.train.present)
        model = self.model(len(split.train), split.seed)
        learned = learned_by(model, split.gaps(split.train, every), split.labels)
        return lambda questions: where_any(questions, learned(split.gaps(split.asked, questions)))


def learned_by(model: Any, values: np.ndarray, labels: Labels) -> Callable[[np.ndarray], Logits]:
    """What the model, once it has learned, says of other rows: logits, 0 for all where it was shown one class."""
    if len(np.unique(labels)) < 2:
        return lambda wanted: np.zeros(len(wanted))
    told = ~np.isnan(values).all(axis=0) if values.ndim == 2 else None
    if told is not None:
        values = values[:, told]  # boosted trees refuse a column without a single number
    fitted = model.fit(values, labels)

    def answers(wanted: np.ndarray) -> Logits:
        if not len(wanted):
            return np.zeros(0)
        probabilities = fitted.predict_proba(wanted if told is None else wanted[:, told])[:, 1]
        return np.asarray(logit(np.clip(probabilities, SUREST, 1 - SUREST)))

    return answers


def where_any(questions: Questions, answers: Logits) -> Logits:
    """The answers, but none where nothing at all is shown."""
    return np.where(questions.shown.any(axis=1), answers, np.nan)


def pixels(n: int, seed: int) -> Any:
    return make_pipeline(components(n, seed), StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))


def words(n: int, seed: int) -> Any:
    return make_pipeline(*tf_idf(), LogisticRegression(C=10, max_iter=1000))


def boosting(n: int, seed: int) -> Any:
    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=150, min_samples_leaf=10, l2_regularization=1.0, random_state=seed
    )


def forest(n: int, seed: int, trees: int = TREES) -> Any:
    return ExtraTreesClassifier(trees, min_samples_leaf=2, random_state=seed)


def thousand(n: int, seed: int, trees: int = 1000) -> Any:
    """A thousand trees, half of the features at each split, leaves of three."""
    return ExtraTreesClassifier(trees, min_samples_leaf=3, max_features=0.5, random_state=seed)


def line(n: int, seed: int) -> Any:
    """A logistic regression on standardized columns."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))


def plain_line(n: int, seed: int) -> Any:
    return LogisticRegression(max_iter=1000)


SINGLE: Mapping[str, Model] = {Kind.IMAGE: pixels, Kind.TEXT: words, Kind.TABULAR: boosting}
FOREST: Mapping[str, Model] = {Kind.IMAGE: forest}
GROVE: Mapping[str, Model] = {Kind.IMAGE: partial(forest, trees=100)}
LINE: Mapping[str, Model] = {Kind.TABULAR: line}

boosted_trees = Joined(boosting)
extra_trees = Joined(forest, filled=True)
thousand_trees = Joined(thousand, filled=True, rehearse=partial(thousand, trees=200))
logistic = Joined(line, filled=True)
absence = Absence(plain_line)
absence_by_trees = Absence(boosting)

"""The simple learners that a multimodal net must beat, each trained on some cases and asked about others.

A learner returns a logit per asked case, NaN where it cannot answer. n training cases, q asked cases, p features."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logit
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clinimm.choose import choose
from clinimm.evaluation.plain import PlainCases
from clinimm.types import Kind

Labels: TypeAlias = Bool[np.ndarray, " n"]
Logits: TypeAlias = Float[np.ndarray, " q"]
Learner: TypeAlias = Callable[[PlainCases, Labels, PlainCases, int], Logits]
Model: TypeAlias = Callable[[int, int], Any]  # from the number of training cases and a seed

COMPONENTS, TOPICS, TREES = 50, 30, 300
SUREST = 0.003  # a forest of 300 trees can say no less


def alone(name: str, models: Mapping[str, Model] | None = None) -> Learner:
    """Learns from one input and answers for the cases that have it, by the model of its kind: pixels by principal
    components and a logistic regression, words by TF-IDF of one and two and a logistic regression, analytes by boosted
    trees."""

    def learn(train: PlainCases, labels: Labels, asked: PlainCases, seed: int) -> Logits:
        seen, can_answer = train.has(name), asked.has(name)
        model = choose(models or SINGLE, train.kinds[name], "kind")(int(seen.sum()), seed)
        answers = np.full(len(asked), np.nan)
        if can_answer.any():
            values, wanted = train.values[name][seen], asked.values[name][can_answer]
            answers[can_answer] = _fit_and_ask(model, values, labels[seen], wanted)
        return answers

    return learn


def boosted_trees(train: PlainCases, labels: Labels, asked: PlainCases, seed: int) -> Logits:
    """Everything joined into one row per case: components of pixels, topics of words, analytes, what is present."""
    x, wanted = _joined(train, asked, seed)
    return _where_any(asked, _fit_and_ask(_trees(len(train), seed), x, labels, wanted))


def extra_trees(train: PlainCases, labels: Labels, asked: PlainCases, seed: int) -> Logits:
    """The same rows, gaps at the mean, which of them were gaps told beside."""
    x, wanted = (np.nan_to_num(rows) for rows in _joined(train, asked, seed))
    return _where_any(asked, _fit_and_ask(_forest(len(train), seed), x, labels, wanted))


def absence(train: PlainCases, labels: Labels, asked: PlainCases, seed: int) -> Logits:
    """Sees only which inputs and analytes are there: what it gets right is a leak of the cohort, not medicine."""
    model = LogisticRegression(max_iter=1000)
    return _where_any(asked, _fit_and_ask(model, _gaps(train), labels, _gaps(asked)))


def _fit_and_ask(model: Any, values: np.ndarray, labels: Labels, wanted: np.ndarray) -> Logits:
    """The model's logits; 0 for all where its training cases have one class or none."""
    if len(np.unique(labels)) < 2:
        return np.zeros(len(wanted))
    if values.ndim == 2:
        told = ~np.isnan(values).all(axis=0)  # boosted trees refuse a column without a single number
        values, wanted = values[:, told], wanted[:, told]
    probabilities = model.fit(values, labels).predict_proba(wanted)[:, 1]
    return np.asarray(logit(np.clip(probabilities, SUREST, 1 - SUREST)))


def _pixels(n: int, seed: int) -> Any:
    return make_pipeline(_components(n, seed), StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))


def _words(n: int, seed: int) -> Any:
    return make_pipeline(*_tf_idf(), LogisticRegression(C=10, max_iter=1000))


def _trees(n: int, seed: int) -> Any:
    return HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=150, min_samples_leaf=10, l2_regularization=1.0, random_state=seed
    )


def _forest(n: int, seed: int) -> Any:
    return ExtraTreesClassifier(TREES, min_samples_leaf=2, random_state=seed)


SINGLE: dict[str, Model] = {Kind.IMAGE: _pixels, Kind.TEXT: _words, Kind.TABULAR: _trees}
FOREST: dict[str, Model] = {Kind.IMAGE: _forest}


def _components(n: int, seed: int) -> Any:
    return PCA(max(1, min(COMPONENTS, n // 2)), svd_solver="randomized", random_state=seed)


def _tf_idf() -> tuple[Any, Any]:
    # Hashing needs no vocabulary, so notes without a single known word are no special case.
    hashing = HashingVectorizer(ngram_range=(1, 2), n_features=1 << 16, alternate_sign=False, norm=None)
    return hashing, TfidfTransformer(sublinear_tf=True)


def _topics(n: int, seed: int) -> Any:
    return make_pipeline(*_tf_idf(), TruncatedSVD(max(1, min(TOPICS, n // 2)), n_iter=2, random_state=seed))


REDUCE: dict[str, Model] = {Kind.IMAGE: _components, Kind.TEXT: _topics}


def _joined(train: PlainCases, asked: PlainCases, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of every input side by side, fit on the training cases alone; NaN where there is nothing."""
    blocks = [_reduced(train, asked, name, seed) for name in train.kinds]
    mine, theirs = zip(*blocks, (_gaps(train), _gaps(asked)), strict=True)
    return np.concatenate(mine, axis=1), np.concatenate(theirs, axis=1)


def _reduced(train: PlainCases, asked: PlainCases, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    kind, seen = train.kinds[name], train.has(name)
    if kind is Kind.TABULAR:
        return train.values[name], asked.values[name]
    if seen.sum() < 2:
        return np.empty((len(train), 0)), np.empty((len(asked), 0))
    reduce = REDUCE[kind](int(seen.sum()), seed).fit(train.values[name][seen])
    return _filled(reduce, train, name), _filled(reduce, asked, name)


def _filled(reduce: Any, cases: PlainCases, name: str) -> np.ndarray:
    there = cases.has(name)
    if not there.any():
        return np.full((len(cases), reduce.transform(cases.values[name][:1]).shape[1]), np.nan)
    reduced = reduce.transform(cases.values[name][there])
    filled = np.full((len(cases), reduced.shape[1]), np.nan)
    filled[there] = reduced
    return filled


def _gaps(cases: PlainCases) -> Float[np.ndarray, "n p"]:
    tables = [~np.isnan(cases.values[name]) for name, kind in cases.kinds.items() if kind is Kind.TABULAR]
    return np.concatenate([cases.present, *tables], axis=1).astype(np.float64)


def _where_any(asked: PlainCases, answers: Logits) -> Logits:
    return np.where(asked.present.any(axis=1), answers, np.nan)

"""Training cases beside the cases that a learner will be asked about, and both as rows of features with gaps.

n training cases, q asked cases, r questions, m modalities, p features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import make_pipeline

from clinimm.evaluation.plain import PlainCases
from clinimm.types import Kind

Model: TypeAlias = Callable[[int, int], Any]  # from the number of training cases and a seed

COMPONENTS, TOPICS = 50, 30


@dataclass(frozen=True)
class Questions:
    """Which asked case each question is about, and which of its inputs are shown."""

    rows: Int[np.ndarray, " r"]
    shown: Bool[np.ndarray, "r m"]


@dataclass(frozen=True)
class Split:
    """What a learner may learn from, `labels` one per training case, and whom it will be asked about. Whatever is fit
    for its features is fit on the training cases alone, and once for all learners. A `rehearsal` only serves to set a
    Platt line."""

    train: PlainCases
    labels: Bool[np.ndarray, " n"]
    asked: PlainCases
    seed: int
    rehearsal: bool = False

    def learned_rows(self) -> Float[np.ndarray, "n p"]:
        """Everything joined into one row per training case: components of pixels, topics of words, analytes, NaN where
        there is nothing; then what is there, as 0 and 1."""
        return self._rows(0, Questions(np.arange(len(self.train)), self.train.present))

    def asked_rows(self, questions: Questions) -> Float[np.ndarray, "r p"]:
        """The same of asked cases, with what is not shown hidden: its features are gaps, and told as gaps."""
        return self._rows(1, questions)

    @cached_property
    def blocks(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The features of each input, of the training and of the asked cases."""
        return {name: self._reduced(name) for name in self.train.kinds}

    def gaps(self, cases: PlainCases, questions: Questions) -> Float[np.ndarray, "r p"]:
        """1 for each input and each analyte that is there; columns that never differ in training are told once."""
        return _gaps(cases, questions)[:, self._telling_gaps]

    @cached_property
    def _telling_gaps(self) -> Int[np.ndarray, " p"]:
        every = Questions(np.arange(len(self.train)), self.train.present)
        return np.sort(np.unique(_gaps(self.train, every), axis=1, return_index=True)[1])

    def _rows(self, side: int, questions: Questions) -> Float[np.ndarray, "r p"]:
        cases = (self.train, self.asked)[side]
        blocks = [
            np.where(questions.shown[:, [j]], block[side][questions.rows], np.nan)
            for j, block in enumerate(self.blocks.values())
        ]
        return np.concatenate([*blocks, self.gaps(cases, questions)], axis=1)

    def _reduced(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        kind, seen = self.train.kinds[name], self.train.has(name)
        if kind is Kind.TABULAR:
            return self.train.values[name], self.asked.values[name]
        if seen.sum() < 2:
            return np.empty((len(self.train), 0)), np.empty((len(self.asked), 0))
        reduce = REDUCE[kind](int(seen.sum()), self.seed).fit(self.train.values[name][seen])
        return _filled(reduce, self.train, name), _filled(reduce, self.asked, name)


def components(n: int, seed: int) -> Any:
    """Principal components of pixels."""
    return PCA(max(1, min(COMPONENTS, n // 2)), svd_solver="randomized", random_state=seed)


def tf_idf() -> tuple[Any, Any]:
    """Weights of one and of two words."""
    # Hashing needs no vocabulary, so notes without a single known word are no special case.
    hashing = HashingVectorizer(ngram_range=(1, 2), n_features=1 << 16, alternate_sign=False, norm=None)
    return hashing, TfidfTransformer(sublinear_tf=True)


def topics(n: int, seed: int) -> Any:
    """Truncated singular vectors of those weights."""
    return make_pipeline(*tf_idf(), TruncatedSVD(max(1, min(TOPICS, n // 2)), n_iter=2, random_state=seed))


REDUCE: Mapping[str, Model] = {Kind.IMAGE: components, Kind.TEXT: topics}


def _filled(reduce: Any, cases: PlainCases, name: str) -> Float[np.ndarray, "n p"]:
    there = cases.has(name)
    if not there.any():
        return np.full((len(cases), reduce.transform(cases.values[name][:1]).shape[1]), np.nan)
    reduced = reduce.transform(cases.values[name][there])
    filled = np.full((len(cases), reduced.shape[1]), np.nan)
    filled[there] = reduced
    return filled


def _gaps(cases: PlainCases, questions: Questions) -> Float[np.ndarray, "r p"]:
    tables = [
        ~np.isnan(cases.values[name][questions.rows]) & questions.shown[:, [j]]
        for j, (name, kind) in enumerate(cases.kinds.items())
        if kind is Kind.TABULAR
    ]
    return np.concatenate([questions.shown, *tables], axis=1).astype(np.float64)

"""Nearest vectors by inner product: every one compared, or faiss where it is installed."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from clinimm.choose import choose
from clinimm.errors import ConfigError

Vectors = Float[np.ndarray, "n e"]
Found = tuple[Float[np.ndarray, "q k"], Int[np.ndarray, "q k"]]

_BLOCK = 1 << 24  # similarities in memory at once: 64 MB
_LINKS, _BREADTH = 32, 200  # of the HNSW graph: neighbors of a node, candidates kept while it is built and asked


class Exact:
    """For each query its k nearest of the n vectors, every one compared: similarities, falling, and rows. Of equal
    similarities the lower row comes first."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def nearest(self, queries: Float[np.ndarray, "q e"], k: int) -> Found:
        k = min(k, len(self.vectors))
        step = max(1, _BLOCK // max(1, len(self.vectors)))
        parts = [self._block(queries[start : start + step], k) for start in range(0, len(queries), step)]
        if not parts:
            return np.zeros((0, k), np.float32), np.zeros((0, k), np.int64)
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _block(self, queries: Float[np.ndarray, "q e"], k: int) -> Found:
        similarities = queries @ self.vectors.T
        rows = np.stack([_first(line, k) for line in similarities])
        return np.take_along_axis(similarities, rows, axis=1), rows


class Faiss:
    """The same by faiss: all vectors compared, or with `links` an HNSW graph, which may miss some (Malkov and Yashunin
    2018); rows are -1 where it found fewer than k. Raises ConfigError if faiss is not installed."""

    def __init__(self, vectors: Vectors, links: int = 0) -> None:
        faiss = _faiss()
        width = vectors.shape[1]
        if links:
            self.index = faiss.IndexHNSWFlat(width, links, faiss.METRIC_INNER_PRODUCT)
            self.index.hnsw.efConstruction = self.index.hnsw.efSearch = _BREADTH
        else:
            self.index = faiss.IndexFlatIP(width)
        self.index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def nearest(self, queries: Float[np.ndarray, "q e"], k: int) -> Found:
        similarities, rows = self.index.search(
            np.ascontiguousarray(queries, dtype=np.float32), min(k, self.index.ntotal)
        )
        return similarities, rows


Searcher = Exact | Faiss
SEARCHERS: dict[str, Callable[[Vectors], Searcher]] = {
    "exact": Exact,
    "faiss": Faiss,
    "faiss-hnsw": lambda vectors: Faiss(vectors, _LINKS),
}


def build_searcher(name: str, vectors: Vectors) -> Searcher:
    """One of SEARCHERS over the vectors. Raises ConfigError for an unknown name, or for faiss where it is missing."""
    return choose(SEARCHERS, name, "--backend")(vectors)


def neighbors(
    searcher: Searcher, queries: Float[np.ndarray, "q e"], k: int, left_out: Sequence[Int[np.ndarray, " _"]]
) -> list[list[tuple[int, float]]]:
    """For each query the (row, similarity) of its k nearest that are not among its `left_out` rows."""
    more = max((len(rows) for rows in left_out), default=0)
    similarities, rows = searcher.nearest(queries, k + more)
    answers = []
    for values, places, banned in zip(similarities, rows, left_out, strict=True):
        kept = (places >= 0) & ~np.isin(places, banned)
        answers.append(list(zip(places[kept].tolist(), values[kept].tolist(), strict=True))[:k])
    return answers


def _first(similarities: Float[np.ndarray, " n"], k: int) -> Int[np.ndarray, " k"]:
    """Rows of the k greatest, greatest first, equals by row."""
    if k == 0:
        return np.zeros(0, np.int64)
    least = np.partition(similarities, -k)[-k]
    rows = np.flatnonzero(similarities >= least)
    return rows[np.argsort(-similarities[rows], kind="stable")][:k]


def _faiss() -> Any:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise ConfigError(
            "faiss is not installed", where="--backend", mend="pip install 'clinimm[faiss]', or --backend exact"
        ) from error

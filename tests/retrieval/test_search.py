"""Searches give the same answers, whatever finds them, and never what was to be left out."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.errors import ConfigError
from clinimm.retrieval import search
from clinimm.retrieval.search import Exact, build_searcher, neighbors


def unit(n: int, width: int = 12, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_exact_search_is_a_sort(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, queries = (rng.integers(-2, 3, (rows, 3)).astype(np.float32) for rows in (n, 4))
    similarities, rows = Exact(vectors).nearest(queries, k)
    for i, query in enumerate(queries):
        order = sorted(range(n), key=lambda j: (-float(vectors[j] @ query), j))[:k]
        assert rows[i].tolist() == order
        assert similarities[i].tolist() == [float(vectors[j] @ query) for j in order]


def test_a_search_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = unit(40), unit(25, seed=1)
    whole = Exact(vectors).nearest(queries, 7)
    monkeypatch.setattr(search, "_BLOCK", 90)
    blocks = Exact(vectors).nearest(queries, 7)
    assert np.array_equal(whole[1], blocks[1])
    assert np.allclose(whole[0], blocks[0], atol=1e-6)


@pytest.mark.parametrize("backend", ["faiss", "faiss-hnsw"])
def test_faiss_finds_what_the_exact_search_finds(backend: str) -> None:
    vectors, queries = unit(300), unit(20, seed=1)
    expected, found = (build_searcher(name, vectors).nearest(queries, 10) for name in ("exact", backend))
    assert np.array_equal(expected[1], found[1])
    assert np.allclose(expected[0], found[0], atol=1e-6)


@pytest.mark.parametrize("backend", ["exact", "faiss"])
def test_what_is_left_out_never_comes_and_the_rest_does(backend: str) -> None:
    vectors = unit(30)
    left_out = [np.arange(i % 5) for i in range(30)]
    for i, found in enumerate(neighbors(build_searcher(backend, vectors), vectors, 6, left_out)):
        order = [j for j in np.argsort(-(vectors @ vectors[i]), kind="stable") if j not in left_out[i]]
        assert [row for row, _ in found] == order[:6]
    everything = neighbors(build_searcher(backend, vectors), vectors[:1], 100, [np.arange(28)])
    assert {row for row, _ in everything[0]} == {28, 29}


def test_faiss_that_is_not_there_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install 'clinimm\[faiss\]'"):
        build_searcher("faiss", unit(3))

"""Ranks, their figures and chance, against loops that do it by definition."""

from itertools import permutations
from statistics import median_low

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.retrieval.ranking import Ranks, chance, judge, ranks, weighted_median


@st.composite
def retrieval_problems(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Pairs of a few patients, some with the same text twice; coarse vectors, so that similarities tie."""
    n = draw(st.integers(1, 14))
    patients = np.array(draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    texts = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "queries": rng.integers(-2, 3, (n, 2)).astype(np.float32),
        "gallery": rng.integers(-2, 3, (n, 2)).astype(np.float32),
        "patients": patients,
        "groups": 2 * patients + texts,
    }


def rank_of(problem: dict[str, np.ndarray]) -> Ranks:
    groups, patients = problem["groups"], problem["patients"]
    return ranks(
        problem["queries"],
        problem["gallery"],
        query_groups=groups,
        gallery_groups=groups,
        query_patients=patients,
        gallery_patients=patients,
    )


@settings(max_examples=60, deadline=None)
@given(retrieval_problems())
def test_ranks_are_those_of_a_plain_loop(problem: dict[str, np.ndarray]) -> None:
    found = rank_of(problem)
    groups, patients = problem["groups"], problem["patients"]
    for i, query in enumerate(problem["queries"]):
        right = [j for j in range(len(groups)) if groups[j] == groups[i]]
        wrong = [j for j in range(len(groups)) if patients[j] != patients[i]]
        similarity = [float(query @ item) for item in problem["gallery"]]
        best = max(similarity[j] for j in right)
        assert found.rank[i] == 1 + sum(similarity[j] >= best for j in wrong)
        assert (found.candidates[i], found.right[i]) == (len(right) + len(wrong), len(right))


def test_chance_is_the_mean_over_every_order() -> None:
    found = Ranks(rank=np.array([1, 1]), candidates=np.array([5, 6]), right=np.array([2, 1]))
    firsts = {
        c: [1 + min(order.index(i) for i in range(r)) for order in permutations(range(c))]
        for c, r in zip(found.candidates.tolist(), found.right.tolist(), strict=True)
    }
    expected = chance(found)
    for k in (1, 5):
        assert expected[f"recall@{k}"] == pytest.approx(np.mean([np.mean(np.array(f) <= k) for f in firsts.values()]))
    assert expected["recall@10"] == 1
    assert expected["mrr"] == pytest.approx(np.mean([np.mean(1 / np.array(f)) for f in firsts.values()]))
    both = np.concatenate([np.tile(f, 720 // len(f)) for f in firsts.values()])
    assert expected["median_rank"] == median_low(both.tolist())


def test_random_vectors_do_as_well_as_chance() -> None:
    rng = np.random.default_rng(0)
    n = 600
    patients = np.arange(n) // 2
    problem = {"queries": rng.normal(size=(n, 16)), "gallery": rng.normal(size=(n, 16)), "patients": patients}
    found = rank_of(problem | {"groups": np.arange(n)})
    judged = judge(found, [str(p) for p in patients], resamples=200)
    assert set(found.candidates) == {n - 1}
    for name in ("recall@10", "mrr"):
        estimate = judged.figures[name]
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= judged.chance[name] <= estimate.high
    assert judged.chance["recall@1"] == pytest.approx(1 / (n - 1))
    assert judged.chance["median_rank"] == n / 2


def test_a_model_that_puts_all_in_one_place_gets_nothing_and_a_perfect_one_all() -> None:
    patients, same = np.arange(20), np.ones((20, 3), np.float32)
    base = {"patients": patients, "groups": patients}
    none = judge(rank_of({**base, "queries": same, "gallery": same}), list(map(str, patients)), resamples=20)
    assert none.figures["recall@10"].value == 0
    assert none.figures["median_rank"].value == 20
    eye = np.eye(20, dtype=np.float32)
    all_ = judge(rank_of({**base, "queries": eye, "gallery": eye}), list(map(str, patients)), resamples=20)
    assert [all_.figures[name].value for name in ("recall@1", "mrr", "median_rank")] == [1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=12))
def test_a_weighted_median_is_that_of_the_copies(values: list[tuple[int, int]]) -> None:
    numbers, weights = (np.array(column) for column in zip(*values, strict=True))
    copies = np.repeat(numbers, weights).tolist()
    [found] = weighted_median(numbers, weights[None].astype(float))
    assert np.isnan(found) if not copies else found == median_low(copies)

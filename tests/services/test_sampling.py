"""Samples tell of all they were drawn from: probabilities are as stated, and estimates are right on the average."""

from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.samples.estimates import horvitz_thompson, simple_rate, weighted_rate
from services.samples.plans import draw, inclusions
from services.samples.risk import WEIGHTS, Signs, risk

SIZES = st.lists(st.floats(1, 13), min_size=1, max_size=60)


@given(SIZES, st.integers(1, 60))
def test_inclusion_probabilities_sum_to_the_sample_and_follow_size(sizes: list[float], n: int) -> None:
    found = inclusions(sizes, n)
    assert sum(found) == pytest.approx(min(n, len(sizes)))
    assert all(0 < p <= 1 for p in found)
    ratios = [p / size for p, size in zip(found, sizes, strict=True) if p < 1]
    assert ratios == pytest.approx([ratios[0]] * len(ratios)) if ratios else True
    assert all(
        p >= q - 1e-12 for p, a in zip(found, sizes, strict=True) for q, b in zip(found, sizes, strict=True) if a >= b
    )


@given(SIZES, st.integers(1, 60), st.integers(0, 2**31 - 1))
def test_draw_has_the_stated_size_repeats_by_its_seed_and_holds_the_certain(
    sizes: list[float], n: int, seed: int
) -> None:
    inclusion = inclusions(sizes, n)
    drawn = draw(inclusion, seed)
    assert len(drawn) == len(set(drawn)) == min(n, len(sizes))
    assert drawn == draw(inclusion, seed)
    assert {place for place, p in enumerate(inclusion) if p == 1} <= set(drawn)


@pytest.mark.parametrize("sizes", [[1.0] * 12, [1, 1, 1, 2, 2, 3, 5, 8, 1, 1, 4, 9]])
def test_units_are_drawn_as_often_as_stated_and_totals_are_unbiased(sizes: list[float]) -> None:
    """4000 seeds: a frequency is then within 4 standard errors, 0.032, of its probability."""
    inclusion, values = inclusions(sizes, 4), [float(i % 3 == 0) for i in range(len(sizes))]
    samples = [draw(inclusion, seed) for seed in range(4000)]
    often = [fmean(unit in sample for sample in samples) for unit in range(len(sizes))]
    assert often == pytest.approx(inclusion, abs=0.032)
    totals = [horvitz_thompson([values[u] for u in s], [inclusion[u] for u in s]) for s in samples]
    spread = fmean((total - fmean(totals)) ** 2 for total in totals) ** 0.5
    assert fmean(totals) == pytest.approx(sum(values), abs=4 * spread / 4000**0.5)


def test_equal_sizes_make_every_pair_as_likely() -> None:
    samples = [tuple(draw(inclusions([1.0] * 5, 2), seed)) for seed in range(5000)]
    shares = {pair: samples.count(pair) / 5000 for pair in combinations(range(5), 2)}
    assert list(shares.values()) == pytest.approx([0.1] * 10, abs=0.017)


def test_interval_of_a_simple_sample_covers_whatever_the_truth_is() -> None:
    """All totals of a population of 40, and all that a sample of 12 may find, weighted by how likely it is."""
    from math import comb

    for total in range(41):
        covered = sum(
            comb(total, k) * comb(40 - total, 12 - k) / comb(40, 12)
            for k in range(max(0, 12 + total - 40), min(12, total) + 1)
            if simple_rate(k, 12, 40).low - 1e-9 <= total / 40 <= simple_rate(k, 12, 40).high + 1e-9
        )
        assert covered >= 0.95 - 1e-9


def test_whole_population_leaves_no_doubt() -> None:
    assert (simple_rate(3, 10, 10).low, simple_rate(3, 10, 10).high) == (0.3, 0.3)
    found = weighted_rate([True, False, False], [1.0, 1.0, 1.0], 3)
    assert (found.low, found.high) == pytest.approx((1 / 3, 1 / 3))


def test_rate_of_a_weighted_sample_covers_about_as_often_as_it_says() -> None:
    """Faults are commoner where the risk is: a rate of the sample itself would be far too high."""
    sizes = [1.0 + 4 * (i % 4 == 0) for i in range(400)]
    bad = [(i % 4 == 0 and i % 8 == 0) or i % 50 == 1 for i in range(400)]
    inclusion, truth = inclusions(sizes, 80), fmean(bad)
    found = []
    for seed in range(600):
        drawn = draw(inclusion, seed)
        found.append(weighted_rate([bad[u] for u in drawn], [inclusion[u] for u in drawn], 400))
    assert fmean(one.value for one in found) == pytest.approx(truth, abs=0.01)
    assert 0.91 <= fmean(one.low <= truth <= one.high for one in found) <= 0.995


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=30), st.data())
def test_interval_holds_its_rate_within_zero_and_one(inclusion: list[float], data: st.DataObject) -> None:
    bad = data.draw(st.lists(st.booleans(), min_size=len(inclusion), max_size=len(inclusion)))
    found = weighted_rate(bad, inclusion, 1000)
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1


def test_each_sign_of_risk_counts_and_none_is_needed() -> None:
    assert risk(Signs()) == 1
    for name, weight in WEIGHTS.items():
        assert risk(Signs(**{name: True})) == 1 + weight

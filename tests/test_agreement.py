"""Agreement of two readers: as scikit-learn has kappa, as worked by hand, and honest where there is nothing to tell."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from clinimm.agreement import agreement, shares
from clinimm.bootstrap import patient_bootstrap

WORDS = ("true", "false", "unclear", "none")
PAIRS = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS), st.integers(0, 9)), min_size=1, max_size=60)


def of(pairs: list[tuple[str, str, int]]) -> tuple[list[str], list[str], list[str]]:
    return [one for one, _, _ in pairs], [other for _, other, _ in pairs], [f"p{patient}" for *_, patient in pairs]


@settings(deadline=None, max_examples=60)
@given(PAIRS)
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str, int]]) -> None:
    first, second, patients = of(pairs)
    found = agreement(first, second, patients, categories=WORDS)
    if len({*first, *second}) == 1:
        assert found.kappa.value is None
        assert found.observed.value == 1
    else:
        assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(PAIRS, st.randoms(use_true_random=False))
def test_neither_order_nor_who_is_called_first_changes_the_agreement(
    pairs: list[tuple[str, str, int]], random: Random
) -> None:
    first, second, patients = of(pairs)
    found = agreement(first, second, patients, categories=WORDS)
    random.shuffle(pairs)
    shuffled = agreement(*of(pairs), categories=WORDS)
    assert (shuffled.observed, shuffled.kappa, shuffled.pabak) == (found.observed, found.kappa, found.pabak)
    turned = agreement(second, first, patients, categories=WORDS)
    assert turned.bias == pytest.approx(-found.bias)
    assert turned.kappa.value == pytest.approx(found.kappa.value)
    assert turned.observed.value == pytest.approx(found.observed.value)
    for one in (found.observed, found.kappa, found.pabak):
        assert one.low is None or -1 <= one.low <= one.high <= 1 + 1e-12


def test_table_of_byrt_bishop_and_carlin_is_as_worked_by_hand() -> None:
    """40 pairs of yes, 45 of no, 9 and 6 disputed."""
    cells = {("true", "true"): 40, ("true", "false"): 9, ("false", "true"): 6, ("false", "false"): 45}
    pairs = [(*cell, number) for cell, count in cells.items() for number in range(count)]
    found = agreement(*of(pairs), categories=("true", "false"))
    chance = 0.49 * 0.46 + 0.51 * 0.54
    assert found.observed.value == pytest.approx(0.85)
    assert found.kappa.value == pytest.approx((0.85 - chance) / (1 - chance))
    assert found.pabak.value == pytest.approx(0.7)
    assert found.prevalence == pytest.approx((40 - 45) / 100)
    assert found.bias == pytest.approx((9 - 6) / 100)


def test_few_patients_get_no_interval_however_many_answers() -> None:
    first = ["true", "false"] * 50
    few = agreement(first, first[::-1], ["p1", "p2", "p3", "p4"] * 25, categories=WORDS)
    assert (few.n, few.patients, few.kappa.value, few.kappa.low) == (100, 4, -1, None)
    many = agreement(first, first, [f"p{number}" for number in range(100)], categories=WORDS)
    assert (many.kappa.low, many.kappa.high) == (1, 1)


def test_answers_of_one_patient_are_no_more_than_one_draw() -> None:
    rng = np.random.default_rng(1)
    answers = [("true", rng.choice(["true", "false"])) for _ in range(30)]
    spread = [(*pair, number) for number, pair in enumerate(answers)]
    repeated = [(*pair, number) for number, pair in enumerate(answers) for _ in range(10)]
    alone, copied = (agreement(*of(pairs), categories=WORDS) for pairs in (spread, repeated))
    assert (copied.observed.low, copied.observed.high) == (alone.observed.low, alone.observed.high)


def test_share_counts_by_patient() -> None:
    few = shares(["x", "x", "y", "x"], ["a", "a", "b", "c"], categories=("x", "y", "z"))
    assert [(one.value, one.low) for one in few.values()] == [(0.75, None), (0.25, None), (0, None)]
    many = shares(["x"] * 9, [str(number) for number in range(9)], categories=("x", "y"))
    assert (many["x"].low, many["y"].high) == (1, 0)


def test_no_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="no answers"):
        agreement([], [], [], categories=WORDS)
    with pytest.raises(ValueError, match="no words"):
        shares([], [], categories=WORDS)


def test_interval_is_that_of_patients_drawn_by_name() -> None:
    """Against the bootstrap of evaluations, which draws each patient by name."""
    rng = np.random.default_rng(2)
    hits = rng.random(400) < 0.7
    patients = [f"p{number // 2}" for number in range(400)]
    named = patient_bootstrap(
        {"share": lambda weights: weights @ hits / weights.sum(axis=1)}, patients, resamples=4000, seed=1
    )["share"]
    found = shares(["x" if hit else "y" for hit in hits], patients, categories=("x", "y"))["x"]
    assert found.value == named.value
    assert (found.low, found.high) == pytest.approx((named.low, named.high), abs=0.006)

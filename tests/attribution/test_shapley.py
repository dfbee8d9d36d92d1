"""Shapley values against their definition: the average gain over every order in which the inputs can arrive."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.attribution.shapley import Subset, interaction_index, powerset, shapley_values

NAMES = ("cxr", "note", "labs", "ct")
SUBSETS = {size: powerset(NAMES[:size]) for size in range(1, 5)}
logits = st.floats(-20, 20)


@st.composite
def games(draw):
    size = draw(st.integers(1, 4))
    return NAMES[:size], {subset: draw(logits) for subset in SUBSETS[size]}


def by_definition(names, value):
    gains = dict.fromkeys(names, 0.0)
    orders = list(permutations(names))
    for order in orders:
        for i, name in enumerate(order):
            gains[name] += (value[Subset(order[: i + 1])] - value[Subset(order[:i])]) / len(orders)
    return gains


@given(games())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_values_are_the_mean_gain_over_all_orders_and_add_up(game):
    names, value = game
    found = shapley_values(names, value)
    assert found == pytest.approx(by_definition(names, value), abs=1e-9)
    assert sum(found.values()) == pytest.approx(value[Subset(names)] - value[Subset()], abs=1e-9)


@given(games())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_an_interaction_is_what_a_pair_gains_from_being_one_player(game):
    """phi of the merged pair, less the phi of each where the other is never there, is their interaction."""
    names, value = game
    for (i, j), found in interaction_index(names, value).items():
        merged = tuple(name for name in names if name not in (i, j))
        pair = {s if "pair" not in s else s - {"pair"} | {i, j}: s for s in powerset((*merged, "pair"))}
        together = shapley_values((*merged, "pair"), {mine: value[theirs] for theirs, mine in pair.items()})["pair"]
        alone = [shapley_values((*merged, k), value)[k] for k in (i, j)]
        assert found == pytest.approx(together - sum(alone), abs=1e-9)


def test_worked_by_hand():
    value = {Subset(): 0.0, Subset({"cxr"}): 1.0, Subset({"note"}): 2.0, Subset({"cxr", "note"}): 5.0}
    assert shapley_values(("cxr", "note"), value) == pytest.approx({"cxr": 2.0, "note": 3.0})
    assert interaction_index(("cxr", "note"), value) == pytest.approx({("cxr", "note"): 2.0})


def test_powerset_starts_with_nothing_and_ends_with_all():
    subsets = powerset(NAMES)
    assert len(subsets) == len(set(subsets)) == 16
    assert (subsets[0], subsets[-1]) == (Subset(), Subset(NAMES))

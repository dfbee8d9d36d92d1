"""The tests of an explanation: an exact map passes each, a wrong one fails, and what is absent is never asked about."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinimm.attribution.explain import explain
from clinimm.attribution.kept import Kept
from clinimm.attribution.trust.agreement import gate_distance, rank_distance
from clinimm.attribution.trust.curves import LEVELS, firsts, ranked
from clinimm.attribution.trust.limits import Limits
from clinimm.attribution.trust.repeats import randomized, repeatable, sensitivity
from clinimm.attribution.trust.tests import perturbed

TARGET, ORDERS = 1, 10
LIMITS = Limits(
    deletion=0.5, insertion=0.5, comprehensiveness=0.0, sufficiency=0.0, infidelity=0.5, methods=0.5, gate=0.5,
    sensitivity=0.2, randomized=0.5,
)  # fmt: skip
PARTS = torch.tensor([1.0, 1.0])


def explained(network, batch):
    return explain([(network, 1.0)], batch, TARGET, target_name="severe")


def verdicts(network, batch, attribution):
    kept = Kept([(network, PARTS)], batch)
    return {check.name: check for check in perturbed(kept, attribution, TARGET, LIMITS, orders=ORDERS, thorough=True)}


def test_an_exact_map_passes_every_test(linear_network, make_batch):
    found = verdicts(linear_network, make_batch(), explained(linear_network, make_batch()))
    assert {name.partition(": ")[2] for name in found} == {"cxr", "note", "labs"}
    assert all(check.passed for check in found.values()), found
    assert found["deletion: cxr"].value == found["insertion: cxr"].value == 0
    for name in ("cxr", "note", "labs"):
        assert found[f"infidelity: {name}"].value == pytest.approx(0, abs=1e-6)
        assert found[f"methods: {name}"].value == pytest.approx(0, abs=1e-9)


def test_a_map_turned_round_fails_every_test_of_order_and_zeros_foretell_nothing(linear_network, make_batch):
    right = explained(linear_network, make_batch())
    turned = replace(right, maps={name: -values for name, values in right.maps.items()})
    found = verdicts(linear_network, make_batch(), turned)
    assert {name for name, check in found.items() if check.passed} <= {f"infidelity: {m}" for m in right.maps}
    assert found["methods: cxr"].value == pytest.approx(2)
    assert found["deletion: cxr"].value == 1
    blank = replace(right, maps={name: 0 * values for name, values in right.maps.items()})
    assert verdicts(linear_network, make_batch(), blank)["infidelity: cxr"].value == 1


@pytest.mark.parametrize("absent", [("cxr",), ("note", "labs")])
def test_what_is_absent_is_not_tested_and_may_hold_anything(linear_network, make_batch, absent):
    batch = make_batch(*absent)
    found = verdicts(linear_network, batch, explained(linear_network, batch))
    assert found
    assert not any(name.partition(": ")[2] in absent for name in found)
    assert all(np.isfinite(check.value) for check in found.values())


def test_an_input_that_moves_nothing_is_not_tested(make_network, make_batch):
    network = make_network(lambda evidence, present: evidence[:, 0])
    found = verdicts(network, make_batch(), explained(network, make_batch()))
    assert {name.partition(": ")[2] for name in found} == {"cxr"}


def test_random_rows_are_asked_once_for_all_targets(linear_network, make_batch):
    batch = make_batch()
    kept, found = Kept([(linear_network, PARTS)], batch), explained(linear_network, batch)
    perturbed(kept, found, TARGET, LIMITS, orders=ORDERS)
    before = kept.passes
    perturbed(kept, found, 0, LIMITS, orders=ORDERS)
    assert kept.passes == before


def test_a_committee_is_asked_as_the_mean_of_its_members(linear_network, make_network, make_batch):
    squared = make_network(lambda evidence, present: evidence.sum(1).square())
    members = [(linear_network, 0.25 * PARTS), (squared, 0.75 * PARTS)]
    rows = np.random.default_rng(0).random((5, 64)) < 0.5
    alone = [Kept([(network, PARTS)], make_batch()).logits("cxr", rows) for network, _ in members]
    both = Kept(members, make_batch(), rows=2).logits("cxr", rows)
    assert both == pytest.approx(0.25 * alone[0] + 0.75 * alone[1], rel=1e-5)


def test_units_hold_what_a_map_gives_their_places_and_nothing_of_padding(linear_network, make_batch):
    units, maps = Kept([(linear_network, PARTS)], make_batch()).units, explained(linear_network, make_batch()).maps
    assert {name: one.count for name, one in units.items()} == {"cxr": 64, "note": 2, "labs": 2}
    for name, one in units.items():
        assert one.scores(maps[name]).sum() == pytest.approx(maps[name].sum(), rel=1e-5)
        assert one.scores(one.spread(one.scores(maps[name]))) == pytest.approx(one.scores(maps[name]), rel=1e-5)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_levels_take_the_highest_scores_first(scores):
    taken = firsts(ranked(np.array(scores)))
    assert taken.sum(1).tolist() == [int(np.ceil(level * len(scores))) for level in LEVELS]
    for row in taken:
        assert min(np.array(scores)[row]) >= max(np.array(scores)[~row], default=-9)


def test_gate_and_ranks_worked_by_hand():
    assert gate_distance({"cxr": 0.5, "note": 0.5}, {"cxr": -3.0, "note": 1.0}) == pytest.approx(0.25)
    assert gate_distance({"cxr": 1.0, "note": 0.0}, {"cxr": 0.0, "note": 2.0}) == 1
    assert gate_distance({"cxr": 1.0}, {"cxr": 0.0}) == 0
    assert rank_distance(np.array([1.0, 2, 3]), np.array([10.0, 20, 99])) == pytest.approx(0)
    assert rank_distance(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(2)
    assert rank_distance(np.array([1.0]), np.array([3.0])) == rank_distance(np.ones(3), np.arange(3.0)) == 0


def test_an_explanation_that_drifts_is_not_repeatable(linear_network, make_network, make_batch):
    first = explained(linear_network, make_batch())
    assert repeatable(lambda batch: explained(linear_network, batch), make_batch(), first).passed
    other = make_network(lambda evidence, present: 1.0001 * evidence.sum(1))
    assert not repeatable(lambda batch: explained(other, batch), make_batch(), first).passed


@pytest.mark.parametrize(("bends", "steady"), [(0.01, True), (300.0, False)])
def test_noise_that_nobody_sees_moves_the_map_of_a_net_that_bends(make_network, make_batch, bends, steady):
    network = make_network(lambda evidence, present: torch.sin(bends * evidence.sum(1)))
    batch = make_batch("note")
    units = list(Kept([(network, PARTS)], batch).units.values())
    [check] = sensitivity(
        lambda one: explained(network, one), batch, explained(network, batch), network.modalities, units, LIMITS,
        radius=0.02, noises=2, seed=0,
    )  # fmt: skip
    assert check.passed is steady
    assert check.value > 0


def test_words_alone_have_no_small_noise(linear_network, make_batch):
    batch = make_batch("cxr", "labs")
    first = explained(linear_network, batch)
    assert not sensitivity(lambda one: first, batch, first, linear_network.modalities, [], LIMITS, radius=0.02,
                           noises=2, seed=0)  # fmt: skip


def test_maps_that_any_weights_give_are_found(linear_network, make_batch):
    batch = make_batch()
    first = explained(linear_network, batch)
    opposite = replace(first, maps={name: -values for name, values in first.maps.items()})
    assert not randomized([lambda _: first, lambda _: first], batch, first, LIMITS).passed
    assert randomized([lambda _: first, lambda _: opposite], batch, first, LIMITS).value == pytest.approx(0, abs=1e-6)

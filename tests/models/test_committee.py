"""The learner on fixed features and the committee, which speak as a network does."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save
from small_models import MODALITIES, QUALITIES, VOCABULARY, random_batch, small_network

from clinimm.assembly import empty_head, head_record
from clinimm.attribution.committee import explain_committee, explain_together
from clinimm.attribution.explain import explain
from clinimm.attribution.methods import STRETCHES
from clinimm.attribution.trust.randomized import shuffled
from clinimm.batch import Batch
from clinimm.models.committee import Committee
from clinimm.models.features import fixed_encoders, joined
from clinimm.models.forest import Forest
from clinimm.models.learner import FeatureLearner
from clinimm.models.network import Network
from clinimm.training.learner import Recipe, fit_head, fit_nets, rows_of
from clinimm.training.readout import fit_readout

RECIPE = Recipe(nets=2, trees=5, epochs=3)


@pytest.fixture(scope="module")
def learner() -> FeatureLearner:
    vocabularies = {"note": (VOCABULARY.size, VOCABULARY.pad_id, VOCABULARY.special_ids)}
    made = FeatureLearner(MODALITIES, fixed_encoders(MODALITIES, vocabularies), torch.tensor([-0.4, 0.7]))
    batch = random_batch(60, seed=5)
    made.fit(batch)
    rows = rows_of(made, batch, RECIPE, seed=0)
    for fold in range(2):
        held = torch.arange(60) % 2 == fold
        known, unseen = rows.take((~held).nonzero()[:, 0]), rows.take(held.nonzero()[:, 0])
        nets = fit_nets(known, unseen, made.sizes, RECIPE, seed=fold)
        made.heads.append(fit_head(nets, known, (True, bool(fold)), RECIPE, seed=fold))
    return made.eval()


@pytest.fixture(scope="module")
def committee(learner: FeatureLearner) -> Committee:
    nets = [small_network(seed=seed).eval() for seed in (0, 1)]
    return Committee(nets, learner, torch.tensor([0.25, 1.0])).eval()


def test_shuffling_the_weights_reaches_what_a_forest_derives_from_them(learner: FeatureLearner) -> None:
    other = shuffled(learner, torch.Generator().manual_seed(0))
    x = torch.randn(5, 400, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(forests(learner), forests(other), strict=True):
        assert not torch.allclose(mine.probability(x), theirs.probability(x), atol=1e-3)
        fresh = Forest(mine.depths, len(mine.leaf), mine.trees, mine.blur)
        fresh.load_state_dict(theirs.state_dict())
        assert torch.equal(fresh.probability(x), theirs.probability(x))


def forests(learner: FeatureLearner) -> list[Forest]:
    return [one for one in learner.modules() if isinstance(one, Forest)]


def test_parts_of_an_answer_add_up_to_it(committee: Committee) -> None:
    batch = random_batch(6, seed=8)
    bare = [small_network(seed=seed).eval() for seed in (0, 1)]
    read = Committee([read_again(net) for net in bare], committee.learner, committee.share).eval()
    told = read.parts()
    # Narrow nets help the first target in both heads, and the second one in one of the two.
    assert told[0] == pytest.approx({"nets": 0.375, "readouts": 0.375, "trees": 1 / 6, "narrow nets": 1 / 12})
    assert told[1] == pytest.approx({"nets": 0.0, "readouts": 0.0, "trees": 5 / 6, "narrow nets": 1 / 6})
    assert committee.parts()[0] == pytest.approx({**told[0], "nets": 0.75, "readouts": 0.0})
    nets = {"nets": 1.0, "readouts": 0.0, "trees": 0.0, "narrow nets": 0.0}
    assert Committee(committee.networks, None).parts()[0] == nets
    alone = {
        "nets": Committee([small_network(seed=seed) for seed in (0, 1)], None),
        "readouts": Committee([read_again(small_network(seed=seed), 1.0) for seed in (0, 1)], None),
        "learner": Committee(bare, committee.learner, torch.ones(2)),
    }
    each = {name: answer(model.eval(), batch) for name, model in alone.items()}
    part = [{**one, "learner": one["trees"] + one["narrow nets"]} for one in told]
    wanted = torch.stack([sum(part[j][name] * each[name][:, j] for name in each) for j in range(2)], dim=1)
    torch.testing.assert_close(answer(read, batch), wanted, atol=1e-5, rtol=1e-5)


def test_a_target_that_narrow_nets_do_not_help_hears_nothing_of_them(learner: FeatureLearner) -> None:
    first, second = (copy.deepcopy(head) for head in learner.heads)
    x = torch.randn(5, sum(learner.sizes), generator=torch.Generator().manual_seed(2))
    before = [first(x), second(x)]
    for head in (first, second):
        for weight in head.nets.parameters():
            weight.data.mul_(3.0)
    after = [first(x), second(x)]
    assert torch.equal(before[0][:, 1], after[0][:, 1])
    for mine, theirs in ((before[0][:, 0], after[0][:, 0]), *zip(before[1].T, after[1].T, strict=True)):
        assert not torch.allclose(mine, theirs, atol=1e-3)


def test_a_head_answers_one_target_as_it_answers_all(learner: FeatureLearner) -> None:
    x = torch.randn(5, sum(learner.sizes), generator=torch.Generator().manual_seed(3))
    for head in learner.heads:
        for target in (0, 1):
            assert torch.equal(head.answering(target)(x)[:, target], head(x)[:, target])


@pytest.mark.parametrize("helped", [(True, True), (True, False), (False, False)])
def test_a_head_is_built_again_from_its_record(learner: FeatureLearner, helped: tuple[bool, bool]) -> None:
    batch = random_batch(40, seed=6)
    rows = rows_of(learner, batch, RECIPE, seed=1)
    nets = fit_nets(rows, rows, learner.sizes, RECIPE, seed=1) if any(helped) else None
    head = fit_head(nets, rows, helped, RECIPE, seed=1).eval()
    records = [json.loads(json.dumps(head_record(head)))]
    if all(helped):  # as it was written before there were trees alone
        records.append({"forests": records[0]["forests"], **records[0]["nets"]})
    for record in records:
        again = empty_head(record, learner.sizes, 2)
        again.load_state_dict(head.state_dict())
        assert torch.equal(again.eval()(rows.whole), head(rows.whole))


def read_again(network: Network, share: float = 0.5) -> Network:
    """The network with the readout of some cases."""
    network.readout = fit_readout(network, random_batch(40, seed=9), torch.full((2,), share))
    return network


def answer(model: Committee, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return model(batch).logits


def test_what_an_absent_input_holds_cannot_change_the_answer(committee: Committee) -> None:
    batch = random_batch(6, seed=1, present=torch.tensor([[True, False, True]] * 6))
    other = random_batch(6, seed=2, present=batch.present)
    parts = {**batch.modalities, "note": other.modalities["note"]}
    changed = Batch(batch.case_ids, parts, batch.targets, batch.target_mask)
    assert torch.equal(answer(committee, batch), answer(committee, changed))


def test_a_batch_of_eight_is_eight_batches_of_one(committee: Committee) -> None:
    batch = random_batch(8, seed=3)
    alone = torch.cat([answer(committee, batch.rows(torch.tensor([i]))) for i in range(8)])
    assert torch.allclose(answer(committee, batch), alone, atol=1e-4)


def test_a_case_with_nothing_gets_the_prior(committee: Committee) -> None:
    batch = random_batch(2, seed=4, present=torch.zeros(2, 3, dtype=torch.bool))
    assert torch.allclose(answer(committee, batch), torch.tensor([[-0.4, 0.7]]).expand(2, -1), atol=1e-6)


def test_the_answer_is_the_weighed_mean_of_the_members(committee: Committee) -> None:
    batch = random_batch(5, seed=6)
    with torch.no_grad():
        said = [(part, member.fuse(member.tokens(batch, batch.present), batch.present, batch.quality).logits)
                for member, part in committee.members()]  # fmt: skip
    assert torch.allclose(answer(committee, batch), sum(part * logits for part, logits in said), atol=1e-5)
    assert torch.allclose(sum(part for part, _ in said), torch.ones(2))


def louder(network: Network, factor: float) -> Network:
    """A net whose answers are so many times as far from the prior; where the factor is negative, on the other side."""
    other = copy.deepcopy(network)
    for opinion in other.opinions.values():
        opinion.weight.data.mul_(factor)
        opinion.bias.data.sub_(other.prior).mul_(factor).add_(other.prior)
    for weight in other.head.parameters():
        weight.data.mul_(factor)
    return other


def test_maps_of_members_that_pull_apart_add_up_to_what_is_left() -> None:
    batch = random_batch(1, seed=9, present=torch.ones(1, 3, dtype=torch.bool))

    def changed(network: Network) -> float:
        found = explain([(network, 1.0)], batch, 0, target_name="edema")
        return found.logit - found.baseline_logit

    first, second = louder(small_network(seed=0).eval(), 300), small_network(seed=2).eval()
    second = louder(second, -0.97 * changed(first) / changed(second))
    found = explain_committee(Committee([first, second], None).eval(), batch, 0, target_name="edema")
    assert abs(found.logit - found.baseline_logit) < 0.03 * abs(changed(first))
    assert all(check.passed for check in found.checks)


def doubting(committee: Committee, name: str) -> Committee:
    """The committee, its nets sure that one input is not what it should be."""
    other = copy.deepcopy(committee)
    place = [m.name for m in MODALITIES].index(name)
    for net in other.networks:
        net.fusion.doubt.judges[place].last.bias.data.fill_(-20.0)
    return other


def test_an_input_that_the_nets_doubt_moves_nothing(committee: Committee) -> None:
    batch = random_batch(6, seed=9, present=torch.ones(6, 3, dtype=torch.bool))
    without = random_batch(6, seed=9, present=torch.tensor([[False, True, True]] * 6))
    found = answer(doubting(committee, "cxr"), batch)
    assert torch.allclose(found, answer(committee, without), atol=1e-4)
    assert not torch.allclose(found, answer(committee, batch), atol=1e-2)


def test_a_doubted_input_is_given_no_part_in_the_explanation(committee: Committee) -> None:
    batch = random_batch(1, seed=9, present=torch.ones(1, 3, dtype=torch.bool))
    found = explain_committee(doubting(committee, "cxr"), batch, 1, target_name="edema")
    assert found.logit == pytest.approx(float(answer(doubting(committee, "cxr"), batch)[0, 1]), abs=1e-5)
    assert found.shapley["cxr"] == pytest.approx(0.0, abs=1e-6)
    assert all(check.passed for check in found.checks)
    assert not found.maps["cxr"].any()


def test_an_analyte_that_is_not_known_has_no_effect(learner: FeatureLearner) -> None:
    batch = random_batch(4, seed=8, present=torch.ones(4, 3, dtype=torch.bool))
    labs = batch.modalities["labs"]
    assert labs.mask is not None
    moved = torch.where(labs.mask, labs.values, labs.values + 100)
    tokens = learner.tokens(batch, batch.present)
    embedded = learner.embed(batch) | {"labs": moved}
    again = learner.encode(embedded, {name: part.mask for name, part in batch.modalities.items()}, batch.present)
    assert torch.equal(tokens["labs"].values, again["labs"].values)
    assert torch.equal(joined(tokens, batch.present)[1][:, -4:], labs.mask)


def test_its_explanation_adds_up_over_maps_and_over_inputs(committee: Committee) -> None:
    batch = random_batch(1, seed=9, present=torch.tensor([[True, True, False]]))
    for target in (0, 1):
        found = explain_committee(committee, batch, target, target_name="t")
        with torch.no_grad():
            assert found.logit == pytest.approx(float(committee(batch).logits[0, target]), abs=1e-4)
        assert found.trusted
        assert found.shapley["labs"] == 0.0
        assert not found.maps["labs"].any()
        assert sum(found.shapley.values()) == pytest.approx(found.logit - found.prior_logit, abs=1e-3)


def nothing_known_of_the_absent(batch: Batch) -> Batch:
    """Whatever stands where an input is absent must not reach those explained beside it."""
    parts = {
        name: replace(part, values=torch.where(part.present.view(-1, *[1] * (part.values.ndim - 1)), part.values, bad))
        for (name, part), bad in zip(batch.modalities.items(), (torch.nan, 0, torch.nan), strict=True)
    }
    return replace(batch, modalities=parts)


@pytest.mark.slow
def test_cases_and_targets_explained_together_are_explained_as_alone(committee: Committee) -> None:
    batch = nothing_known_of_the_absent(random_batch(5, seed=4))
    cases = [batch.rows(torch.tensor([i])) for i in range(5)]
    asked = [(one, target) for one in cases for target in (("edema", 0), ("effusion", 1))]
    together = explain_together(committee, asked)
    assert [(one.case_id, one.target) for one in together] == [(one.case_ids[0], name) for one, (name, _) in asked]
    for found, (one, (name, place)) in zip(together, asked, strict=True):
        alone = explain_committee(committee, one, place, target_name=name)
        assert found.forward_passes == alone.forward_passes
        assert found.logit == pytest.approx(alone.logit, abs=1e-5)
        assert found.shapley == pytest.approx(alone.shapley, abs=1e-5)
        for modality, values in alone.maps.items():
            assert found.maps[modality] == pytest.approx(values, abs=1e-5)
            assert found.maps[modality].any() == bool(one.modalities[modality].present[0])


def test_what_is_asked_of_one_net_together_is_asked_at_once(committee: Committee) -> None:
    runs: list[int] = []
    hook = committee.networks[0].encoders["labs"].register_forward_hook(lambda *_: runs.append(1))
    batch = random_batch(4, seed=9, present=torch.ones(4, 3, dtype=torch.bool))
    cases = [batch.rows(torch.tensor([i])) for i in range(4)]
    asked = [(one, ("edema", 0)) for one in cases]
    explain_together(committee, asked)
    together = len(runs)
    for one in asked:
        explain_together(committee, [one])
    hook.remove()
    assert together < len(runs) - together


def test_targets_of_a_case_share_the_rows_that_both_ask_for(committee: Committee) -> None:
    nets, rows = Committee(committee.networks, None).eval(), list[int]()
    encoder = nets.networks[0].encoders["cxr"]
    hook = encoder.register_forward_hook(lambda _, __, tokens: rows.append(len(tokens.mask)))
    one = random_batch(1, seed=9, present=torch.ones(1, 3, dtype=torch.bool))
    asked = [(one, ("edema", 0)), (one, ("effusion", 1))]
    explain_together(nets, asked)
    together = sum(rows)
    for each in asked:
        explain_together(nets, [each])
    hook.remove()
    assert together <= sum(rows) - together - (2 * STRETCHES + 1)


def test_its_state_goes_through_a_file_bit_for_bit(committee: Committee) -> None:
    state = {name: tensor.contiguous() for name, tensor in committee.state_dict().items()}
    again = load(save(state))
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    assert QUALITIES.keys() == {m.name for m in committee.modalities}

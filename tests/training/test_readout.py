"""Lines over what encoders give, fitted on cases that these had not learned from."""

from dataclasses import replace

import numpy as np
import torch
from small_models import random_batch, small_network
from torch import Tensor

from clinimm.assembly import with_empty_readout
from clinimm.batch import Batch
from clinimm.metrics import auroc
from clinimm.models.network import Network
from clinimm.scores import Scores
from clinimm.training.committee import Development, Held, best_share, mixed, with_readouts
from clinimm.training.readout import fit_readout, readout_said

TARGETS = ("a", "b")


def labeled(batch: Batch, yes: Tensor) -> Batch:
    targets = yes.float()[:, None].expand(-1, 2).clone()
    return replace(batch, targets=targets, target_mask=torch.ones_like(targets, dtype=torch.bool))


def told_by_labs(n: int, seed: int) -> Batch:
    """Cases all with labs, of which one value says the answer."""
    batch = random_batch(n, seed=seed)
    rows = batch.present[:, -1].nonzero()[:, 0]
    batch = batch.rows(rows)
    values = batch.modalities["labs"].values
    return labeled(batch, values[:, 0] > values[:, 0].median())


def patients(batch: Batch) -> tuple[str, ...]:
    return tuple(f"p{i}" for i in range(len(batch)))


def area(scores: Scores) -> float:
    return float(auroc(scores.targets[:, 0] > 0.5, scores.logits["labs"][:, 0]))


def test_it_reads_what_the_encoders_give_and_the_heads_have_not_learned() -> None:
    held, new = told_by_labs(200, 0), told_by_labs(200, 1)
    network = small_network().eval()
    told = readout_said(network, held, patients(held), TARGETS, seed=0)
    assert told is not None
    assert network.readout is None
    assert area(told) > 0.8
    network.readout = fit_readout(network, held)
    answers = network(new, new.present & torch.tensor([False, False, True])).logits[:, 0].detach().numpy()
    assert auroc(new.targets[:, 0].numpy() > 0.5, answers) > 0.8


def test_what_it_says_of_held_out_cases_it_has_not_learned_from_them() -> None:
    """Lines of as many columns as there are cases know any answer by heart."""
    batch = random_batch(60, seed=2)
    batch = labeled(batch, torch.rand(60, generator=torch.Generator().manual_seed(3)) > 0.5)
    network = small_network().eval()
    told = readout_said(network, batch, patients(batch), TARGETS, seed=0)
    assert told is not None
    network.readout = fit_readout(network, batch)
    whole = network(batch).logits[:, 0].detach().numpy()
    labels = batch.targets[:, 0].numpy() > 0.5
    assert auroc(labels, whole) - auroc(labels, told.logits["cxr+note+labs"][:, 0]) > 0.1


def test_cases_come_back_in_their_order_and_those_of_a_patient_are_asked_together() -> None:
    batch = told_by_labs(60, 4)
    pairs = tuple(f"p{i // 2}" for i in range(len(batch)))
    told = readout_said(small_network().eval(), batch, pairs, TARGETS, seed=1)
    assert told is not None
    assert told.case_ids == batch.case_ids
    assert told.patient_ids == pairs
    assert np.array_equal(told.present, batch.present.numpy())
    assert np.array_equal(told.targets, batch.targets.numpy())


def test_cases_of_one_patient_fit_no_line_that_could_be_judged() -> None:
    batch = told_by_labs(20, 5)
    assert readout_said(small_network().eval(), batch, ("p",) * len(batch), TARGETS, seed=0) is None


def test_an_input_whose_cases_are_of_one_class_says_nothing() -> None:
    batch = labeled(random_batch(12, seed=6), torch.ones(12, dtype=torch.bool))
    network = small_network().eval()
    network.readout = fit_readout(network, batch)
    assert torch.allclose(network(batch).logits, network.prior.expand(12, -1), atol=1e-6)


def test_an_absent_input_and_one_that_is_not_believed_have_no_part_in_it() -> None:
    held = told_by_labs(120, 7)
    network = small_network("gate").eval()
    network.readout = fit_readout(network, held)
    tokens, alone = network.tokens(held, held.present), torch.tensor([False, False, True])
    seen = held.present & alone
    told = network.fuse(tokens, seen, held.quality)
    assert told.trust is not None
    line = network.readout.lines.maps[2](tokens["labs"].values[:, 0]) - network.prior
    wanted = network.prior + told.trust[:, 2:] * line
    assert torch.allclose(told.logits, wanted, atol=1e-5)


def test_a_share_of_nothing_leaves_the_answer_as_it_was() -> None:
    held = told_by_labs(60, 8)
    network = small_network().eval()
    before = network(held).logits
    network.readout = fit_readout(network, held, torch.tensor([0.0, 1.0]))
    after = network(held).logits
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_nets_get_one_share_for_all_and_are_judged_by_lines_that_saw_no_label_of_a_case() -> None:
    batch = told_by_labs(160, 9)
    half = len(batch) // 2
    first, last = tuple(range(half)), tuple(range(half, len(batch)))
    development = Development(batch, patients(batch), TARGETS, (Held(last, first), Held(first, last)))
    nets = [small_network(seed=seed).eval() for seed in (0, 1)]
    prior = np.zeros((len(batch), 2))
    own = Scores(
        batch.case_ids, patients(batch), TARGETS, ("cxr", "note", "labs"), batch.targets.numpy().astype(float),
        batch.present.numpy(), {name: prior.copy() for name in logit_names()},
    )  # fmt: skip
    said = with_readouts(nets, own, development, seed=0)
    first_share, second_share = (net.readout.share.tolist() for net in nets if net.readout is not None)
    assert first_share == second_share
    assert first_share[0] > 0
    bare = [small_network(seed=seed).eval() for seed in (0, 1)]
    each = [
        readout_said(net, development.rows(part.held), development.patients_of(part.held), TARGETS, 0)
        for net, part in zip(bare, development.parts, strict=True)
    ]
    alone = Scores.concat([one for one in each if one is not None])
    wanted = mixed(own, alone, [best_share(own, alone, name) for name in TARGETS])
    assert all(np.array_equal(said.logits[name], wanted.logits[name]) for name in said.logits)


def logit_names() -> list[str]:
    return ["cxr", "note", "labs", "cxr+note", "cxr+labs", "note+labs", "cxr+note+labs"]


def test_a_model_recorded_before_there_were_readouts_has_none() -> None:
    network: Network = small_network()
    assert with_empty_readout(network, {"learner": {}}).readout is None
    assert with_empty_readout(network, {"learner": {}, "readout": True}).readout is not None

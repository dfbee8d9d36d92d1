"""All objectives over a whole batch: order does not matter, absent is absent, and next to nothing is still defined."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, softplus

from clinimm.errors import ConfigError
from clinimm.pretraining.contrastive import info_nce, semantic_matching, sigmoid_matching
from clinimm.pretraining.heads import PairHead, Reconstruction, hard_negatives
from clinimm.pretraining.joint import Joint
from clinimm.pretraining.objectives import OBJECTIVES, JointObjectives

WIDTH, FINDINGS = 6, 4
EVERY = dict.fromkeys(OBJECTIVES, 1.0)
PLAIN = {name: 1.0 for name in OBJECTIVES if name != "matching"}  # what draws nothing


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(weights: dict[str, float], **options: float) -> JointObjectives:
    torch.manual_seed(0)
    return JointObjectives(WIDTH, weights, **options)


def batch(rows: list[tuple[bool, bool, bool, int, int]], seed: int = 0) -> Joint:
    """A batch of random embeddings. Each row: has a picture, has a text, drawn apart, patient, the text's patient."""
    generator, n = seeded(seed), len(rows)
    has_image = torch.tensor([row[0] for row in rows], dtype=torch.bool)
    has_text = torch.tensor([row[1] for row in rows], dtype=torch.bool)
    apart = torch.tensor([row[2] for row in rows], dtype=torch.bool)
    patients = torch.tensor([row[3] for row in rows], dtype=torch.long)
    others = torch.tensor([row[4] for row in rows], dtype=torch.long)

    def embeddings() -> Float[Tensor, "b e"]:
        return normalize(torch.randn(n, WIDTH, generator=generator), dim=1)

    def labels() -> Float[Tensor, "b k"]:
        return torch.randint(-1, 2, (n, FINDINGS), generator=generator).float()

    return Joint(
        image=(embeddings() * has_image[:, None]).requires_grad_(),
        text=(embeddings() * has_text[:, None]).requires_grad_(),
        has_image=has_image,
        has_text=has_text,
        paired=has_image & has_text & ~apart,
        patients=patients,
        text_patients=torch.where(apart, others, patients),
        image_labels=labels(),
        image_known=torch.rand(n, generator=generator) < 0.8,
        text_labels=labels(),
        text_known=torch.rand(n, generator=generator) < 0.8,
    )


BOTH, PICTURE, WORDS = (True, True, False), (True, False, False), (False, True, False)
MIXED = [
    (*BOTH, 0, 0), (*BOTH, 1, 1), (*PICTURE, 2, 2), (*WORDS, 3, 3), (True, True, True, 4, 1), (*BOTH, 0, 0),
    (*BOTH, 5, 5), (False, False, False, 6, 6),
]  # fmt: skip
ROWS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 4), st.integers(0, 4)), max_size=7
)


def test_strangers_are_there_and_of_another_patient() -> None:
    joint = batch(MIXED)
    for i, picture in enumerate(MIXED):
        for j, words in enumerate(MIXED):
            writer = words[4] if words[2] else words[3]
            assert joint.strangers[i, j] == (picture[0] and words[1] and picture[3] != writer)
    assert joint.matches.diagonal().tolist() == [True, True, False, False, False, True, True, False]
    assert joint.matches.sum() == 4


def test_each_loss_is_the_pure_function_of_the_scaled_cosines() -> None:
    joint = batch(MIXED)
    objectives = built({**PLAIN, "semantic": 0.5}, temperature=0.1, target_temperature=0.3)
    answer = objectives(joint, seeded())
    logits = 10 * joint.image @ joint.text.T
    counted = joint.strangers | joint.matches
    soft, divergence = semantic_matching(
        logits, joint.image_labels, joint.text_labels, joint.image_known & joint.has_image,
        joint.text_known & joint.has_text, target_temperature=0.3,
    )  # fmt: skip
    expected = {
        "info_nce": info_nce(logits, joint.paired, ~counted),
        "semantic": soft,
        "sigmoid": sigmoid_matching(logits - 10, joint.matches, counted),
        "semantic_kl": divergence,
        "scale": torch.tensor(10.0),
    }
    for name, value in expected.items():
        torch.testing.assert_close(answer[name], value)
    parts = answer["info_nce"] + 0.5 * answer["semantic"] + answer["sigmoid"] + answer["reconstruction"]
    torch.testing.assert_close(answer["total"], parts)
    assert set(answer) == {*PLAIN, "total", "semantic_kl", "scale"}
    assert not answer["semantic_kl"].requires_grad
    assert not answer["scale"].requires_grad


@settings(derandomize=True, max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(
    rows: list[tuple[bool, bool, bool, int, int]], shuffler: random.Random, seed: int
) -> None:
    joint, objectives = batch(rows, seed), built(PLAIN)
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    straight = objectives(joint, seeded())
    shuffled = objectives(joint.rows(torch.tensor(order, dtype=torch.long)), seeded())
    for name, value in straight.items():
        torch.testing.assert_close(shuffled[name], value, atol=2e-6, rtol=2e-6)
    for field in (joint.image, joint.text):
        (one,) = torch.autograd.grad(straight["total"], field, retain_graph=True)
        (other,) = torch.autograd.grad(shuffled["total"], field, retain_graph=True)
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 99))
def test_the_absent_get_a_gradient_of_exactly_zero_whatever_the_batch(
    rows: list[tuple[bool, bool, bool, int, int]], seed: int
) -> None:
    joint, objectives = batch(rows, seed), built(EVERY)
    answer = objectives(joint, seeded())
    assert all(torch.isfinite(value) for value in answer.values())
    answer["total"].backward()
    assert all(torch.isfinite(p.grad).all() for p in objectives.parameters())
    for field, there in ((joint.image, joint.has_image), (joint.text, joint.has_text)):
        assert torch.isfinite(field.grad).all()
        assert not field.grad[~there].any()


@pytest.mark.parametrize("filler", [3.0, math.inf, math.nan])
def test_what_an_absent_embedding_holds_changes_no_bit(filler: float) -> None:
    clean, objectives = batch(MIXED), built(EVERY)
    dirty = clean._replace(
        image=clean.image.detach().masked_fill(~clean.has_image[:, None], filler).requires_grad_(),
        text=clean.text.detach().masked_fill(~clean.has_text[:, None], filler).requires_grad_(),
    )
    answers = [objectives(joint, seeded()) for joint in (clean, dirty)]
    for name, value in answers[0].items():
        assert torch.equal(answers[1][name], value), name
    for answer in answers:
        answer["total"].backward()
    assert torch.equal(clean.image.grad, dirty.image.grad)
    assert torch.equal(clean.text.grad, dirty.text.grad)


def test_every_present_embedding_and_every_parameter_learns() -> None:
    joint, objectives = batch([(*BOTH, i, i) for i in range(8)]), built(EVERY)
    objectives(joint, seeded())["total"].backward()
    assert all(p.grad is not None and p.grad.any() for p in objectives.parameters())
    assert joint.image.grad.any(1).all()
    assert joint.text.grad.any(1).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_with_one_pair_is_defined(name: str) -> None:
    joint, objectives = batch([(*BOTH, 0, 0)]), built({name: 1.0})
    total = objectives(joint, seeded())["total"]
    total.backward()
    assert torch.isfinite(total)
    if name in ("info_nce", "semantic"):  # there is nothing to choose from
        assert total.item() == 0
        assert not joint.image.grad.any()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_objective_alone_brings_pairs_together(name: str) -> None:
    """After some descent from random embeddings each picture's own text is the one that is found, judged or told."""
    joint = batch([(*BOTH, i, i) for i in range(8)])
    joint = joint._replace(
        image_labels=torch.eye(8), text_labels=torch.eye(8), image_known=joint.paired, text_known=joint.paired
    )
    torch.manual_seed(1)
    objectives = JointObjectives(WIDTH, {name: 1.0}, temperature=1.0, target_temperature=0.2)
    generator = seeded()
    adam = torch.optim.Adam([joint.image, joint.text, *objectives.parameters()], lr=0.03)
    for _ in range(150):
        unit = joint._replace(image=normalize(joint.image, dim=1), text=normalize(joint.text, dim=1))
        loss = objectives(unit, generator)["total"]
        adam.zero_grad()
        loss.backward()
        adam.step()
        objectives.clamp()
    image, text = normalize(joint.image, dim=1), normalize(joint.text, dim=1)
    if name == "matching":
        told = torch.stack([objectives.pair_head(image, text.roll(shift, 0)) for shift in range(8)])
        assert told[0].min() > told[1:].max()
    elif name == "reconstruction":
        told = objectives.reconstruction.text_of(image) @ text.T
        assert torch.equal(told.argmax(1), torch.arange(8))
        told = objectives.reconstruction.image_of(text) @ image.T
        assert torch.equal(told.argmax(1), torch.arange(8))
    else:
        assert torch.equal((image @ text.T).argmax(1), torch.arange(8))


def test_bfloat16_inside_autocast_is_computed_in_float32() -> None:
    joint, objectives = batch(MIXED), built(EVERY)
    half = joint._replace(image=joint.image.bfloat16(), text=joint.text.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        inside = objectives(half, seeded())
    outside = objectives(half._replace(image=half.image.float(), text=half.text.float()), seeded())
    for name, value in outside.items():
        assert inside[name].dtype == torch.float32
        assert torch.equal(inside[name], value)


def test_equal_seeds_draw_equal_negatives() -> None:
    joint, objectives = batch(MIXED), built(EVERY)
    draws = [objectives(joint, seeded(seed))["matching"].item() for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len(set(draws)) > 1


def test_hard_negatives_come_from_the_softmax_of_the_candidates() -> None:
    logits = torch.tensor([[5.0, 0.0, 1.0, 7.0, 2.0, 9.0]]).expand(6, 6)
    candidates = torch.tensor([[False, True, True, False, True, False]]).expand(6, 6)
    generator = seeded()
    draws = [hard_negatives(logits, candidates, generator) for _ in range(3000)]
    columns, found = torch.cat([draw[0] for draw in draws]), torch.cat([draw[1] for draw in draws])
    shares = torch.bincount(columns, minlength=6) / len(columns)
    torch.testing.assert_close(shares[[1, 2, 4]], torch.tensor([0.0, 1.0, 2.0]).softmax(0), atol=0.01, rtol=0)
    assert not shares[[0, 3, 5]].any()
    assert found.all()


def test_a_row_without_candidates_finds_none() -> None:
    candidates = torch.tensor([[False, True], [False, False]])
    column, found = hard_negatives(torch.randn(2, 2), candidates, seeded())
    assert found.tolist() == [True, False]
    assert column[0] == 1


def test_a_pair_without_a_stranger_is_judged_alone() -> None:
    joint, head = batch([(*BOTH, 0, 0), (*BOTH, 0, 0)]), PairHead(WIDTH)
    alone = softplus(-head(joint.image, joint.text)).mean()
    torch.testing.assert_close(head.loss(joint, joint.image @ joint.text.T, seeded()), alone)


def test_matching_judges_each_pair_and_its_two_hardest_strangers() -> None:
    """Each picture is by far most like the next row's text, so nothing is left to chance."""
    joint, head = batch([(*BOTH, i, i) for i in range(3)]), PairHead(WIDTH)
    alike = 100 * torch.eye(3).roll(1, dims=1)
    hard = head(joint.image, joint.text.roll(-1, 0))
    pieces = [*softplus(-head(joint.image, joint.text)), *softplus(hard), *softplus(hard)]
    torch.testing.assert_close(head.loss(joint, alike, seeded()), sum(pieces) / 9)


def test_a_text_draws_among_the_pictures_that_are_strangers_to_it() -> None:
    """Row 2 has a picture and no text: pictures can be confused with it, and texts cannot."""
    joint, head = batch([(*BOTH, 0, 0), (*BOTH, 0, 0), (*PICTURE, 1, 1)]), PairHead(WIDTH)
    true, wrong = head(joint.image, joint.text), head(joint.image[[2, 2]], joint.text[:2])
    pieces = [*softplus(-true[:2]), *softplus(wrong)]
    torch.testing.assert_close(head.loss(joint, torch.zeros(3, 3), seeded()), sum(pieces) / 4)


def test_reconstruction_is_one_less_the_cosine() -> None:
    joint, head = batch(MIXED), Reconstruction(WIDTH)
    pairs = joint.paired.nonzero().flatten()
    told = (head.text_of(joint.image) * joint.text).sum(1) + (head.image_of(joint.text) * joint.image).sum(1)
    torch.testing.assert_close(head.loss(joint), (1 - told[pairs] / 2).mean())
    torch.testing.assert_close(head.image_of(joint.text).norm(dim=1), torch.ones(len(MIXED)))


def test_what_is_to_be_told_gets_no_gradient_from_it() -> None:
    joint, head = batch(MIXED), Reconstruction(WIDTH)
    for layers in (head.to_text, head.to_image):
        torch.nn.init.zeros_(layers[0].weight)  # what is told depends on nothing, so only as targets could they learn
    head.loss(joint).backward()
    assert not joint.image.grad.any()
    assert not joint.text.grad.any()


def test_only_what_is_on_is_made() -> None:
    assert [name for name, _ in built({"info_nce": 1.0, "matching": 0.0}).named_parameters()] == ["logit_scale"]
    assert "logit_bias" in dict(built({"sigmoid": 1.0}).named_parameters())
    lone = built({"reconstruction": 1.0})
    assert not lone.logit_scale.requires_grad
    assert {name.partition(".")[0] for name, p in lone.named_parameters() if p.requires_grad} == {"reconstruction"}


def test_with_nothing_on_the_total_is_zero() -> None:
    assert built({})(batch(MIXED), seeded())["total"].item() == 0


def test_the_temperature_starts_where_it_is_told_and_stays_in_bounds() -> None:
    objectives = built({"info_nce": 1.0})
    assert objectives.logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    objectives.logit_scale.data.fill_(9.0)
    objectives.clamp()
    assert objectives.logit_scale.exp().item() == pytest.approx(100, rel=1e-4)


def test_every_fault_in_the_weights_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        built({"infonce": 1.0, "semantic": -1.0, "sigmoid": math.nan, "matching": 1.0})
    named = ("'infonce'", "semantic = -1.0", "sigmoid = nan", "reconstruction")
    assert all(word in str(caught.value) for word in named)
    assert "matching =" not in str(caught.value)
    with pytest.raises(ConfigError, match="cosine"):
        JointObjectives(WIDTH, {"semantic": 1.0}, similarity="cosinus")


def test_a_batch_moves_whole() -> None:
    assert all(field.device.type == "meta" for field in batch(MIXED).to("meta"))

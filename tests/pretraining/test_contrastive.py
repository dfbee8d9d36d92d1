"""Losses on similarities: as the originals have them, by hand, and defined where a batch holds next to nothing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from clinimm.errors import ConfigError
from clinimm.pretraining.contrastive import clamp_log_scale, info_nce, semantic_matching, sigmoid_matching

# Labels (14 findings) and logits that the original MedCLIP (commit 9c3396f) was given and made, and what it answered.
IMAGE_LABELS = [
    "+.++...++....+",
    "..+..++.+-...+",
    "..............",
    ".-+.....+.++.+",
    "...-.+.+.++...",
    "..+.+++....+-+",
]
TEXT_LABELS = [
    "+..+.....++.+.",
    "............++",
    ".-++.+++.....+",
    "++....+..---.-",
    "+.............",
    ".++.-....+..+.",
]
LOGITS = [
    [-0.06344002, 0.02861232, 0.01968741, 0.14143671, -0.03112837, -0.01271890],
    [-0.09299563, 0.00526246, -0.00538175, 0.08609739, -0.05937503, -0.04489677],
    [-0.16400360, -0.06800118, -0.07289766, -0.01517617, -0.11878655, -0.08778494],
    [-0.08019149, -0.00558321, -0.00937355, 0.00405751, -0.04729699, -0.00987938],
    [-0.22632310, -0.11364906, -0.13266653, 0.05172651, -0.18504283, -0.19648539],
    [-0.15861106, -0.06948128, -0.07466774, -0.01699021, -0.12647219, -0.08815997],
]
CLIP_LOSS, CLIP_SCALE_GRADIENT = 1.8034382, 0.013348024
SOFT_LOSS, SOFT_SCALE_GRADIENT = 1.7857844734675017, -0.0043055974
# Its losses on other logits, from similarities given as they are.
WIDE_LOGITS = [
    [2.47071418, -2.22638281, -1.78328253, -1.19558097, 0.74743732, 1.14821576],
    [3.02521929, -2.28193497, -3.51942144, 0.67618315, 2.20824888, 2.32037217],
    [-2.23844651, 5.74473896, 2.53633309, 4.20822172, 1.66002255, 0.02768672],
    [2.28945129, 2.44986861, -2.78246152, -4.56475471, 2.42199999, 3.72324618],
    [-4.19263862, 2.24492372, -1.26608035, 3.41412366, -0.61668892, -0.35028567],
    [0.75307371, 0.93014942, -0.64007487, 2.81678420, -4.82753752, 4.06678967],
]
ALIKE = [
    [2, 1, 4, 0, 1, 1],
    [-1, 1, 4, 1, 0, 0],
    [0] * 6,
    [1, 1, 3, -4, 0, 0],
    [1, 0, 1, -2, 0, 1],
    [-1, 0, 4, -1, 0, -1],
]
WIDE_SOFT_LOSS, WIDE_CLIP_LOSS = 4.4847401149437305, 3.9057126685523356
ALL = torch.ones(6, dtype=torch.bool)
NONE = torch.zeros(6, 6, dtype=torch.bool)


def findings(rows: list[str]) -> Float[Tensor, "b k"]:
    return torch.tensor([["-.+".index(sign) - 1.0 for sign in row] for row in rows])


def random_logits(n: int, seed: int = 0) -> Float[Tensor, "b b"]:
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def scale_gradient(loss: Tensor, logits: Tensor) -> float:
    """d loss / d log scale: logits are proportional to the scale."""
    (gradient,) = torch.autograd.grad(loss, logits)
    return (gradient * logits).sum().item()


def log_softmax(values: np.ndarray, axis: int) -> np.ndarray:
    shifted = values - values.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def original_soft_loss(logits: np.ndarray, alike: np.ndarray) -> float:
    """MedCLIP's soft_clip_loss, in numpy and double precision."""
    halves = [-(np.exp(log_softmax(alike, a)) * log_softmax(logits, a)).sum(a).mean() for a in (1, 0)]
    return float(np.mean(halves))


def test_info_nce_is_the_originals_loss_and_gradient() -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = info_nce(logits, ALL, NONE)
    assert loss.item() == pytest.approx(CLIP_LOSS, abs=1e-5)
    assert scale_gradient(loss, logits) == pytest.approx(CLIP_SCALE_GRADIENT, abs=1e-5)
    assert info_nce(torch.tensor(WIDE_LOGITS), ALL, NONE).item() == pytest.approx(WIDE_CLIP_LOSS, abs=1e-5)


def test_info_nce_is_cross_entropy_among_what_is_not_excluded() -> None:
    logits = random_logits(4)
    paired = torch.tensor([True, True, True, False])
    excluded = torch.zeros(4, 4, dtype=torch.bool)
    excluded[0, 1] = excluded[1, 0] = True  # two studies of one patient
    excluded[:, 3] = True  # the fourth row has a picture and no text
    texts = [[0, 2], [1, 2], [0, 1, 2]]
    pictures = [[0, 2, 3], [1, 2, 3], [0, 1, 2, 3]]
    by_hand = [
        cross_entropy(logits[row, columns], torch.tensor(columns.index(row))) for row, columns in enumerate(texts)
    ] + [cross_entropy(logits[rows, column], torch.tensor(rows.index(column))) for column, rows in enumerate(pictures)]
    assert info_nce(logits, paired, excluded).item() == pytest.approx(torch.stack(by_hand).mean().item(), rel=1e-6)


def test_the_diagonal_is_never_excluded() -> None:
    logits, paired = random_logits(6), ALL
    assert info_nce(logits, paired, ~NONE).item() == 0
    assert info_nce(logits, paired, torch.eye(6, dtype=torch.bool)).item() == info_nce(logits, paired, NONE).item()


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("pairs", [0, 1])
def test_a_batch_without_a_choice_costs_nothing(n: int, pairs: int) -> None:
    logits = random_logits(n)
    paired = torch.arange(n) < pairs
    loss = info_nce(logits, paired, torch.ones(n, n, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_semantic_matching_is_the_originals_loss_and_gradient() -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    images, texts = findings(IMAGE_LABELS), findings(TEXT_LABELS)
    loss, _ = semantic_matching(logits, images, texts, ALL, ALL)
    assert loss.item() == pytest.approx(SOFT_LOSS, abs=1e-5)
    assert scale_gradient(loss, logits) == pytest.approx(SOFT_SCALE_GRADIENT, abs=1e-5)
    assert original_soft_loss(np.array(LOGITS), (images @ texts.T).numpy()) == pytest.approx(SOFT_LOSS, abs=1e-6)


def test_semantic_matching_is_the_originals_loss_on_wide_logits() -> None:
    loss, _ = semantic_matching(torch.tensor(WIDE_LOGITS), torch.tensor(ALIKE).float(), torch.eye(6), ALL, ALL)
    assert loss.item() == pytest.approx(WIDE_SOFT_LOSS, abs=1e-5)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_similarity_and_temperature_make_the_targets(similarity: str, temperature: float) -> None:
    images, texts = findings(IMAGE_LABELS), findings(TEXT_LABELS)
    logits = random_logits(6)
    loss, divergence = semantic_matching(
        logits, images, texts, ALL, ALL, similarity=similarity, target_temperature=temperature
    )
    alike = (images @ texts.T).double().numpy()
    if similarity == "cosine":
        lengths = np.sqrt(images.abs().sum(1).numpy()[:, None] * texts.abs().sum(1).numpy()[None])
        alike = np.divide(alike, lengths, out=np.zeros_like(alike), where=lengths > 0)
    assert loss.item() == pytest.approx(original_soft_loss(logits.detach().numpy(), alike / temperature), rel=1e-5)
    targets = torch.tensor(alike / temperature)
    by_torch = [
        kl_div(logits.log_softmax(d), targets.log_softmax(d), reduction="sum", log_target=True) / 6 for d in (0, 1)
    ]
    assert divergence.item() == pytest.approx(sum(by_torch).item() / 2, rel=1e-4)


def test_logits_that_are_the_targets_leave_nothing_to_learn() -> None:
    images, texts = findings(IMAGE_LABELS), findings(TEXT_LABELS)
    logits = (images @ texts.T).requires_grad_()
    loss, divergence = semantic_matching(logits, images, texts, ALL, ALL)
    loss.backward()
    assert loss.item() > 0.5
    assert divergence.item() == pytest.approx(0, abs=1e-6)
    assert float(logits.grad.abs().max()) < 1e-6


def test_unknown_labels_are_as_if_their_rows_and_columns_were_not_there() -> None:
    images, texts = findings(IMAGE_LABELS), findings(TEXT_LABELS)
    image_known = torch.tensor([True, True, False, True, True, False])
    text_known = torch.tensor([False, True, True, True, False, True])
    logits = random_logits(6)
    small = logits.detach()[image_known][:, text_known]
    expected = original_soft_loss(small.numpy(), (images[image_known] @ texts[text_known].T).numpy())
    images[~image_known], texts[~text_known] = torch.nan, torch.nan  # what is not known may hold anything
    for similarity in ("dot", "cosine"):
        loss, divergence = semantic_matching(logits, images, texts, image_known, text_known, similarity=similarity)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(divergence)
        assert gradient[image_known][:, text_known].all()
        assert not gradient[~image_known].any()
        assert not gradient[:, ~text_known].any()
        if similarity == "dot":
            assert loss.item() == pytest.approx(expected, rel=1e-5)


LABELS = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=3, max_size=3)
ROWS = st.lists(st.tuples(LABELS, LABELS, st.booleans(), st.booleans()), min_size=0, max_size=5)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(ROWS, st.sampled_from(["dot", "cosine"]), st.sampled_from([0.05, 1.0]))
def test_semantic_matching_is_defined_for_any_labels(
    rows: list[tuple[list[float], list[float], bool, bool]], similarity: str, temperature: float
) -> None:
    """All alike, all empty, one row, none known: finite, and never below what the targets themselves cost."""
    images = torch.tensor([row[0] for row in rows]).view(-1, 3)
    texts = torch.tensor([row[1] for row in rows]).view(-1, 3)
    image_known = torch.tensor([row[2] for row in rows], dtype=torch.bool)
    text_known = torch.tensor([row[3] for row in rows], dtype=torch.bool)
    logits = random_logits(len(rows))
    loss, divergence = semantic_matching(
        logits, images, texts, image_known, text_known, similarity=similarity, target_temperature=temperature
    )
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert -1e-5 <= divergence.item() <= loss.item() + 1e-5
    if image_known.sum() <= 1 and text_known.sum() <= 1:
        assert loss.item() == 0
        assert not logits.grad.any()


def test_equal_labels_ask_for_equal_similarities() -> None:
    labels = findings(["+.-"] * 6)
    loss, divergence = semantic_matching(torch.zeros(6, 6), labels, labels, ALL, ALL)
    assert loss.item() == pytest.approx(math.log(6))
    assert divergence.item() == pytest.approx(0, abs=1e-6)


def test_a_similarity_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="cosine"):
        semantic_matching(torch.zeros(6, 6), torch.zeros(6, 2), torch.zeros(6, 2), ALL, ALL, similarity="cosin")


def test_sigmoid_matching_is_siglips_pseudo_code() -> None:
    logits = random_logits(6)
    signs = 2 * torch.eye(6) - 1
    by_hand = -torch.log(1 / (1 + torch.exp(-signs * logits))).sum() / 6
    loss = sigmoid_matching(logits, torch.eye(6, dtype=torch.bool), ~NONE)
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_sigmoid_matching_leaves_out_what_is_not_usable() -> None:
    logits = random_logits(3)
    usable = torch.tensor([[True, False, True], [False, True, True], [False, False, False]])
    loss = sigmoid_matching(logits, torch.eye(3, dtype=torch.bool), usable)
    signed = [-logits[0, 0], logits[0, 2], -logits[1, 1], logits[1, 2]]
    assert loss.item() == pytest.approx(sum(math.log1p(math.exp(z.item())) for z in signed) / 2, rel=1e-5)
    loss.backward()
    assert not logits.grad[~usable].any()


@pytest.mark.parametrize("n", [0, 1, 3])
def test_sigmoid_matching_of_nothing_is_nothing(n: int) -> None:
    logits = random_logits(n)
    loss = sigmoid_matching(logits, torch.eye(n, dtype=torch.bool), torch.zeros(n, n, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_sigmoid_matching_stays_finite_far_out() -> None:
    loss = sigmoid_matching(torch.full((2, 2), 1e4), torch.eye(2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool))
    assert loss.item() == 1e4


@pytest.mark.parametrize(("before", "after"), [(7.0, 4.6052), (-2.0, 0.0), (2.65926, 2.65926)])
def test_the_log_scale_is_clamped_in_place_as_the_original_does(before: float, after: float) -> None:
    log_scale = nn.Parameter(torch.tensor(before))
    clamp_log_scale(log_scale)
    assert log_scale.item() == torch.tensor(after).item()
    assert log_scale.requires_grad

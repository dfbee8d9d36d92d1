"""Hidden words and hidden pixels: what is hidden, how often, and what telling it costs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from clinimm.pretraining.masked import MaskedPatches, MaskedWords, mask_patches, mask_words

PAD, CLS, SEP, MASK = 0, 1, 2, 3
SPECIAL = (PAD, CLS, SEP, MASK)
VOCABULARY = 50


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texts(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts of so many words, each between its special pieces, padded to the longest."""
    ids = torch.full((len(lengths), max(lengths) + 2), PAD)
    for row, length in zip(ids, lengths, strict=True):
        row[0], row[length + 1] = CLS, SEP
        row[1 : length + 1] = torch.randint(4, VOCABULARY, (length,), generator=seeded(length))
    return ids, ids != PAD


@settings(derandomize=True, max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.floats(0, 1), st.integers(0, 99))
def test_only_words_are_chosen_and_one_of_each_text_that_has_any(lengths: list[int], p: float, seed: int) -> None:
    ids, mask = texts(lengths)
    before = ids.clone()
    corrupted, chosen = mask_words(ids, mask, SPECIAL, MASK, VOCABULARY, seeded(seed), p)
    assert torch.equal(ids, before)
    assert torch.equal(corrupted[~chosen], ids[~chosen])
    assert not (chosen & (~mask | (ids <= MASK))).any()
    assert chosen.any(1).tolist() == [length > 0 for length in lengths]


def test_a_certain_choice_takes_every_word() -> None:
    ids, mask = texts([3, 0, 7])
    _, chosen = mask_words(ids, mask, SPECIAL, MASK, VOCABULARY, seeded(), 1.0)
    assert torch.equal(chosen, mask & (ids > MASK))


def test_words_are_chosen_and_corrupted_as_often_as_bert_does() -> None:
    ids, mask = texts([400] * 100)
    corrupted, chosen = mask_words(ids, mask, SPECIAL, MASK, VOCABULARY, seeded())
    assert chosen[:, 1:-1].float().mean().item() == pytest.approx(0.15, abs=0.005)
    hidden = corrupted[chosen] == MASK
    kept = corrupted[chosen] == ids[chosen]
    assert hidden.float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert kept.float().mean().item() == pytest.approx(0.1 + 0.1 / 46, abs=0.015)  # of 46 words one is the same
    drawn = corrupted[chosen][~hidden & ~kept]
    assert set(drawn.tolist()) == set(range(4, VOCABULARY))


def test_equal_seeds_mask_alike() -> None:
    ids, mask = texts([30, 12])
    one, two, other = (mask_words(ids, mask, SPECIAL, MASK, VOCABULARY, seeded(seed))[0] for seed in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_cost_of_words_is_the_cross_entropy_where_they_were_chosen() -> None:
    torch.manual_seed(0)
    head = MaskedWords(features=5, word_width=6, vocabulary=VOCABULARY)
    ids, mask = texts([4, 9, 0])
    _, chosen = mask_words(ids, mask, SPECIAL, MASK, VOCABULARY, seeded(), 0.4)
    hidden = torch.randn(*ids.shape, 5, requires_grad=True)
    vectors = torch.randn(VOCABULARY, 6, requires_grad=True)
    loss, count = head(hidden, vectors, ids, chosen)
    logits = head.transform(hidden) @ vectors.T + head.bias
    by_hand = [cross_entropy(logits[i, j], ids[i, j]) for i, j in chosen.nonzero().tolist()]
    assert count.item() == len(by_hand) == chosen.sum()
    torch.testing.assert_close(loss, torch.stack(by_hand).sum())
    loss.backward()
    assert hidden.grad[chosen].any(1).all()
    assert not hidden.grad[~chosen].any()
    assert vectors.grad.any(1).all()
    assert all(p.grad.any() for p in head.parameters())


def test_sums_over_parts_of_a_batch_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    words, patches = MaskedWords(5, 6, VOCABULARY), MaskedPatches(5, (2, 2), (8, 8))
    hidden, vectors, pixels = torch.randn(6, 4, 5), torch.randn(VOCABULARY, 6), torch.randn(6, 1, 8, 8)
    ids, chosen = torch.randint(4, VOCABULARY, (6, 4)), torch.rand(6, 4) < 0.5
    masked = mask_patches((6, 1, 8, 8), 4, seeded())
    for whole, parts in (
        (words(hidden, vectors, ids, chosen), [words(hidden[s], vectors, ids[s], chosen[s]) for s in HALVES]),
        (patches(hidden, pixels, masked), [patches(hidden[s], pixels[s], masked[s]) for s in HALVES]),
    ):
        torch.testing.assert_close(whole[0], parts[0][0] + parts[1][0])
        assert whole[1] == parts[0][1] + parts[1][1]


HALVES = (slice(0, 2), slice(2, 6))


def test_nothing_chosen_costs_nothing() -> None:
    words, patches = MaskedWords(5, 6, VOCABULARY), MaskedPatches(5, (2, 2), (8, 8))
    hidden = torch.randn(2, 4, 5, requires_grad=True)
    vectors = torch.randn(VOCABULARY, 6)
    nowhere = torch.zeros(2, 4, dtype=torch.bool)
    told = words(hidden, vectors, torch.zeros(2, 4, dtype=torch.long), nowhere)
    painted = patches(hidden, torch.randn(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.bool))
    (told[0] + painted[0]).backward()
    assert [part.item() for part in (*told, *painted)] == [0, 0, 0, 0]
    assert not hidden.grad.any()


def test_words_under_autocast_are_summed_in_float32() -> None:
    head = MaskedWords(5, 6, VOCABULARY)
    with torch.autocast("cpu", torch.bfloat16):
        ids = torch.randint(4, VOCABULARY, (2, 4))
        loss, _ = head(torch.randn(2, 4, 5).bfloat16(), torch.randn(VOCABULARY, 6), ids, ids > 0)
    assert loss.dtype == torch.float32


def test_words_can_be_learned_from_their_neighbors() -> None:
    """Of texts that say one word six times a hidden word follows from the others: a layer of attention learns it."""
    torch.manual_seed(0)
    head, vectors = MaskedWords(16, 16, VOCABULARY), torch.nn.Parameter(torch.randn(VOCABULARY, 16) * 0.3)
    tower = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    places = torch.nn.Parameter(torch.randn(6, 16) * 0.3)
    adam = torch.optim.Adam([vectors, places, *head.parameters(), *tower.parameters()], lr=3e-3)
    generator = seeded()
    costs = []
    for _ in range(150):
        ids = torch.randint(4, 14, (32, 1), generator=generator).expand(32, 6)
        corrupted, chosen = mask_words(ids, ids > 0, SPECIAL, MASK, VOCABULARY, generator)
        loss, count = head(tower(vectors[corrupted] + places), vectors, ids, chosen)
        adam.zero_grad()
        (loss / count).backward()
        adam.step()
        costs.append((loss / count).item())
    assert costs[0] > 3
    assert sum(costs[-10:]) / 10 < 0.5


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    st.integers(1, 4), st.lists(st.integers(1, 13), min_size=2, max_size=3), st.integers(1, 6), st.floats(0, 1),
)  # fmt: skip
def test_whole_blocks_are_hidden_and_a_given_share_of_them(n: int, sides: list[int], patch: int, p: float) -> None:
    masked = mask_patches((n, 2, *sides), patch, seeded(), p)
    corners = masked[(slice(None), *(slice(None, None, patch) for _ in sides))]
    grown = corners
    for axis, side in enumerate(sides, start=1):
        grown = grown.repeat_interleave(patch, axis).narrow(axis, 0, side)
    assert masked.shape == (n, *sides)
    assert torch.equal(masked, grown)
    blocks = math.prod(math.ceil(side / patch) for side in sides)
    assert corners.flatten(1).sum(1).tolist() == [math.ceil(p * blocks)] * n


def test_every_block_is_hidden_equally_often_and_each_picture_differently() -> None:
    masked = mask_patches((4000, 1, 6, 6), 2, seeded(), 1 / 3)[:, ::2, ::2].float()
    assert masked.flatten(1).sum(1).unique().tolist() == [3]
    torch.testing.assert_close(masked.mean(0), torch.full((3, 3), 1 / 3), atol=0.03, rtol=0)
    assert len(masked.flatten(1).unique(dim=0)) == math.comb(9, 3)


def test_hidden_pixels_all_become_one_learned_value_and_others_stay() -> None:
    head = MaskedPatches(5, (2, 2), (8, 8), channels=2)
    torch.nn.init.constant_(head.cover[0], 7.0)
    pixels, masked = torch.randn(3, 2, 8, 8), mask_patches((3, 2, 8, 8), 4, seeded())
    seen = head.hide(pixels, masked)
    apart = masked[:, None].expand_as(pixels)
    assert torch.equal(seen[~apart], pixels[~apart])
    assert torch.equal(seen[:, 0][masked].unique(), torch.tensor([7.0]))
    assert torch.equal(seen[:, 1][masked].unique(), torch.tensor([0.0]))
    seen.sum().backward()
    assert head.cover.grad.flatten().tolist() == [masked.sum()] * 2


@pytest.mark.parametrize(
    ("grid", "size"), [((2, 3), (4, 6)), ((2, 2, 2), (4, 2, 6)), ((2, 2), (3, 5)), ((1, 1), (4, 4))]
)
@pytest.mark.parametrize("leading", [0, 1])
def test_each_token_paints_its_own_block(grid: tuple[int, ...], size: tuple[int, ...], leading: int) -> None:
    """A token that says its own number, painted by a layer of ones, lays that number over its block of each channel."""
    head = MaskedPatches(1, grid, size, channels=2)
    torch.nn.init.ones_(head.paint.weight)
    torch.nn.init.zeros_(head.paint.bias)
    numbers = torch.arange(math.prod(grid)).float()
    tokens = torch.cat([torch.full((leading,), -1.0), numbers])[None, :, None]
    expected = numbers.view(grid)
    for axis, (side, count) in enumerate(zip(size, grid, strict=True)):
        expected = expected.repeat_interleave(math.ceil(side / count), axis).narrow(axis, 0, side)
    painted = head.painted(tokens)
    assert painted.shape == (1, 2, *size)
    assert all(torch.equal(channel, expected) for channel in painted[0])


def test_painting_is_torchs_pixel_shuffle() -> None:
    torch.manual_seed(0)
    head, tokens = MaskedPatches(5, (3, 2), (12, 8), channels=2), torch.randn(4, 6, 5)
    by_torch = head.paint(tokens).transpose(1, 2).view(4, 2 * 16, 3, 2)
    assert torch.equal(head.painted(tokens), torch.nn.functional.pixel_shuffle(by_torch, 4))


def test_the_cost_of_pixels_is_l1_where_they_were_hidden() -> None:
    torch.manual_seed(0)
    head = MaskedPatches(5, (2, 2), (8, 8), channels=2)
    hidden = torch.randn(3, 5, 5, requires_grad=True)  # a class token leads
    pixels, masked = torch.randn(3, 2, 8, 8), mask_patches((3, 2, 8, 8), 4, seeded(), 0.25)
    masked[2] = False  # a row without a picture
    loss, count = head(hidden, pixels, masked)
    missed = (head.painted(hidden) - pixels).abs()
    torch.testing.assert_close(loss, (missed[:, 0][masked] + missed[:, 1][masked]).sum())
    assert count.item() == 2 * 2 * 16
    loss.backward()
    assert hidden.grad[:, 1:].any(2).sum().item() == 2  # one token of each picture painted what was hidden
    assert not hidden.grad[:, 0].any()
    assert not hidden.grad[2].any()
    assert head.paint.weight.grad.any()

"""Learning from one input alone: tell hidden words from their text, and hidden blocks of pixels from their picture.

Losses come as a sum and a count, so that the mean over all processes is the mean over all that was hidden."""

import math
from collections.abc import Sequence
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

WORDS_MASKED, WORDS_REPLACED = 0.8, 0.1


def mask_words(
    ids: Int[Tensor, "b n"],
    mask: Bool[Tensor, "b n"],
    special_ids: Sequence[int],
    mask_id: int,
    vocabulary: int,
    generator: torch.Generator,
    p: float = 0.15,
) -> tuple[Int[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """The texts with some pieces corrupted, and where. Each piece is chosen with probability `p`, and at least one of
    every text that has any; padding and special pieces never are. Of the chosen, 80 % become `mask_id`, 10 % a random
    piece, and 10 % stay as they are. `special_ids` are all that are no words, padding's with them.

    Source: BERT, Devlin et al. 2019, section 3.1. Differs: a random piece is never a special one."""
    special = torch.tensor([*special_ids, mask_id])
    draws, kinds = torch.rand(2, *ids.shape, generator=generator, device=generator.device).to(ids.device)
    words = mask & ~torch.isin(ids, special.to(ids))
    draws = draws.masked_fill(~words, 2)
    chosen = words & ((draws < p) | (draws == draws.amin(1, keepdim=True)))
    pieces = torch.arange(vocabulary)
    ordinary = pieces[~torch.isin(pieces, special)]
    drawn = torch.randint(len(ordinary), ids.shape, generator=generator, device=generator.device)
    replacement = torch.where(kinds < WORDS_MASKED, mask_id, ordinary.to(ids)[drawn.to(ids.device)])
    return torch.where(chosen & (kinds < WORDS_MASKED + WORDS_REPLACED), replacement, ids), chosen


class MaskedWords(nn.Module):
    """Tells the pieces that stood where the text was corrupted: BERT's head (Devlin et al. 2019, its released code),
    whose last layer is the text tower's own table of word vectors."""

    def __init__(self, features: int, word_width: int, vocabulary: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(features, word_width), nn.GELU(), nn.LayerNorm(word_width))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(
        self,
        hidden: Float[Tensor, "b n f"],
        word_vectors: Float[Tensor, "v d"],
        ids: Int[Tensor, "b n"],
        chosen: Bool[Tensor, "b n"],
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Sum of the cross-entropies of the true `ids` at the chosen positions, in float32, and their number."""
        logits = self.transform(hidden[chosen]) @ word_vectors.T + self.bias
        return cross_entropy(logits.float(), ids[chosen].long(), reduction="sum"), chosen.sum()


def mask_patches(
    shape: Sequence[int], patch: int, generator: torch.Generator, p: float = 0.5
) -> Bool[Tensor, "b *space"]:
    """Which pixels of pictures of `shape` (b, c, h, w[, d]) to hide: in each, a share `p` (rounded up) of the blocks of
    side `patch`, drawn without replacement. Blocks at the far edges are cut where `patch` does not divide the side.
    The answer lies where the generator lives.

    Source: SimMIM, Xie et al. 2022, section 3.2 (their best: patch 32, p 0.6)."""
    sides = shape[2:]
    blocks = [math.ceil(side / patch) for side in sides]
    draws = torch.rand(shape[0], math.prod(blocks), generator=generator, device=generator.device)
    hidden = (draws.argsort(1).argsort(1) < math.ceil(p * math.prod(blocks))).view(shape[0], *blocks)
    for axis, side in enumerate(sides, start=1):
        hidden = hidden.repeat_interleave(patch, axis).narrow(axis, 0, side)
    return hidden


class MaskedPatches(nn.Module):
    """Tells hidden pixels from the picture's last feature tokens, each of which paints its own block.

    `grid` is how the last tokens lie in the picture and `size` the picture's sides, two or three of each; tokens before
    those of the grid, such as a class token, are ignored. Source: SimMIM, Xie et al. 2022: one linear layer and L1.
    Differs: what hides is a learned value of pixels, not of embedded patches, so that any tower will do."""

    def __init__(self, features: int, grid: tuple[int, ...], size: tuple[int, ...], channels: int = 1) -> None:
        super().__init__()
        self.grid, self.size, self.channels = grid, size, channels
        self.block = tuple(math.ceil(side / tokens) for side, tokens in zip(size, grid, strict=True))
        self.cover = nn.Parameter(torch.zeros(channels, *(1 for _ in size)))
        self.paint = nn.Linear(features, channels * math.prod(self.block))

    def hide(
        self, pixels: Float[Tensor, "b c *space"], masked: Bool[Tensor, "b *space"]
    ) -> Float[Tensor, "b c *space"]:
        """The pictures with a learned value where `masked`."""
        return torch.where(masked[:, None], self.cover.to(pixels.dtype), pixels)

    def forward(
        self, hidden: Float[Tensor, "b n f"], pixels: Float[Tensor, "b c *space"], masked: Bool[Tensor, "b *space"]
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Sum of |told - true| over the masked pixels and their channels, in float32, and their number."""
        missed = (self.painted(hidden).float() - pixels.float()).abs()
        return missed.masked_fill(~masked[:, None], 0).sum(), masked.sum() * self.channels

    def painted(self, hidden: Float[Tensor, "b n f"]) -> Float[Tensor, "b c *space"]:
        """The pictures that the tokens tell: a block of pixels from each, laid side by side and cut to size."""
        d, tokens = len(self.grid), hidden[:, -math.prod(self.grid) :]
        blocks = self.paint(tokens).view(len(hidden), *self.grid, self.channels, *self.block)
        interleaved = chain.from_iterable((1 + axis, 2 + d + axis) for axis in range(d))
        sides = [tokens * block for tokens, block in zip(self.grid, self.block, strict=True)]
        picture = blocks.permute(0, 1 + d, *interleaved).reshape(len(hidden), self.channels, *sides)
        return picture[(..., *(slice(side) for side in self.size))]

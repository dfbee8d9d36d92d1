"""The guard of a note: does it read like the notes of the training cases? b notes, n positions, w buckets, s numbers.

A note becomes a few numbers about its pieces: how surprising they and their pairs are under the frequencies in training
notes, how much that varies, how many pairs are new, how often pieces come back. A Gaussian of these (see panels.py)
judges it: too plain is as odd as too strange, for words that the tokenizer does not know fall into common letters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.guard.judgement import Judgement, Thresholds
from clinimm.guard.panels import FEWEST, Gaussian

UNUSUAL = "unlike_training_notes"
_PIECES, _PAIRS = 1 << 13, 1 << 15  # buckets: a piece's is its number, a pair's a hash of both
_TRUST = 5.0  # how often a piece must have come before what follows it counts for more than the frequencies of all


@dataclass(frozen=True)
class Reading:
    """How often each bucket's pieces and pairs occur in the training notes.

    Source of the mixture: MacKay & Peto 1995, A hierarchical Dirichlet language model."""

    pieces: Float[Tensor, " w"]
    pairs: Float[Tensor, " w2"]

    @staticmethod
    def fit(ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> "Reading":
        both = mask[:, 1:] & mask[:, :-1]
        return Reading(
            (ids[mask] % _PIECES).bincount(minlength=_PIECES).float(),
            _pairs(ids)[both].bincount(minlength=_PAIRS).float(),
        )

    def numbers(self, ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b s"]:
        """Mean and spread of the surprise of pieces, mean surprise of a piece after the one before it, share of pairs
        that are new, share of pieces that came before in the note, and the logarithm of the length."""
        both = (mask[:, 1:] & mask[:, :-1]).float()
        share = (self.pieces + 0.5) / (self.pieces.sum() + 0.5 * _PIECES)
        last, first, pair = ids[:, 1:] % _PIECES, ids[:, :-1] % _PIECES, _pairs(ids)
        alone = -share[last].log()
        after = -((self.pairs[pair] + _TRUST * share[last]) / (self.pieces[first] + _TRUST)).log()
        mean = _mean(alone, both)
        spread = _mean((alone - mean[:, None]).square(), both).sqrt()
        new = _mean((self.pairs[pair] == 0).float(), both)
        length = mask.sum(1)
        return torch.stack([mean, spread, _mean(after, both), new, _repeats(ids, mask), length.float().log1p()], dim=1)


@dataclass(frozen=True)
class NoteGuard:
    reading: Reading
    gaussian: Gaussian
    thresholds: Thresholds

    @staticmethod
    def fit(
        ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"], folds: Int[Tensor, " b"], *, flags: float
    ) -> "NoteGuard | None":
        """Flags at most a share `flags` of valid notes; None with fewer than 16. Each note is read once by a reading
        of the other folds' notes: these numbers make the Gaussian, and their oddness the threshold."""
        if len(ids) < FEWEST or len(folds.unique()) < 2:
            return None
        numbers = torch.zeros(len(ids), 6)
        for fold in folds.unique():
            others, own = folds != fold, folds == fold
            numbers[own] = Reading.fit(ids[others], mask[others]).numbers(ids[own], mask[own])
        all_known = torch.ones_like(numbers, dtype=torch.bool)
        scores = torch.zeros(len(ids), dtype=torch.float64)
        for fold in folds.unique():
            others, own = folds != fold, folds == fold
            scores[own] = Gaussian.fit(numbers[others], all_known[others]).oddness(numbers[own], all_known[own])
        gaussian = Gaussian.fit(numbers, all_known)
        return NoteGuard(Reading.fit(ids, mask), gaussian, Thresholds.fit(scores, flags, None))

    def judge(self, ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> tuple[Judgement, ...]:
        numbers = self.reading.numbers(ids.cpu(), mask.cpu())
        scores = self.gaussian.oddness(numbers, torch.ones_like(numbers, dtype=torch.bool))
        return tuple(self.thresholds.judge(score, (UNUSUAL,)) for score in scores.tolist())

    def state(self) -> dict[str, Tensor]:
        return {
            "pieces": self.reading.pieces, "pairs": self.reading.pairs, **self.gaussian.state(),
            "references": self.thresholds.references,
        }  # fmt: skip

    def record(self) -> dict[str, Any]:
        return self.thresholds.record()

    @staticmethod
    def restore(state: Mapping[str, Tensor], record: Mapping[str, Any]) -> "NoteGuard":
        reading = Reading(state["pieces"], state["pairs"])
        return NoteGuard(reading, Gaussian.restore(state), Thresholds.restore(state["references"], record))


def _pairs(ids: Int[Tensor, "b n"]) -> Int[Tensor, "b n1"]:
    """The bucket of each piece together with the one before it."""
    return (ids[:, :-1].long() * 1009 + ids[:, 1:].long()) % _PAIRS


def _mean(values: Float[Tensor, "b n"], weight: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1)


def _repeats(ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """The share of a note's pieces that came before in it."""
    sorted_ids = torch.where(mask, ids.long(), -1).sort(dim=1).values
    again = (sorted_ids[:, 1:] == sorted_ids[:, :-1]) & (sorted_ids[:, 1:] >= 0)
    return again.sum(1) / mask.sum(1).clamp(min=1)

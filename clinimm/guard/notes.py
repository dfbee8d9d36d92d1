"""The guard of a note: does it read like the notes of the training cases? b notes, n positions, w buckets.

Two scores of the note's pieces, added: the mean surprise of a piece under their frequencies in training notes, and
how far the note's bag of pieces lies from the training notes' (see subspace.py). Order is not looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.guard.judgement import Judgement, Scale, Thresholds
from clinimm.guard.subspace import Subspace

UNUSUAL = "unlike_training_notes"
FEWEST = 16
_BUCKETS = 1024  # pieces share them by their number, as in feature hashing
_DIMENSIONS = 32


@dataclass(frozen=True)
class Reading:
    """`surprise` is the negative logarithm of each bucket's frequency, one piece more in each."""

    surprise: Float[Tensor, " w"]
    bags: Subspace

    @staticmethod
    def fit(counts: Float[Tensor, "n w"]) -> "Reading":
        total = counts.sum(0) + 1
        surprise = -(total / total.sum()).log()
        return Reading(surprise, Subspace.fit(_bags(counts, surprise), _DIMENSIONS))

    def raw(self, counts: Float[Tensor, "b w"]) -> Float[Tensor, "b 2"]:
        mean = (counts @ self.surprise) / counts.sum(1).clamp(min=1)
        return torch.stack([mean, self.bags.distance(_bags(counts, self.surprise))], dim=1)


@dataclass(frozen=True)
class NoteGuard:
    reading: Reading
    scale: Scale
    thresholds: Thresholds

    @staticmethod
    def fit(
        ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"], folds: Int[Tensor, " b"], *, flags: float
    ) -> "NoteGuard | None":
        """Flags at most a share `flags` of valid notes; None with fewer than 16. Each note is judged once by a reading
        that saw none of its fold."""
        if len(ids) < FEWEST or len(folds.unique()) < 2:
            return None
        counts = _counts(ids, mask)
        raw = torch.zeros(len(ids), 2)
        for fold in folds.unique():
            raw[folds == fold] = Reading.fit(counts[folds != fold]).raw(counts[folds == fold])
        scale = Scale.fit(raw)
        return NoteGuard(Reading.fit(counts), scale, Thresholds.fit(scale(raw).sum(1), flags, None))

    def judge(self, ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> tuple[Judgement, ...]:
        scores = self.scale(self.reading.raw(_counts(ids.cpu(), mask.cpu()))).sum(1)
        return tuple(self.thresholds.judge(score, (UNUSUAL,)) for score in scores.tolist())

    def state(self) -> dict[str, Tensor]:
        return {
            "surprise": self.reading.surprise, **self.reading.bags.state("bags"), **self.scale.state(),
            "references": self.thresholds.references,
        }  # fmt: skip

    def record(self) -> dict[str, Any]:
        return self.thresholds.record()

    @staticmethod
    def restore(state: Mapping[str, Tensor], record: Mapping[str, Any]) -> "NoteGuard":
        reading = Reading(state["surprise"], Subspace.restore("bags", state))
        return NoteGuard(reading, Scale.restore(state), Thresholds.restore(state["references"], record))


def _counts(ids: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b w"]:
    """How often each bucket's pieces occur."""
    return torch.zeros(len(ids), _BUCKETS).scatter_add_(1, ids.long() % _BUCKETS, mask.float())


def _bags(counts: Float[Tensor, "b w"], surprise: Float[Tensor, " w"]) -> Float[Tensor, "b w"]:
    """Logarithmic counts, the rare weighing more, of length 1."""
    weighed = counts.log1p() * surprise
    return weighed / weighed.norm(dim=1, keepdim=True).clamp(min=1e-6)

"""From word pieces to sentences: where each sentence of a note stands, and what it was worth."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray

from clinimm.findings.sentences import spans


@dataclass(frozen=True)
class Sentence:
    """Characters `start` to `end` of the note; `score` sums its pieces, None where the model read none of it."""

    start: int
    end: int
    score: float | None


def score_sentences(text: str, offsets: Sequence[tuple[int, int]], scores: Float[ndarray, " n"]) -> list[Sentence]:
    """The sentences of `text` in order. Every piece counts for one, that in which it starts or the last before it, so
    that they sum to what the pieces sum to. `offsets` are (start, end) of each piece, (0, 0) for special ones."""
    cuts = spans(text)
    totals: list[float | None] = [None] * len(cuts)
    starts = [start for start, _ in cuts]
    for (start, end), score in zip(offsets, scores.tolist(), strict=True):
        if cuts and end > start:
            i = max(0, bisect_right(starts, start) - 1)
            totals[i] = (totals[i] or 0.0) + score
    return [Sentence(start, end, total) for (start, end), total in zip(cuts, totals, strict=True)]

"""From word pieces back to words: where each word of a note stands and what it was worth."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray

_WORD = re.compile(r"\w+(?:[.,'/-]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Word:
    """Characters `start` to `end` of the note; `score` sums its pieces, and is None where the model never read it."""

    start: int
    end: int
    score: float | None


def score_words(text: str, offsets: Sequence[tuple[int, int]], scores: Float[ndarray, " n"]) -> list[Word]:
    """The words of `text` in order. Every piece counts for exactly one word, so that the words sum to what the pieces
    sum to. `offsets` are (start, end) of each piece, (0, 0) for special pieces and padding."""
    spans = [match.span() for match in _WORD.finditer(text)]
    totals: list[float | None] = [None] * len(spans)
    for (start, end), score in zip(offsets, scores.tolist(), strict=True):
        if spans and end > start:
            i = _word_at(text, spans, start, end)
            totals[i] = (totals[i] or 0.0) + score
    return [Word(start, end, total) for (start, end), total in zip(spans, totals, strict=True)]


def _word_at(text: str, spans: Sequence[tuple[int, int]], start: int, end: int) -> int:
    """The word in which a piece's first visible character lies; the nearest before it if it lies in none."""
    piece = text[start:end]
    visible = start + len(piece) - len(piece.lstrip())
    return max(0, bisect_right(spans, visible, key=lambda span: span[0]) - 1)

"""Whether a note is in the language of the training notes, told by their commonest words alone."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

_WORD = re.compile(r"[^\W\d_]+")
_COMMON = 200  # words: the little ones that hold sentences together, and those of the trade
_FEWEST_NOTES = 2  # that must hold a word, so that no one patient's is kept
_FEWEST_WORDS = 8  # of a note that can be called foreign
_LOW_QUANTILE, _FAR_BELOW = 0.05, 0.5


@dataclass(frozen=True)
class Language:
    """The words `common` in the training notes, and the share of a note's words that would be oddly `low`: half of what
    the fifth-lowest training note in a hundred has. Stop words tell a language well, as they are half of any text;
    no table of languages is needed, and abbreviations count as the language that they are."""

    common: frozenset[str]
    low: float

    @classmethod
    def fit(cls, notes: Iterable[str]) -> "Language":
        """Of no notes: no words, and no note is foreign. The order of the notes does not matter."""
        texts = sorted(set(notes))
        holding = Counter(word for text in texts for word in set(words(text)))
        kept = sorted((w for w, n in holding.items() if n >= _FEWEST_NOTES), key=lambda word: (-holding[word], word))
        fitted = cls(frozenset(kept[:_COMMON]), 0.0)
        shares = [fitted.share(text) for text in texts if len(words(text)) >= _FEWEST_WORDS]
        return cls(fitted.common, _FAR_BELOW * float(np.quantile(shares, _LOW_QUANTILE)) if shares else 0.0)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Language":
        return cls(frozenset(record["common"]), float(record["low"]))

    def record(self) -> dict[str, Any]:
        return {"common": sorted(self.common), "low": self.low}

    def share(self, text: str) -> float:
        """The share of the note's words that are common ones; 0 for a note without words."""
        found = words(text)
        return sum(word in self.common for word in found) / max(1, len(found))

    def foreign(self, text: str) -> bool:
        """Whether the note is long enough to tell and has far fewer common words than the training notes."""
        return len(words(text)) >= _FEWEST_WORDS and self.share(text) < self.low


def words(text: str) -> list[str]:
    """Runs of letters, in lower case."""
    return _WORD.findall(text.lower())

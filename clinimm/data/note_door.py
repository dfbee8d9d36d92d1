"""Notes: text -> word pieces."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer

from clinimm.data.language import Language
from clinimm.data.quality.note import NOTE, note_quality
from clinimm.data.seen import Seen
from clinimm.data.words import learn_tokenizer, local_tokenizer, pad_id, special_ids, unknown_ids
from clinimm.errors import TrainingError
from clinimm.types import Modality, Note


@dataclass(frozen=True)
class NoteDoor:
    """A fitted tokenizer, and the language of the training notes; a note longer than the model's positions is cut at
    its end, and flagged with how much."""

    modality: Modality
    tokenizer: Tokenizer
    language: Language

    @classmethod
    def fit(cls, modality: Modality, notes: Iterable[str], vocabulary: int, pretrained: Path | None) -> "NoteDoor":
        """Raises TrainingError if there is no note to learn from."""
        texts = sorted(set(notes))
        if pretrained is not None:
            return cls(modality, local_tokenizer(pretrained), Language.fit(texts))
        if not texts:
            raise TrainingError(
                "no training case has this note", where=f"inputs.{modality.name}", mend="leave the input out"
            )
        return cls(modality, learn_tokenizer(texts, vocabulary), Language.fit(texts))

    @classmethod
    def from_record(cls, modality: Modality, record: dict[str, Any]) -> "NoteDoor":
        return cls(modality, Tokenizer.from_str(record["tokenizer"]), Language.from_record(record["language"]))

    def record(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer.to_str(), "language": self.language.record()}

    @property
    def vocabulary(self) -> tuple[int, int, tuple[int, ...]]:
        """Size, padding id and ids of the special pieces."""
        return self.tokenizer.get_vocab_size(), pad_id(self.tokenizer), special_ids(self.tokenizer)

    def see(self, given: Note) -> Seen:
        """Ids of word pieces, padded; flags `note_truncated` and `note_language` where they hold."""
        encoding, pieces = self._encode(given.text)
        length, kept = self.modality.shape[0], len(encoding.ids)
        ids = torch.full((length,), pad_id(self.tokenizer))
        ids[:kept] = torch.tensor(encoding.ids)
        cut = max(0, pieces - length)
        flags = given.flags + (f"note_truncated:{cut}_of_{pieces}_pieces",) * (cut > 0)
        flags += ("note_language",) * self.language.foreign(given.text)
        quality = note_quality(pieces, length, self._unknown(encoding), self.language.share(given.text))
        return Seen(ids, torch.arange(length) < kept, quality, flags)

    def blank(self) -> Seen:
        length = self.modality.shape[0]
        ids = torch.full((length,), pad_id(self.tokenizer))
        return Seen(ids, torch.zeros(length, dtype=torch.bool), torch.zeros(len(NOTE)))

    def _unknown(self, encoding: Encoding) -> float:
        """The share of the kept pieces that the tokenizer has no name for; pieces that stand for no word left out."""
        special, unknown = special_ids(self.tokenizer), unknown_ids(self.tokenizer)
        pieces = [piece for piece in encoding.ids if piece not in special]
        return sum(piece in unknown for piece in pieces) / max(1, len(pieces))

    def words(self, text: str) -> list[tuple[int, int]]:
        """(start, end) in `text` of the characters behind each position; (0, 0) for special pieces and padding."""
        encoding, _ = self._encode(text)
        return list(encoding.offsets) + [(0, 0)] * (self.modality.shape[0] - len(encoding.offsets))

    def _encode(self, text: str) -> tuple[Encoding, int]:
        """The encoding cut to length, ending in the closing piece, and how many pieces the whole note has."""
        encoding = self.tokenizer.encode(text)
        pieces = len(encoding.ids)
        length = self.modality.shape[0]
        if pieces > length:
            bare = self.tokenizer.encode(text, add_special_tokens=False)
            bare.truncate(length - self.tokenizer.num_special_tokens_to_add(is_pair=False))
            encoding = self.tokenizer.post_process(bare)
        return encoding, pieces

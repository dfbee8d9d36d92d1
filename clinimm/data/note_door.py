"""Notes: text -> word pieces."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer

from clinimm.data.quality import QUALITIES, note_quality
from clinimm.data.seen import Age, Seen
from clinimm.data.words import learn_tokenizer, local_tokenizer, pad_id, special_ids
from clinimm.errors import TrainingError
from clinimm.types import Kind, Modality, Note


@dataclass(frozen=True)
class NoteDoor:
    """A fitted tokenizer; a note longer than the model's positions is cut at its end, and flagged with how much."""

    modality: Modality
    tokenizer: Tokenizer

    @classmethod
    def fit(cls, modality: Modality, notes: Iterable[str], vocabulary: int, pretrained: Path | None) -> "NoteDoor":
        """Raises TrainingError if there is no note to learn from."""
        if pretrained is not None:
            return cls(modality, local_tokenizer(pretrained))
        texts = sorted(set(notes))
        if not texts:
            raise TrainingError(
                "no training case has this note", where=f"inputs.{modality.name}", mend="leave the input out"
            )
        return cls(modality, learn_tokenizer(texts, vocabulary))

    @classmethod
    def from_record(cls, modality: Modality, record: dict[str, Any]) -> "NoteDoor":
        return cls(modality, Tokenizer.from_str(record["tokenizer"]))

    def record(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer.to_str()}

    @property
    def vocabulary(self) -> tuple[int, int, tuple[int, ...]]:
        """Size, padding id and ids of the special pieces."""
        return self.tokenizer.get_vocab_size(), pad_id(self.tokenizer), special_ids(self.tokenizer)

    def see(self, given: Note, age: Age) -> Seen:
        encoding, pieces = self._encode(given.text)
        length, kept = self.modality.shape[0], len(encoding.ids)
        ids = torch.full((length,), pad_id(self.tokenizer))
        ids[:kept] = torch.tensor(encoding.ids)
        cut = max(0, pieces - length)
        flags = given.flags + (f"note_truncated:{cut}_of_{pieces}_pieces",) * (cut > 0)
        return Seen(ids, torch.arange(length) < kept, note_quality(pieces, length, age), flags)

    def blank(self) -> Seen:
        length = self.modality.shape[0]
        ids = torch.full((length,), pad_id(self.tokenizer))
        return Seen(ids, torch.zeros(length, dtype=torch.bool), torch.zeros(len(QUALITIES[Kind.TEXT])))

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

"""Tokenizers: learned from a cohort's notes, or taken from a local transformers directory. Kept as JSON."""

import os
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer
from transformers import AutoTokenizer

from clinimm.errors import ConfigError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PADS = ("[PAD]", "<pad>")


def learn_tokenizer(notes: Iterable[str], vocabulary: int) -> Tokenizer:
    """A lower-casing word piece tokenizer of at most `vocabulary` pieces, learned from the notes (Schuster and Nakajima
    2012, as in BERT)."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=vocabulary, min_frequency=2, special_tokens=list(SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(notes, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def local_tokenizer(directory: Path) -> Tokenizer:
    """The tokenizer of a local transformers directory. Raises ConfigError if it has none."""
    try:
        loaded = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "holds no tokenizer", where=str(directory), mend="give a directory with tokenizer.json or vocab.txt"
        ) from error
    tokenizer = Tokenizer.from_str(loaded.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def pad_id(tokenizer: Tokenizer) -> int:
    """The id of the padding piece. Raises ConfigError if there is none."""
    for name in _PADS:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return int(found)
    raise ConfigError("the tokenizer has no padding piece", mend=f"give it one of {', '.join(_PADS)}")


def special_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of pieces that stand for no word: padding, start, end."""
    added = tokenizer.get_added_tokens_decoder()
    unknown = {tokenizer.token_to_id(name) for name in ("[UNK]", "<unk>", "[MASK]", "<mask>")}
    return tuple(sorted(int(i) for i, token in added.items() if token.special and i not in unknown))

"""Tokenizers: learned from a cohort's notes, or taken from a local transformers directory. Kept as JSON."""

import os
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from clinimm.errors import ConfigError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PADS, _UNKNOWNS, _MASKS = ("[PAD]", "<pad>"), ("[UNK]", "<unk>"), ("[MASK]", "<mask>")
_DIGITS = (*string.digits, *(f"##{digit}" for digit in string.digits))
_FEWEST = 2  # times a word must occur


def learn_tokenizer(notes: Iterable[str], vocabulary: int) -> Tokenizer:
    """A lower-casing tokenizer of the notes' commonest words, at most `vocabulary` pieces; rarer words are unknown, but
    every number can be spelled. The order of the notes does not matter.

    Not the library's own trainers: they break ties by hash order, so that the same notes give another vocabulary."""
    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    words = Counter(word for note in notes for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(note)))
    common = sorted((word for word, times in words.items() if times >= _FEWEST), key=lambda word: (-words[word], word))
    pieces = dict.fromkeys((*SPECIAL, *_DIGITS, *common))
    ids = {piece: i for i, piece in enumerate(list(pieces)[: max(vocabulary, len(SPECIAL) + len(_DIGITS))])}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.add_special_tokens(list(SPECIAL))
    ends = [(name, ids[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def local_tokenizer(directory: Path) -> Tokenizer:
    """The tokenizer of a local transformers directory. Raises ConfigError if it has none."""
    if (directory / "backbone.json").is_file():
        return _backbone_tokenizer(directory)
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


def _backbone_tokenizer(directory: Path) -> Tokenizer:
    """A backbone's own, which keeps its padding section: it says the padding piece."""
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise ConfigError(
            "the backbone has no text tower", where=str(directory), mend="use another encoder for the text"
        )
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    if tokenizer.padding is not None:
        tokenizer.enable_padding(**tokenizer.padding | {"length": None, "pad_to_multiple_of": None})
    return tokenizer


def pad_id(tokenizer: Tokenizer) -> int:
    """The id of the padding piece. Raises ConfigError if there is none."""
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    for name in _PADS:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return int(found)
    raise ConfigError("the tokenizer has no padding piece", mend=f"give it one of {', '.join(_PADS)}")


def special_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of pieces that stand for no word: padding, start, end."""
    added = tokenizer.get_added_tokens_decoder()
    spared = {*unknown_ids(tokenizer), *_ids(tokenizer, _MASKS)}
    return tuple(sorted(int(i) for i, token in added.items() if token.special and i not in spared))


def unknown_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of the piece that stands for any word the tokenizer does not know; none where every word can be spelled."""
    return _ids(tokenizer, _UNKNOWNS)


def _ids(tokenizer: Tokenizer, names: Iterable[str]) -> tuple[int, ...]:
    found = (tokenizer.token_to_id(name) for name in names)
    return tuple(int(i) for i in found if i is not None)

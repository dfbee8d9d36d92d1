"""Foreign tokenizers: read from a checkpoint's directory, with the padding piece said in their own JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from clinimm.data.words import SPECIAL, local_tokenizer
from clinimm.errors import BackboneError, ConfigError

_PADS = ("[PAD]", "<pad>")


def read_tokenizer(directory: Path, padding: str | None = None) -> Tokenizer:
    """The tokenizer in a directory: of tokenizer.json, of a BERT's vocab.txt, or of what transformers makes of other
    files. `padding` is its padding piece; by default [PAD] or <pad>. Raises BackboneError."""
    tokenizer = _read(directory)
    piece = next((name for name in _pads(padding) if tokenizer.token_to_id(name) is not None), None)
    if piece is None:
        raise BackboneError(f"the tokenizer has no padding piece {' or '.join(_pads(padding))}", where=str(directory))
    tokenizer.no_truncation()
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(piece), pad_token=piece)
    return tokenizer


def _pads(padding: str | None) -> Sequence[str]:
    return _PADS if padding is None else (padding,)


def _read(directory: Path) -> Tokenizer:
    ready, words = directory / "tokenizer.json", directory / "vocab.txt"
    try:
        if ready.is_file():
            return Tokenizer.from_file(str(ready))
        if words.is_file():
            return _word_pieces(words, _lowers(directory / "tokenizer_config.json"))
        return local_tokenizer(directory)
    except ConfigError as error:
        raise BackboneError(error.what, where=error.where, mend=error.mend) from error
    except Exception as error:  # the Rust library raises bare Exception
        raise BackboneError(f"the tokenizer cannot be read: {error}", where=str(directory)) from error


def _word_pieces(vocabulary: Path, lower: bool) -> Tokenizer:
    """BERT's own tokenizer with these pieces, one a line."""
    tokenizer = Tokenizer(WordPiece.from_file(str(vocabulary), unk_token="[UNK]"))  # noqa: S106 - no password
    if missing := [name for name in SPECIAL if tokenizer.token_to_id(name) is None]:
        raise BackboneError(f"lacks {', '.join(missing)}", where=str(vocabulary))
    tokenizer.normalizer = BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def _lowers(config: Path) -> bool:
    """Whether words are put in lower case: transformers' BERT tokenizers do, unless their config says otherwise."""
    return bool(json.loads(config.read_text(encoding="utf-8")).get("do_lower_case", True)) if config.is_file() else True

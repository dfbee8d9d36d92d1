"""A backbone at work: pictures and texts to points on the unit sphere of its space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import normalize

from clinimm.backbone.directory import Backbone
from clinimm.data.words import pad_id
from clinimm.errors import BackboneError

_ROWS = 32  # pictures or texts at once


@dataclass(frozen=True)
class Pieces:
    """Texts as word pieces; `cut` says how many pieces each lost since the tower reads no more than n."""

    ids: Int[Tensor, "b n"]
    mask: Bool[Tensor, "b n"]
    cut: tuple[int, ...]


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> Pieces:
    """Word pieces of each text, cut to `length` with the closing piece kept, and padded to it."""
    ids = torch.full((len(texts), length), pad_id(tokenizer))
    mask = torch.zeros(len(texts), length, dtype=torch.bool)
    cut = []
    for row, text in enumerate(texts):
        bare = tokenizer.encode(text, add_special_tokens=False)
        room = length - tokenizer.num_special_tokens_to_add(is_pair=False)
        cut.append(max(0, len(bare.ids) - room))
        bare.truncate(room)
        kept = tokenizer.post_process(bare).ids[:length]
        ids[row, : len(kept)] = torch.tensor(kept, dtype=torch.long)
        mask[row, : len(kept)] = True
    return Pieces(ids, mask, tuple(cut))


@torch.inference_mode()
def encode_pictures(backbone: Backbone, pixels: Float[Tensor, "b 1 ..."]) -> Float[Tensor, "b e"]:
    """Unit vectors of pictures of one channel in [0, 1]. Raises BackboneError without an image tower."""
    tower = backbone.image
    if tower is None:
        raise BackboneError("has no image tower", where=backbone.family)
    return torch.cat([normalize(tower(pixels[part]).float(), dim=1) for part in _parts(len(pixels))])


@torch.inference_mode()
def encode_texts(backbone: Backbone, texts: Sequence[str]) -> tuple[Float[Tensor, "b e"], tuple[int, ...]]:
    """Unit vectors of texts, and how many word pieces each lost to the tower's length. Raises BackboneError without a
    text tower."""
    tower = backbone.text
    if tower is None or backbone.tokenizer is None:
        raise BackboneError("has no text tower", where=backbone.family)
    pieces = tokenize(backbone.tokenizer, texts, tower.length)
    parts = [normalize(tower(pieces.ids[part], pieces.mask[part]).float(), dim=1) for part in _parts(len(texts))]
    return torch.cat(parts), pieces.cut


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))

"""What other people's checkpoints are tested with: weights that matter, tokenizers as theirs, and the round trip."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from small_backbones import TEXTS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from clinimm.backbone.directory import Backbone, load
from clinimm.backbone.foreign import read_checkpoint
from clinimm.backbone.transfer import export_backbone, import_backbone
from clinimm.models.towers.base import ImageTower, TextTower, Tower

Net = TypeVar("Net", bound=nn.Module)


def scrambled(net: Net, seed: int = 0) -> Net:
    """The net in eval mode, every weight and statistic random: no bias is zero and no norm the identity."""
    source = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=source) * 0.2
            value.copy_(noise.abs() + 0.5 if name.endswith("var") else noise + (0.5 if value.ndim < 2 else 0))
    return net.eval()


def imported(path: Path, family: str, out: Path, **options: object) -> Backbone:
    """The backbone that an import made, read from disk."""
    import_backbone(path, family, out, options)
    return load(out)


def image_half(backbone: Backbone) -> ImageTower:
    """The image tower that is there."""
    assert backbone.image is not None
    return backbone.image


def text_half(backbone: Backbone) -> tuple[TextTower, Tokenizer]:
    """The text tower that is there, and its tokenizer."""
    assert backbone.text is not None
    assert backbone.tokenizer is not None
    return backbone.text, backbone.tokenizer


def copied(folder: Path, to: Path, tensors: Mapping[str, Tensor] | None = None) -> Path:
    """The directory's files at `to`, with other tensors in model.safetensors if some are given."""
    shutil.copytree(folder, to)
    if tensors is not None:
        save_file(dict(tensors), to / "model.safetensors")
    return to


def assert_same_tensors(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Names, shapes, number types and every bit."""
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(_bits(found[name]), _bits(tensor)), name


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)


def assert_blocks_hold(tower: Tower, values: Tensor, outside: tuple[str, ...]) -> None:
    """That every weight lies in one of the tower's blocks, or starts with one of `outside`, and gets a gradient. Only
    a key's bias does not: it shifts all scores of a query alike, which a softmax does not feel."""
    named = dict(tower.named_parameters())
    inside = [id(weight) for block in tower.blocks() for weight in block.parameters()]
    apart = [id(weight) for name, weight in named.items() if name.startswith(outside)]
    assert sorted(inside + apart) == sorted(id(weight) for weight in named.values())
    tower(values).square().sum().backward()
    still = [name for name, weight in named.items() if weight.grad is None or not weight.grad.any()]
    tower.zero_grad()
    assert all(name.endswith(("k_proj.bias", "key.bias")) for name in still), still


def assert_round_trip(backbone: Path, source: Path, out: Path) -> None:
    """That export gives the tensors of `source`, bit for bit."""
    export_backbone(backbone, out)
    assert_same_tensors(read_checkpoint(out).tensors, read_checkpoint(source).tensors)


def byte_level_bpe(
    texts: Iterable[str] = TEXTS, *, start: str = "<|startoftext|>", end: str = "<|endoftext|>"
) -> Tokenizer:
    """A tokenizer of CLIP's kind, learned from the texts; its unknown piece is its end piece."""
    tokenizer = Tokenizer(models.BPE(unk_token=end, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=[start, end],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    ends = [(piece, tokenizer.token_to_id(piece)) for piece in (start, end)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=ends)
    return tokenizer


def unigram(texts: Iterable[str] = TEXTS) -> Tokenizer:
    """A tokenizer of SigLIP's kind, sentencepiece's unigrams, in a tokenizer.json; </s> ends and pads."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "</s>"]
    tokenizer.train_from_iterator(
        texts, trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer

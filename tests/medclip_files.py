"""Small random checkpoints under the names that MedCLIP's own code saves, and what its code computes of them."""

from pathlib import Path
from typing import Any

import torch
from small_backbones import TEXTS
from small_foreign import scrambled
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu
from transformers import BertConfig, BertModel, SwinConfig, SwinModel

from clinimm.data.words import SPECIAL

WIDTH, SIZE = 12, 32
MEAN, STD = 0.5862785803043838, 0.27950088968644304
WORDS = (*SPECIAL, *sorted({word for text in TEXTS for word in text.lower().split()}))
SWIN: dict[str, Any] = {
    "image_size": SIZE, "patch_size": 4, "embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2], "window_size": 2,
    "mlp_ratio": 2.0,
}  # fmt: skip
BERT: dict[str, Any] = {
    "vocab_size": len(WORDS), "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40,
}  # fmt: skip
LAYERS, PLANES = (3, 4, 6, 3), (4, 4, 8, 8)
_OLD = (  # transformers 5 calls it so: transformers 4 and MedCLIP so
    ("attention.relative_position_bias.relative_position_bias_table", "attention.self.relative_position_bias_table"),
    ("attention.q_proj", "attention.self.query"),
    ("attention.k_proj", "attention.self.key"),
    ("attention.v_proj", "attention.self.value"),
    ("attention.o_proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)


def swin() -> SwinModel:
    """transformers' net, whose forward MedCLIP's is."""
    return scrambled(SwinModel(SwinConfig(**SWIN)), seed=1)


def bert() -> BertModel:
    """transformers' net with the pooler that MedCLIP does not use."""
    return scrambled(BertModel(BertConfig(**BERT)), seed=2)


def old_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Swin's tensors under the names of transformers 4, with the buffers that it saved."""
    found = {}
    for name, tensor in tensors.items():
        for new, old in _OLD:
            name = name.replace(new, old)
        found[name] = tensor
        if name.endswith("relative_position_bias_table"):
            found[name.replace("bias_table", "index")] = torch.arange(16).reshape(4, 4)
    return found


def resnet() -> dict[str, Tensor]:
    """A narrow ResNet-50 under torchvision's names, its fc without bias."""
    shapes: dict[str, tuple[int, ...]] = {"conv1": (PLANES[0], 3, 7, 7), "bn1": (PLANES[0],)}
    before = PLANES[0]
    for stage, (blocks, planes) in enumerate(zip(LAYERS, PLANES, strict=True), start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            shapes |= {f"{name}.conv1": (planes, before, 1, 1), f"{name}.conv2": (planes, planes, 3, 3)}
            shapes |= {f"{name}.conv3": (4 * planes, planes, 1, 1), f"{name}.bn1": (planes,), f"{name}.bn2": (planes,)}
            shapes |= {f"{name}.bn3": (4 * planes,)}
            if block == 0:
                shapes |= {f"{name}.downsample.0": (4 * planes, before, 1, 1), f"{name}.downsample.1": (4 * planes,)}
            before = 4 * planes
    source = torch.Generator().manual_seed(3)
    found = {"fc.weight": torch.randn(WIDTH, before, generator=source)}
    for name, shape in shapes.items():
        found[f"{name}.weight"] = torch.randn(shape, generator=source) * 0.3
        if len(shape) == 1:
            found |= {f"{name}.bias": torch.randn(shape, generator=source) * 0.1}
            found |= {f"{name}.running_mean": torch.randn(shape, generator=source) * 0.1}
            found |= {f"{name}.running_var": torch.rand(shape, generator=source) + 0.5}
            found |= {f"{name}.num_batches_tracked": torch.tensor(9)}
    return found


def resnet_forward(w: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """He et al. 2016, with the stride in the middle convolution as torchvision has it."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        return batch_norm(x, mean, var, w[f"{name}.weight"], w[f"{name}.bias"])

    x = relu(norm("bn1", conv2d(pixels, w["conv1.weight"], stride=2, padding=3)))
    x = max_pool2d(x, 3, stride=2, padding=1)
    for stage, blocks in enumerate(LAYERS, start=1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            kept = x
            if block == 0:
                kept = norm(f"{name}.downsample.1", conv2d(x, w[f"{name}.downsample.0.weight"], stride=stride))
            y = relu(norm(f"{name}.bn1", conv2d(x, w[f"{name}.conv1.weight"])))
            y = relu(norm(f"{name}.bn2", conv2d(y, w[f"{name}.conv2.weight"], stride=stride, padding=1)))
            x = relu(norm(f"{name}.bn3", conv2d(y, w[f"{name}.conv3.weight"])) + kept)
    return x.mean((2, 3)) @ w["fc.weight"].T


def projection(features: int, seed: int) -> Tensor:
    """The weight of a projection head."""
    return torch.randn(WIDTH, features, generator=torch.Generator().manual_seed(seed))


def state_dict(tower: str) -> dict[str, Tensor]:
    """A whole MedCLIP with a "swin" or "resnet" image tower."""
    vision = {f"model.{name}": tensor for name, tensor in resnet().items()}
    if tower == "swin":
        vision = {f"model.{name}": tensor for name, tensor in old_names(swin().state_dict()).items()}
        vision["projection_head.weight"] = projection(16, 4)
    text = {f"model.{name}": tensor for name, tensor in bert().state_dict().items()}
    text["model.embeddings.position_ids"] = torch.arange(BERT["max_position_embeddings"])[None]
    text["projection_head.weight"] = projection(BERT["hidden_size"], 5)
    return {
        "logit_scale": torch.tensor(2.6593),
        **{f"vision_model.{name}": tensor for name, tensor in vision.items()},
        **{f"text_model.{name}": tensor for name, tensor in text.items()},
    }


@torch.no_grad()
def original_image(tower: str, pixels: Tensor) -> Tensor:
    """What MedCLIP's image tower makes of pixels (b, 1, h, w) in [0, 1]."""
    repeated = ((pixels - MEAN) / STD).repeat(1, 3, 1, 1)
    return (
        resnet_forward(resnet(), repeated)
        if tower == "resnet"
        else swin()(repeated).pooler_output @ projection(16, 4).T
    )


@torch.no_grad()
def original_text(ids: Tensor, mask: Tensor) -> Tensor:
    """What MedCLIP's text tower makes of ids and mask, both int (b, n): its mean counts padding."""
    states = bert()(ids, mask, output_hidden_states=True).hidden_states
    pooled = torch.stack([states[1], states[2], states[-1]]).permute(1, 0, 2, 3).mean(2).mean(1)
    return nn.functional.linear(pooled, projection(BERT["hidden_size"], 5))


def checkpoint(folder: Path, tower: str = "swin", **changed: Tensor | None) -> Path:
    """The state dict as pytorch_model.bin with vocab.txt beside; `changed` replaces, or with None drops, a tensor whose
    name has "__" for each dot."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = state_dict(tower) | {name.replace("__", "."): tensor for name, tensor in changed.items()}  # type: ignore[dict-item]
    torch.save({name: tensor for name, tensor in tensors.items() if tensor is not None}, folder / "pytorch_model.bin")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder / "pytorch_model.bin"

"""Films and volumes to tokens: MONAI's nets without their heads, one token per position of the last feature map."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Bool, Float
from monai.networks.nets import DenseNet, ResNet, ViT
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, avg_pool3d

from clinimm.batch import Tokens
from clinimm.choose import choose
from clinimm.errors import ConfigError
from clinimm.models.encoder import PictureEncoder


class ImageEncoder(PictureEncoder):
    """A trunk that turns (b, c, h, w[, d]) into a feature map or a sequence, and a projection to the tokens' width."""

    def __init__(self, shape: Sequence[int], trunk: nn.Module, features: int, width: int, dropout: float) -> None:
        super().__init__(shape)
        self.trunk = trunk
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, width))

    def forward(self, embedded: Float[Tensor, "b ..."], mask: Bool[Tensor, "b n"] | None) -> Tokens:
        tokens = self.project(self.trunk(embedded))
        return Tokens.of_all(tokens)


class FeatureMap(nn.Module):
    """A convolutional trunk whose last feature map is read as a sequence: (b, c, h, w[, d]) -> (b, n, features). It
    sees the mean of every `pool` pixels a side."""

    def __init__(self, layers: nn.Module, pool: int = 1) -> None:
        super().__init__()
        self.layers = layers
        self.pool = pool

    def forward(self, values: Float[Tensor, "b c ..."]) -> Float[Tensor, "b n f"]:
        if self.pool > 1:
            values = (avg_pool2d if values.ndim == 4 else avg_pool3d)(values, self.pool)
        return self.layers(values).flatten(2).transpose(1, 2)

    def parts(self) -> Iterator[nn.Module]:
        """What has weights, from input to output: a ResNet's stem and blocks, a DenseNet's dense blocks."""
        for layer in self.layers.children():
            inner = list(layer.children()) if isinstance(layer, nn.Sequential) else [layer]
            yield from (part for part in inner if next(part.parameters(), None) is not None)


class PatchSequence(nn.Module):
    """A vision transformer's last hidden states, normalized: (b, c, h, w[, d]) -> (b, n, features)."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, values: Float[Tensor, "b c ..."]) -> Float[Tensor, "b n f"]:
        return self.vit(values)[0]


def resnet(
    shape: tuple[int, ...],
    *,
    layers: Sequence[int] = (2, 2, 2, 2),
    block: str = "basic",
    planes: Sequence[int] = (64, 128, 256, 512),
    norm: str = "batch",
    max_pool: bool = True,
    bias_downsample: bool = True,
    pool: int = 1,
) -> tuple[nn.Module, int]:
    """A ResNet trunk and its number of features; `pool` makes it cheaper where only other parts of the model need the
    whole grid. Differs from MONAI's default: the first stride is 2, as in He et al.
    2016, which is four times cheaper. Weights of torchvision's layout need `bias_downsample` off."""
    net = ResNet(
        block, list(layers), list(planes), spatial_dims=len(shape) - 1, n_input_channels=shape[0], conv1_t_stride=2,
        no_max_pool=not max_pool, feed_forward=False, bias_downsample=bias_downsample,
    )  # fmt: skip
    stem = [net.conv1, net.bn1, net.act] + [net.maxpool] * max_pool
    trunk = nn.Sequential(*stem, net.layer1, net.layer2, net.layer3, net.layer4)
    expansion = 4 if block == "bottleneck" else 1
    return FeatureMap(normalized(trunk, norm), pool), planes[-1] * expansion


def densenet(
    shape: tuple[int, ...],
    *,
    layers: Sequence[int] = (6, 12, 24, 16),
    growth: int = 32,
    init_features: int = 64,
    norm: str = "batch",
) -> tuple[nn.Module, int]:
    """A DenseNet trunk (Huang et al. 2017; the defaults are DenseNet121) and its number of features."""
    net = DenseNet(
        spatial_dims=len(shape) - 1, in_channels=shape[0], out_channels=1, block_config=tuple(layers),
        growth_rate=growth, init_features=init_features,
    )  # fmt: skip
    trunk = nn.Sequential(net.features, nn.ReLU())
    return FeatureMap(normalized(trunk, norm)), net.class_layers.out.in_features


def vit(
    shape: tuple[int, ...], *, patch: int = 16, hidden: int = 768, layers: int = 12, heads: int = 12, mlp: int = 3072
) -> tuple[nn.Module, int]:
    """A vision transformer trunk (Dosovitskiy et al. 2021; the defaults are ViT-B/16) and its number of features."""
    sides = shape[1:]
    if any(side % patch for side in sides):
        raise ConfigError(
            f"size {sides} is not a multiple of patch {patch}",
            where="inputs.*.encoder.options.patch",
            mend="change patch or size",
        )
    net = ViT(
        in_channels=shape[0], img_size=sides, patch_size=patch, hidden_size=hidden, mlp_dim=mlp, num_layers=layers,
        num_heads=heads, spatial_dims=len(sides),
    )  # fmt: skip
    return PatchSequence(net), hidden


TRUNKS: dict[str, Callable[..., tuple[nn.Module, int]]] = {
    "resnet10": lambda shape, **options: resnet(shape, layers=(1, 1, 1, 1), **options),
    "resnet18": resnet,
    "resnet34": lambda shape, **options: resnet(shape, layers=(3, 4, 6, 3), **options),
    "resnet50": lambda shape, **options: resnet(shape, layers=(3, 4, 6, 3), block="bottleneck", **options),
    "resnet101": lambda shape, **options: resnet(shape, layers=(3, 4, 23, 3), block="bottleneck", **options),
    "resnet152": lambda shape, **options: resnet(shape, layers=(3, 8, 36, 3), block="bottleneck", **options),
    "densenet121": densenet,
    "vit": vit,
}


def build_image_encoder(
    name: str,
    shape: tuple[int, ...],
    width: int,
    dropout: float,
    pretrained: Path | None = None,
    **options: Any,
) -> ImageEncoder:
    """The named encoder for images of `shape` (c, h, w[, d]). `pretrained` is a safetensors file of the
    trunk's weights. Raises ConfigError for an unknown name or option, or for weights that do not fit."""
    trunk, features = build_trunk(name, shape, **options)
    if pretrained is not None:
        _load_trunk(trunk, pretrained)
    return ImageEncoder(shape, trunk, features, width, dropout)


def build_trunk(name: str, shape: tuple[int, ...], **options: Any) -> tuple[nn.Module, int]:
    """The named one of TRUNKS for (c, h, w[, d]), and its number of features. Raises ConfigError."""
    try:
        return choose(TRUNKS, name, "encoder.name")(shape, **options)
    except TypeError as error:
        raise ConfigError(f"{name} has no such option: {error}", where="encoder.options") from error


def _load_trunk(trunk: nn.Module, path: Path) -> None:
    try:
        trunk.load_state_dict(load_file(path))
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"weights do not fit: {error}", where=str(path), mend="give this trunk's own weights"
        ) from error


def normalized(trunk: nn.Module, norm: str) -> nn.Module:
    """`trunk` with its batch normalization kept ("batch") or replaced by group normalization ("group"; Wu and He 2018).

    Group normalization lets no patient's film touch another's while training, but on a few hundred films it finds no
    lesion that batch normalization finds in ten epochs."""
    if norm == "batch":
        return trunk
    if norm != "group":
        raise ConfigError(f"norm {norm!r} is not known", where="inputs.*.encoder.options.norm", mend="group or batch")
    for name, child in trunk.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.BatchNorm3d):
            channels = child.num_features
            groups = next(g for g in (8, 4, 2, 1) if channels % g == 0)
            setattr(trunk, name, nn.GroupNorm(groups, channels))
        else:
            normalized(child, norm)
    return trunk

"""DenseNet121 and ResNets under torchvision's names. torchvision is not installed: its nets are written out here, in
plain torch, from its densenet.py and resnet.py, over weights of those names."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_foreign import assert_blocks_hold, assert_round_trip, image_half, imported
from torch import Tensor
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, max_pool2d, relu

from clinimm.backbone.encode import encode_pictures
from clinimm.backbone.transfer import import_backbone
from clinimm.errors import BackboneError, ClinimmError, ConfigError

BLOCKS = (6, 12, 24, 16)  # of DenseNet121
RESNETS = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
    "resnet152": ((3, 8, 36, 3), True),
}
PLANES = (4, 4, 8, 8)
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

Weights = dict[str, Tensor]


class Drawing:
    """Random weights of convolutions and norms, by name, of about the size that keeps features near 1."""

    def __init__(self) -> None:
        self.weights: Weights = {}
        self.source = torch.Generator().manual_seed(0)

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.source)

    def conv(self, name: str, out: int, into: int, kernel: int) -> None:
        self.weights[f"{name}.weight"] = self.noise(out, into, kernel, kernel) / math.sqrt(into * kernel**2)

    def norm(self, name: str, n: int, gain: float = 1.0) -> None:
        self.weights |= {
            f"{name}.weight": gain * (1 + 0.2 * self.noise(n)),
            f"{name}.bias": 0.2 * self.noise(n),
            f"{name}.running_mean": 0.2 * self.noise(n),
            f"{name}.running_var": 1 + 0.2 * self.noise(n).abs(),
            f"{name}.num_batches_tracked": torch.tensor(7),
        }

    def linear(self, name: str, out: int, into: int) -> None:
        self.weights |= {f"{name}.weight": self.noise(out, into), f"{name}.bias": self.noise(out)}


def densenet121(channels: int = 3, growth: int = 2, first: int = 4) -> Weights:
    draw = Drawing()
    draw.conv("features.conv0", first, channels, 7)
    draw.norm("features.norm0", first)
    width = first
    for i, layers in enumerate(BLOCKS, 1):
        for j in range(1, layers + 1):
            layer = f"features.denseblock{i}.denselayer{j}."
            draw.norm(f"{layer}norm1", width)
            draw.conv(f"{layer}conv1", 4 * growth, width, 1)
            draw.norm(f"{layer}norm2", 4 * growth)
            draw.conv(f"{layer}conv2", growth, 4 * growth, 3)
            width += growth
        if i < len(BLOCKS):
            draw.norm(f"features.transition{i}.norm", width)
            draw.conv(f"features.transition{i}.conv", width // 2, width, 1)
            width //= 2
    draw.norm("features.norm5", width)
    draw.linear("classifier", 14, width)
    return draw.weights


def resnet(name: str, channels: int = 3) -> Weights:
    layers, bottleneck = RESNETS[name]
    draw = Drawing()
    draw.conv("conv1", PLANES[0], channels, 7)
    draw.norm("bn1", PLANES[0])
    width = PLANES[0]
    for n, (depth, planes) in enumerate(zip(layers, PLANES, strict=True), 1):
        out = planes * (4 if bottleneck else 1)
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        for i in range(depth):
            block, into = f"layer{n}.{i}.", width
            for k, kernel in enumerate(kernels, 1):
                last = k == len(kernels)
                draw.conv(f"{block}conv{k}", out if last else planes, into, kernel)
                draw.norm(f"{block}bn{k}", out if last else planes, 0.2 if last else 1.0)
                into = planes
            if i == 0 and (n > 1 or width != out):
                draw.conv(f"{block}downsample.0", out, width, 1)
                draw.norm(f"{block}downsample.1", out)
            width = out
    draw.linear("fc", 1000, width)
    return draw.weights


def normed(w: Weights, name: str, x: Tensor) -> Tensor:
    return batch_norm(
        x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5
    )


def densenet_features(w: Weights, x: Tensor) -> Tensor:
    """torchvision's DenseNet up to its classifier."""
    x = relu(normed(w, "features.norm0", conv2d(x, w["features.conv0.weight"], stride=2, padding=3)))
    x = max_pool2d(x, 3, 2, 1)
    for i, layers in enumerate(BLOCKS, 1):
        for j in range(1, layers + 1):
            layer = f"features.denseblock{i}.denselayer{j}."
            new = conv2d(relu(normed(w, f"{layer}norm1", x)), w[f"{layer}conv1.weight"])
            new = conv2d(relu(normed(w, f"{layer}norm2", new)), w[f"{layer}conv2.weight"], padding=1)
            x = torch.cat([x, new], 1)
        if i < len(BLOCKS):
            name = f"features.transition{i}."
            x = avg_pool2d(conv2d(relu(normed(w, f"{name}norm", x)), w[f"{name}conv.weight"]), 2)
    return relu(normed(w, "features.norm5", x)).mean((2, 3))


def resnet_features(w: Weights, x: Tensor) -> Tensor:
    """torchvision's ResNet up to its classifier; a bottleneck's stride is in its 3 x 3 convolution."""
    x = max_pool2d(relu(normed(w, "bn1", conv2d(x, w["conv1.weight"], stride=2, padding=3))), 3, 2, 1)
    for block in dict.fromkeys(
        name.rsplit(".conv", 1)[0] for name in w if name.startswith("layer") and ".conv" in name
    ):
        convs = [f"{block}.conv{k}" for k in (1, 2, 3) if f"{block}.conv{k}.weight" in w]
        stride = 2 if block.endswith(".0") and not block.startswith("layer1") else 1
        residual, out = x, x
        for k, name in enumerate(convs):
            kernel = w[f"{name}.weight"].shape[-1]
            own = stride if k == len(convs) - 2 else 1
            out = normed(w, name.replace("conv", "bn"), conv2d(out, w[f"{name}.weight"], None, own, kernel // 2))
            out = relu(out) if name != convs[-1] else out
        if f"{block}.downsample.0.weight" in w:
            residual = normed(w, f"{block}.downsample.1", conv2d(x, w[f"{block}.downsample.0.weight"], None, stride))
        x = relu(out + residual)
    return x.mean((2, 3))


def pictures(side: int = 64) -> Tensor:
    return torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(1))


def saved(path: Path, weights: Weights) -> Path:
    torch.save(weights, path)
    return path


def counted_not(weights: Weights) -> Weights:
    """As versions of torch before 0.4.1 saved it."""
    return {name: tensor for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}


def dotted(weights: Weights) -> Weights:
    """As older versions of torchvision named it."""
    changed = weights
    for part in ("norm1", "norm2", "conv1", "conv2"):
        changed = {name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}."): value for name, value in changed.items()}
    return changed


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + name: value for name, value in weights.items()}


chexnet = prefixed("module.densenet121.")  # a wrapped net, trained in parallel


@pytest.fixture(scope="module")
def dense() -> Weights:
    return densenet121()


@torch.inference_mode()
@pytest.mark.parametrize(
    "variant",
    [dict, prefixed("model."), prefixed("backbone."), lambda weights: chexnet(dotted(counted_not(weights)))],
    ids=["as_it_is", "model", "backbone", "old_parallel"],
)
def test_densenet_features_are_the_original_s_under_every_naming(
    dense: Weights, variant: Callable[[Weights], Weights], tmp_path: Path
) -> None:
    path = saved(tmp_path / "net.pth", variant(dense))
    tower = image_half(imported(path, "densenet121", tmp_path / "backbone"))
    wanted = densenet_features(dense, (pictures() - MEAN) / STD)
    torch.testing.assert_close(tower(pictures()), wanted, atol=1e-5, rtol=0)
    assert wanted.std() > 0.1
    assert_round_trip(tmp_path / "backbone", path, tmp_path / "again.pth")


@torch.inference_mode()
@pytest.mark.parametrize("name", RESNETS)
def test_resnet_features_are_the_original_s(name: str, tmp_path: Path) -> None:
    weights = resnet(name)
    path = saved(tmp_path / "net.pth", weights)
    tower = image_half(imported(path, name, tmp_path / "backbone"))
    wanted = resnet_features(weights, (pictures() - MEAN) / STD)
    torch.testing.assert_close(tower(pictures()), wanted, atol=1e-5, rtol=0)
    assert wanted.std() > 0.1
    assert_round_trip(tmp_path / "backbone", path, tmp_path / "again.pth")


@torch.inference_mode()
def test_torchxrayvision_s_net_reads_films_in_its_own_range(tmp_path: Path) -> None:
    weights = densenet121(channels=1)
    points = torch.full((14,), torch.nan)
    path = saved(tmp_path / "xrv.pt", weights | {"op_threshs": points})
    report = import_backbone(path, "densenet121", tmp_path / "backbone", {"pixels": "xrv"})
    assert sorted(report.dropped) == ["classifier.bias", "classifier.weight", "op_threshs"]
    tower = image_half(imported(path, "densenet121", tmp_path / "backbone", pixels="xrv"))
    films = (2 * pictures() - 1) * 1024
    torch.testing.assert_close(tower.standardized(pictures()), films, atol=1e-3, rtol=0)
    wanted = densenet_features(weights, tower.standardized(pictures()))
    torch.testing.assert_close(tower(pictures()), wanted, atol=1e-5, rtol=1e-5)
    assert_round_trip(tmp_path / "backbone", path, tmp_path / "again.pt")


def test_an_image_only_backbone_has_unit_vectors_and_takes_pictures_of_any_size(dense: Weights, tmp_path: Path) -> None:
    backbone = imported(saved(tmp_path / "net.pth", dense), "densenet121", tmp_path / "backbone", size=96)
    assert list(backbone.towers) == ["image"]
    assert image_half(backbone).architecture["size"] == [96, 96]
    for side in (64, 96):
        points = encode_pictures(backbone, pictures(side))
        torch.testing.assert_close(points.norm(dim=1), torch.ones(2))


def test_every_weight_lies_in_one_block_and_learns(dense: Weights, tmp_path: Path) -> None:
    for name, weights in (("densenet121", dense), ("resnet50", resnet("resnet50"))):
        tower = image_half(imported(saved(tmp_path / f"{name}.pth", weights), name, tmp_path / name))
        assert_blocks_hold(tower, pictures(128), ())  # small maps leave a narrow ReLU dead


def test_lacking_counters_are_said_and_not_invented_on_export(dense: Weights, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pth", counted_not(dense))
    report = import_backbone(path, "densenet121", tmp_path / "backbone")
    assert sorted(report.lacking) == sorted(dense.keys() - counted_not(dense).keys())


def test_all_faults_are_listed_and_nothing_is_written(dense: Weights, tmp_path: Path) -> None:
    spoilt = dense | {
        "features.norm5.bias": torch.zeros(3),
        "features.denseblock1.denselayer7.norm1.weight": torch.zeros(4),
    }
    del spoilt["features.transition2.conv.weight"], spoilt["features.denseblock3.denselayer9.conv2.weight"]
    with pytest.raises(BackboneError) as caught:
        import_backbone(saved(tmp_path / "net.pth", spoilt), "densenet121", tmp_path / "backbone")
    for fault in (
        "missing: features.transition2.conv.weight",
        "missing: features.denseblock3.denselayer9.conv2.weight",
        "features.norm5.bias: has shape (3,)",
        "unexpected: features.denseblock1.denselayer7.norm1.weight",
    ):
        assert fault in str(caught.value)
    assert not (tmp_path / "backbone").exists()


@pytest.mark.parametrize(
    ("family", "name", "shape"),
    [
        ("densenet121", "features.conv0.weight", (5, 3, 7, 7)),
        ("densenet121", "features.conv0.weight", (4, 2, 7, 7)),
        ("densenet121", "features.denseblock1.denselayer1.conv2.weight", (3, 8, 3, 3)),
        ("densenet121", "features.norm5.weight", (3,)),
        ("resnet50", "conv1.weight", (5, 3, 7, 7)),
        ("resnet50", "layer2.0.conv1.weight", (5, 16, 1, 1)),
        ("resnet50", "layer4.0.bn1.weight", (9,)),
    ],
)
def test_one_misshapen_tensor_is_named_even_where_sizes_are_read(
    dense: Weights, family: str, name: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    spoilt = (dense if family == "densenet121" else resnet(family)) | {name: torch.zeros(shape)}
    with pytest.raises(BackboneError, match=f"{re.escape(name)}:? has shape {re.escape(str(shape))}") as caught:
        import_backbone(saved(tmp_path / "net.pth", spoilt), family, tmp_path / "backbone")
    assert "key(s)" not in str(caught.value) or "1 key(s) at fault" in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "family", "options", "error", "said"),
    [
        (resnet("resnet34"), "resnet18", {}, BackboneError, r"unexpected: layer1\.2\.conv1\.weight"),
        (resnet("resnet18"), "resnet50", {}, BackboneError, r"missing: layer1\.0\.conv3\.weight"),
        (resnet("resnet18"), "densenet121", {}, BackboneError, r"has no features\.conv0\.weight"),
        ({"text.proj.0.weight": torch.zeros(2, 2)}, "resnet18", {}, BackboneError, r"has no layer1\.0\.conv1\.weight"),
        (resnet("resnet18", 1), "resnet18", {}, ConfigError, "does not say what pixels"),
        (resnet("resnet18", 1), "resnet18", {"pixels": "imagenet"}, ConfigError, "have 3 channels, the net takes 1"),
        (resnet("resnet18"), "resnet18", {"pixels": "imagnet"}, ConfigError, "did you mean 'imagenet'"),
        (resnet("resnet18"), "resnet18", {"size": "big"}, ConfigError, "size is 'big'"),
    ],
)
def test_another_net_or_option_is_refused(
    weights: Weights, family: str, options: dict[str, object], error: type[ClinimmError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        import_backbone(saved(tmp_path / "net.pth", weights), family, tmp_path / "backbone", options)
    assert not (tmp_path / "backbone").exists()


def test_two_nets_in_one_file_are_not_guessed_between(tmp_path: Path) -> None:
    two = prefixed("student.")(resnet("resnet18")) | prefixed("teacher.")(resnet("resnet18"))
    with pytest.raises(BackboneError, match="holds 2 nets"):
        import_backbone(saved(tmp_path / "net.pth", two), "resnet18", tmp_path / "backbone")

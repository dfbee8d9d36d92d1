"""DenseNet121 and ResNets under torchvision's names, in which weights for chest films circulate: image towers alone.

Widths and channels are read from the weights, the depth goes with the family. torchvision is not needed: MONAI's nets
hold the same parameters. Source of the names: torchvision's densenet.py and resnet.py, TorchXRayVision's models.py."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from clinimm.backbone.family import Family, Plan
from clinimm.backbone.foreign import Checkpoint
from clinimm.backbone.keys import Leave, Rename, Rule, shapes, usual_size
from clinimm.choose import choose
from clinimm.errors import BackboneError, ConfigError

PIXELS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "xrv": ((0.5,), (1 / 2048,)),  # TorchXRayVision's [-1024, 1024]
    "unit": ((0.0,), (1.0,)),
}
OPTIONS = {
    "pixels": 'what the net was trained on: "imagenet" (three channels; the default for them), "xrv" (-1024 to 1024, '
    'TorchXRayVision) or "unit" (0 to 1)',
    "size": "side of the pictures that the net was trained on; 224 unless given",
}
_HEAD = "it names findings, and a backbone gives features"
_POINTS = "it is of the classifier: TorchXRayVision's operating points"
_STEMS = {"densenet": "features.conv0.weight", "resnet": "layer1.0.conv1.weight"}


def _densenet(checkpoint: Checkpoint, options: Mapping[str, Any], *, name: str) -> Plan:
    prefix = _prefix(checkpoint, _STEMS["densenet"], name)
    usual = partial(usual_size, checkpoint.tensors, where=str(checkpoint.path))
    dot = "." if any(".norm.1." in key for key in checkpoint.tensors) else ""  # as older torchvision has it
    net = {
        "growth": usual(f"{prefix}features.*.*.conv{dot}2.weight", 0),
        "init_features": usual(f"{prefix}features.norm0.*", 0),
    }
    width = usual(f"{prefix}features.norm5.*", 0)
    rules: list[Rule] = [
        *_both(f"{prefix}features.*.*.norm{dot}*", "trunk.layers.0.*.*.layers.norm*"),
        *_both(f"{prefix}features.*.*.conv{dot}*", "trunk.layers.0.*.*.layers.conv*"),
        *_both(f"{prefix}features.**", "trunk.layers.0.**"),
        Leave(f"{prefix}classifier.**", _HEAD),
        Leave("op_threshs", _POINTS),
    ]
    return _image_only(name, width, _channels(checkpoint, prefix + _STEMS["densenet"]), net, rules, options)


def _resnet(checkpoint: Checkpoint, options: Mapping[str, Any], *, name: str, expansion: int) -> Plan:
    prefix = _prefix(checkpoint, _STEMS["resnet"], name)
    usual = partial(usual_size, checkpoint.tensors, where=str(checkpoint.path))
    planes = [usual(f"{prefix}layer{n}.*.bn1.*", 0) for n in range(1, 5)]
    rules: list[Rule] = [
        *_both(f"{prefix}conv1", "trunk.layers.0"),
        *_both(f"{prefix}bn1", "trunk.layers.1"),
        *(rule for n in range(1, 5) for rule in _both(f"{prefix}layer{n}.**", f"trunk.layers.{n + 3}.**")),
        Leave(f"{prefix}fc.**", _HEAD),
        Leave("op_threshs", _POINTS),
    ]
    net = {"planes": planes, "bias_downsample": False}
    return _image_only(
        name, planes[-1] * expansion, _channels(checkpoint, f"{prefix}conv1.weight"), net, rules, options
    )


def _both(there: str, here: str) -> list[Rename]:
    """A part's weights, and its count of batches seen, which torch did not keep before 0.4.1 and no forward needs."""
    counter = "num_batches_tracked"
    return [
        Rename(f"{there}.{counter}", "image", f"{here}.{counter}", optional=True),
        Rename(f"{there}.*", "image", f"{here}.*"),
    ]


def _prefix(checkpoint: Checkpoint, stem: str, name: str) -> str:
    """What stands before every name of the net, such as "model." or "backbone."."""
    found = sorted(key.removesuffix(stem) for key in checkpoint.tensors if f".{key}".endswith(f".{stem}"))
    if len(found) != 1:
        said = f"holds {len(found)} nets with a {stem}, not 1" if found else f"is no {name}: it has no {stem}"
        raise BackboneError(said, where=str(checkpoint.path), mend="name the family that the checkpoint is of")
    return found[0]


def _channels(checkpoint: Checkpoint, stem: str) -> int:
    shape = shapes(checkpoint.tensors, {stem: 4}, str(checkpoint.path))[stem]
    if shape[1] not in (1, 3):
        raise BackboneError(f"{stem} has shape {shape}, expected 1 or 3 channels", where=str(checkpoint.path))
    return shape[1]


def _image_only(
    name: str,
    width: int,
    channels: int,
    net: Mapping[str, Any],
    rules: Sequence[Rule],
    options: Mapping[str, Any],
) -> Plan:
    mean, std = _pixels(options, channels)
    side = options.get("size", 224)
    if type(side) is not int or side < 1:
        raise ConfigError(f"size is {side!r}", where="size", mend="give a whole number above 0")
    tower = {
        "name": "trunk", "trunk": name, "width": width, "size": [side, side], "channels": channels,
        "mean": list(mean), "std": list(std), "projection": "none", "options": dict(net),
    }  # fmt: skip
    return Plan({"image": tower}, rules)


def _pixels(options: Mapping[str, Any], channels: int) -> tuple[Sequence[float], Sequence[float]]:
    if "pixels" not in options and channels != 3:
        raise ConfigError(
            f"a net of {channels} channel(s) does not say what pixels it takes",
            where="pixels",
            mend='give pixels as "xrv" for TorchXRayVision\'s weights, or as "unit" for 0 to 1',
        )
    mean, std = choose(PIXELS, str(options.get("pixels", "imagenet")), "pixels")
    if len(mean) not in (1, channels):
        raise ConfigError(f"those pixels have {len(mean)} channels, the net takes {channels}", where="pixels")
    return mean, std


_TAKES = "weights under torchvision's names, also one channel wide, prefixed, or TorchXRayVision's"
TORCHVISION = (
    Family("densenet121", f"DenseNet121 {_TAKES}", partial(_densenet, name="densenet121"), OPTIONS),
    *(
        Family(name, f"{name} {_TAKES}", partial(_resnet, name=name, expansion=expansion), OPTIONS)
        for name, expansion in (("resnet18", 1), ("resnet34", 1), ("resnet50", 4), ("resnet101", 4), ("resnet152", 4))
    ),
)

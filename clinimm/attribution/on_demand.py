"""Maps by other methods, for who asks for them by name: none promises to add up over the joint path."""

from collections.abc import Sequence

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from clinimm.attribution.kept import Kept
from clinimm.attribution.methods import Effort, Explained, Maps, Voice
from clinimm.attribution.trust import agreement
from clinimm.attribution.trust.curves import random_orders
from clinimm.errors import ConfigError
from clinimm.types import Kind

ORDERS, SEED = 16, 0
"""Orders in which units are added, each walked both ways."""


def occlusion(voices: Sequence[Voice], effort: Effort) -> Explained:
    """By how much the logit falls without each unit of an input. Source: Zeiler and Fergus 2014."""
    kept = _kept(voices, effort)
    target = voices[0].question.target_index
    scores = {name: agreement.occlusion(kept, name)[:, target] for name in kept.units}
    return _of_units(kept, voices, scores)


def shapley_sampling(voices: Sequence[Voice], effort: Effort) -> Explained:
    """Shapley values of the units of each input, the others being there; they sum to what the input is worth then.

    Source: Castro et al. 2009. Differs: every order is also walked backward, which halves the variance."""
    kept = _kept(voices, effort)
    target = voices[0].question.target_index
    scores = {}
    for name, units in kept.units.items():
        gains = np.zeros(units.count)
        orders = random_orders(units.count, ORDERS, SEED)
        for order in np.concatenate([orders, orders[:, ::-1]]):
            rows = np.tri(units.count + 1, units.count, -1, dtype=bool)[:, np.argsort(order)]
            gains[order] += np.diff(kept.logits(name, rows)[:, target])
        scores[name] = gains / (2 * ORDERS)
    return _of_units(kept, voices, scores)


def grad_cam(voices: Sequence[Voice], effort: Effort) -> Explained:
    """Where the last stage of the picture encoders looks, with its sign but not in logits, and nothing of other inputs,
    whose checks therefore fail; members whose encoder has no stages have no say. Source: Selvaraju et al. 2017, by
    Captum. Differs: no ReLU.

    Raises ConfigError where no member can tell."""
    maps: Maps = {}
    told = 0
    for voice in voices:
        question = voice.question
        modalities = {modality.name: modality for modality in question.network.modalities}
        for name in question.used:
            shape, kind = modalities[name].shape, modalities[name].kind
            maps.setdefault(name, torch.zeros(shape, device=question.present.device))
            stage = _last_stage(question.network.encoders[name]) if kind is Kind.IMAGE else None
            if stage is not None:
                coarse = LayerGradCam(question.logits, stage).attribute(question.at(1.0), relu_attributions=False)
                maps[name] = maps[name] + voice.part * _fine(coarse, shape)
                told += 1
    if not told:
        raise ConfigError("no picture of this case has an encoder with stages", where="--method grad_cam")
    return Explained(maps, 1, told, None)


def _last_stage(encoder: nn.Module) -> nn.Module | None:
    """What gives the last feature map, if the encoder has one."""
    layers = getattr(getattr(encoder, "trunk", None), "layers", None)
    return list(layers.children())[-1] if isinstance(layers, nn.Sequential) else None


def _fine(coarse: Tensor, shape: tuple[int, ...]) -> Tensor:
    mode = "bilinear" if len(shape) == 3 else "trilinear"
    return LayerAttribution.interpolate(coarse, shape[1:], mode)[0].detach() / shape[0]


def _kept(voices: Sequence[Voice], effort: Effort) -> Kept:
    targets = len(voices[0].question.network.prior)
    members = [(v.question.network, torch.full((targets,), v.part, device=v.question.present.device)) for v in voices]
    return Kept(members, voices[0].question.batch, rows=effort.internal_batch_size)


def _of_units(kept: Kept, voices: Sequence[Voice], scores: dict[str, np.ndarray]) -> Explained:
    """Scores as maps: each place of a unit has the same share of it."""
    shapes = {m.name: m.shape for m in voices[0].question.network.modalities if m.name in voices[0].question.used}
    maps = {
        name: torch.from_numpy(kept.units[name].spread(scores[name])) if name in scores else torch.zeros(shape)
        for name, shape in shapes.items()
    }
    return Explained(maps, 1, kept.passes, None)

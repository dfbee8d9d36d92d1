"""The optimizer, and the learning rate of each part of a network over a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn
from torch.optim import AdamW

from clinimm.models.backbone_encoder import BackboneEncoder
from clinimm.models.network import Network

_HEADS = ("opinions", "head")
_FUSION = ("fusion", "summaries")


@dataclass(frozen=True)
class TowerRate:
    """The rate of a tower's last block; that of each block below is `decay` times that of the one above it.

    Source: layer-wise decay of Howard and Ruder 2018 (discriminative fine-tuning), as Bao et al. 2022 (BEiT) use it."""

    lr: float
    decay: float = 1.0


@dataclass(frozen=True)
class Rates:
    """Peak learning rates: of what joins the inputs, of what answers, of the towers by input, and `lr` of all else."""

    lr: float
    fusion: float | None = None
    heads: float | None = None
    towers: Mapping[str, TowerRate] = field(default_factory=dict)


def peak_rates(network: Network, rates: Rates) -> dict[nn.Parameter, float]:
    """The peak rate of each trained parameter. What stands between a tower and the fusion learns as the fusion does."""
    fusion = rates.lr if rates.fusion is None else rates.fusion
    heads = rates.lr if rates.heads is None else rates.heads
    above = dict(network.named_encoders())
    peaks = {}
    for name, weight in network.named_parameters():
        part, _, rest = name.partition(".")
        joins = part in _FUSION or isinstance(above.get(rest.partition(".")[0]), BackboneEncoder)
        peaks[weight] = heads if part in _HEADS else fusion if joins else rates.lr
    for name, encoder in network.named_encoders():
        if isinstance(encoder, BackboneEncoder):
            rate = rates.towers.get(name, TowerRate(rates.lr))
            peaks |= {weight: rate.lr * rate.decay**depth for weight, depth in encoder.adapted.depths().items()}
    return {weight: peak for weight, peak in peaks.items() if weight.requires_grad}


def encoder_of(network: Network) -> dict[nn.Parameter, str]:
    """The modality of each weight that belongs to one encoder, or sums up its tokens."""
    parts = ((name.split(".", 2), weight) for name, weight in network.named_parameters())
    return {weight: part[1] for part, weight in parts if part[0] in ("encoders", "summaries")}


def build_optimizer(
    peaks: Mapping[nn.Parameter, float], weight_decay: float, encoder: Mapping[nn.Parameter, str] | None = None
) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019) of parameters with their peak rates, which each group keeps as "peak"; biases,
    norms and other vectors are not decayed. A group holds weights of one `encoder` at most, and keeps its name."""
    grouped: dict[tuple[float, bool, str], list[nn.Parameter]] = {}
    for weight, peak in peaks.items():
        grouped.setdefault((peak, weight.ndim > 1, (encoder or {}).get(weight, "")), []).append(weight)
    groups = [
        {"params": grouped[key], "lr": key[0], "peak": key[0], "weight_decay": weight_decay * key[1], "encoder": key[2]}
        for key in sorted(grouped, reverse=True)
    ]
    return AdamW(groups)


def rate_at(step: int, steps: int, lr: float, warmup: float) -> float:
    """Learning rate: a linear rise over the first `warmup` share of the steps, then half a cosine down to lr / 100."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return lr * (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

"""Narrow nets over fixed features: each input squeezed to a unit or two, and the explicit product of the squeezes.

On a few hundred cases, wide towers overfit before an interaction is found; one unit an input cannot. g nets side by
side, p features of all inputs, m modalities, u units of each, k targets."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class NarrowNets(nn.Module):
    """So many nets at once, each with weights of its own: all they do is one batched product.

    unit_m = tanh(W_m (scale * x_m) + b_m), logit = sum over ranks of prod_m (F_m [unit_m, 1]) + sum_m v_m unit_m + c.
    Source: the low-rank fusion of Liu et al. 2018, eq. 6. Differs: each input is squeezed to `units`, and each feature
    has a learned `scale`: under weight decay the product of both is pulled towards few features (Hoff 2017, "Lasso,
    fractional norm and structured sparse estimation using a Hadamard product parametrization")."""

    def __init__(
        self, sizes: Sequence[int], nets: int, targets: int, *, units: int = 1, rank: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.sizes, self.nets, self.units, self.rank = tuple(sizes), nets, units, rank
        self.targets = targets
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.ParameterList(nn.Parameter(torch.ones(nets, 1, p)) for p in sizes)
        self.squeeze = nn.ParameterList(nn.Parameter(torch.randn(nets, p, units) / p**0.5) for p in sizes)
        self.shift = nn.ParameterList(nn.Parameter(torch.zeros(nets, 1, units)) for _ in sizes)
        self.factors = nn.ParameterList(nn.Parameter(torch.randn(nets, units + 1, rank) / 2) for _ in sizes)
        self.linear = nn.ParameterList(nn.Parameter(torch.zeros(nets, units, targets)) for _ in sizes)
        self.out = nn.Parameter(torch.randn(nets, rank, targets) * 0.3)
        self.bias = nn.Parameter(torch.zeros(nets, 1, targets))

    def squeezed(self, x: Float[Tensor, "g b p"]) -> list[Float[Tensor, "g b u"]]:
        """The units of each modality."""
        parts = self.dropout(x).split(self.sizes, dim=2)
        return [
            torch.tanh((part * scale) @ weights + shift)
            for part, scale, weights, shift in zip(parts, self.scale, self.squeeze, self.shift, strict=True)
        ]

    def forward(self, units: Sequence[Float[Tensor, "g b u"]]) -> Float[Tensor, "g b k"]:
        """The logits of each net from the units of each modality."""
        product = torch.ones_like(units[0][..., :1])
        for unit, factors in zip(units, self.factors, strict=True):
            product = product * (torch.cat([unit, torch.ones_like(unit[..., :1])], dim=-1) @ factors)
        linear = torch.stack([unit @ weights for unit, weights in zip(units, self.linear, strict=True)]).sum(0)
        return product @ self.out + linear + self.bias

    @staticmethod
    def together(parts: Sequence["NarrowNets"]) -> "NarrowNets":
        """All the nets of `parts`, which are alike in all but their number, side by side."""
        first = parts[0]
        total = sum(part.nets for part in parts)
        joined = NarrowNets(
            first.sizes, total, first.targets, units=first.units, rank=first.rank, dropout=first.dropout.p
        )
        states = [part.state_dict() for part in parts]
        joined.load_state_dict({name: torch.cat([state[name] for state in states]) for name in states[0]})
        return joined

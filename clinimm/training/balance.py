"""Keeps an input that learns fast from starving the others: its encoder's learning rate falls while it leads.

rho_m = s_m / mean of the other s_k;  k_m = 1 - tanh(alpha * relu(rho_m - 1));  s_m is a running mean of the
probability that the head of input m gives to the true answer.

Source: Peng et al. 2022, OGM-GE, eq. 5-6, for more than two inputs. Differs: it scales the gradient, which Adam divides
out again; we scale the rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

_KEPT = 0.95  # of the running mean, a step


@dataclass
class Balance:
    """`scores` are the s_m of the inputs that were heard so far; with `alpha` 0 the rates stay as they are."""

    names: Sequence[str]
    alpha: float
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def resumed(cls, names: Sequence[str], alpha: float, figures: Mapping[str, float]) -> "Balance":
        """Goes on from the figures of the last epoch, if there is one."""
        return cls(names, alpha, {name: figures[f"score_{name}"] for name in names if f"score_{name}" in figures})

    def hear(self, belief: Float[Tensor, "s m"]) -> None:
        """Takes in a step: for each input, the sum of probabilities given to the truth, and how many."""
        for name, (total, count) in zip(self.names, belief.T.tolist(), strict=True):
            if count:
                before = self.scores.get(name, total / count)
                self.scores[name] = _KEPT * before + (1 - _KEPT) * total / count

    def ratio(self, name: str) -> float:
        """rho of an input; 1 while it or the others are unheard."""
        others = [score for other, score in self.scores.items() if other != name]
        return self.scores[name] / float(np.mean(others)) if others and name in self.scores else 1.0

    def factor(self, name: str) -> float:
        """k of an input, by which its encoder's rate is multiplied; 1 for what is no encoder."""
        return 1.0 - float(np.tanh(self.alpha * max(0.0, self.ratio(name) - 1)))

    def figures(self) -> dict[str, float]:
        """What is told of an epoch."""
        told = {f"score_{name}": score for name, score in self.scores.items()}
        return told | {f"imbalance_{name}": self.ratio(name) for name in self.scores}


def belief(
    unimodal: Float[Tensor, "b m k"],
    targets: Float[Tensor, "b k"],
    known: Bool[Tensor, "b k"],
    present: Bool[Tensor, "b m"],
) -> Float[Tensor, "s m"]:
    """Two rows: the sum, over cases and known targets, of the probability that each input's head gives to the truth,
    and over how many."""
    truth = torch.sigmoid(unimodal.detach().float() * (2 * targets[:, None] - 1))
    counted = (present[..., None] & known[:, None]).float()
    return torch.stack([(truth * counted).sum((0, 2)), counted.sum((0, 2))])

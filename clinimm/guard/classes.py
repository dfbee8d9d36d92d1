"""A linear classifier of valid pictures against each kind of wrong ones. n rows, d coordinates, k kinds.

Multinomial logistic regression with a ridge, every kind weighing as much as its rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

VALID = "valid"  # always the first kind


@dataclass(frozen=True)
class Classes:
    kinds: tuple[str, ...]
    weight: Float[Tensor, "d k"]
    bias: Float[Tensor, " k"]

    @staticmethod
    def fit(rows: Float[Tensor, "n d"], labels: Int[Tensor, " n"], kinds: Sequence[str], ridge: float) -> "Classes":
        """The one minimum of the mean cross-entropy plus `ridge` times the squared weights, by L-BFGS."""
        weight = torch.zeros(rows.shape[1], len(kinds), dtype=rows.dtype, requires_grad=True)
        bias = torch.zeros(len(kinds), dtype=rows.dtype, requires_grad=True)
        optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, history_size=10, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = cross_entropy(rows @ weight + bias, labels) + ridge * weight.square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        return Classes(tuple(kinds), weight.detach(), bias.detach())

    def log_probabilities(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        return log_softmax(rows @ self.weight + self.bias, dim=1)


def odds(log_probabilities: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Log odds that a picture is of any kind but the valid one."""
    return log_probabilities[:, 1:].logsumexp(1) - log_probabilities[:, 0]

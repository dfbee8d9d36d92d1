"""How far a vector lies from the bulk of its kind: probabilistic principal components. n rows, f features, d kept.

Source: Tipping & Bishop 1999, Probabilistic Principal Component Analysis: the distance is Mahalanobis' under the
covariance whose d largest variances are kept and whose others are set to their mean."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_CUT = 8.0  # standardized features beyond it say nothing more
_ARRAYS = ("mean", "axes", "variances", "rest")
_FLOOR = 1e-2  # the least standard deviation of a feature: what never varied in training may vary a little


@dataclass(frozen=True)
class Standard:
    """Features by the mean and standard deviation of valid ones, cut at eight of them."""

    mean: Float[Tensor, " f"]
    scale: Float[Tensor, " f"]

    @staticmethod
    def fit(rows: Float[Tensor, "n f"]) -> "Standard":
        return Standard(rows.mean(0), rows.std(0) + _FLOOR)

    def __call__(self, rows: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        return ((rows - self.mean) / self.scale).clamp(-_CUT, _CUT)


@dataclass(frozen=True)
class Subspace:
    """`axes` are the d main directions, `variances` theirs; `rest` is the variance of every other direction."""

    mean: Float[Tensor, " f"]
    axes: Float[Tensor, "f d"]
    variances: Float[Tensor, " d"]
    rest: Float[Tensor, ""]

    @staticmethod
    def fit(rows: Float[Tensor, "n f"], dimensions: int) -> "Subspace":
        """Of at most `dimensions` directions, fewer where there are few rows."""
        mean = rows.mean(0)
        kept = max(1, min(dimensions, len(rows) // 3, rows.shape[1] - 1))
        axes, variances, total = _main_directions((rows - mean).double(), kept)
        rest = ((total - variances.sum()) / (rows.shape[1] - kept)).clamp(min=1e-6)
        return Subspace(mean, axes.to(rows), variances.clamp(min=rest).to(rows), rest.to(rows))

    def coordinates(self, rows: Float[Tensor, "n f"]) -> Float[Tensor, "n d"]:
        return (rows - self.mean) @ self.axes

    def whitened(self, rows: Float[Tensor, "n f"]) -> Float[Tensor, "n d"]:
        """Coordinates of about unit variance; the small ones less, for they are noise."""
        return self.coordinates(rows) / (self.variances + 0.1 * self.variances.mean()).sqrt()

    def distance(self, rows: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """Logarithm of the squared Mahalanobis distance over the number of features: about 0 for the usual."""
        along = self.coordinates(rows).square()
        beside = ((rows - self.mean).square().sum(1) - along.sum(1)).clamp(min=0)
        return (((along / self.variances).sum(1) + beside / self.rest) / rows.shape[1] + 1e-6).log()

    def state(self, name: str) -> dict[str, Tensor]:
        """Its arrays, each under the name and a part of its own."""
        return {f"{name}.{part}": getattr(self, part) for part in _ARRAYS}

    @staticmethod
    def restore(name: str, state: Mapping[str, Tensor]) -> "Subspace":
        return Subspace(*(state[f"{name}.{part}"] for part in _ARRAYS))


def _main_directions(
    centered: Float[Tensor, "n f"], kept: int
) -> tuple[Float[Tensor, "f d"], Float[Tensor, " d"], Float[Tensor, ""]]:
    """The directions of the most variance, their variances, and the variance of all; by way of the rows' products
    where there are fewer rows than features."""
    n = max(1, len(centered) - 1)
    if len(centered) < centered.shape[1]:
        values, left = torch.linalg.eigh(centered @ centered.T / n)
        values, left = values.flip(0)[:kept].clamp(min=1e-12), left.flip(1)[:, :kept]
        axes = centered.T @ left / (values * n).sqrt()
    else:
        values, right = torch.linalg.eigh(centered.T @ centered / n)
        values, axes = values.flip(0)[:kept].clamp(min=0), right.flip(1)[:, :kept]
    return axes.contiguous(), values, centered.square().sum() / n

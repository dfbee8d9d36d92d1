"""The guard of a panel of values: how usual is it, given which of them are known? b panels, f analytes.

A Gaussian over all analytes, from panels of which each knows some: a panel's distance is taken under the marginal of
what it knows, so that what is missing says nothing. Source: Dempster, Laird & Rubin 1977 (EM); Little & Rubin 2019,
Statistical Analysis with Missing Data, ch. 11; Wilson & Hilferty 1931 for chi-squared of any number of values on one
scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.guard.judgement import Judgement, Thresholds

UNUSUAL = "unusual_values"
FEWEST = 16
_ROUNDS = 15
_MOST_ROWS = 4000  # panels to fit on: more change little
_CHUNK = 256


@dataclass(frozen=True)
class Gaussian:
    """`covariance` is shrunken towards its diagonal, the more so the fewer panels there were."""

    mean: Float[Tensor, " f"]
    covariance: Float[Tensor, "f f"]

    @staticmethod
    def fit(values: Float[Tensor, "n f"], known: Bool[Tensor, "n f"]) -> "Gaussian":
        """By expectation maximization; an analyte that no panel knows has mean 0 and variance 1."""
        values, known = values[:_MOST_ROWS].double(), known[:_MOST_ROWS]
        seen = known.sum(0)
        mean = (values * known).sum(0) / seen.clamp(min=1)
        squares = ((values - mean).square() * known).sum(0)
        found = Gaussian(mean, torch.diag((squares + 1) / (seen + 1)))
        for _ in range(_ROUNDS):
            found = found._better(values, known)
        return found

    def _better(self, values: Float[Tensor, "n f"], known: Bool[Tensor, "n f"]) -> "Gaussian":
        """One round of EM, with a prior of as many panels as there are analytes that holds the diagonal."""
        n, f = values.shape
        filled, spread = torch.empty_like(values), torch.zeros_like(self.covariance)
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            gain = self.covariance * known[rows, None, :] @ self._precision(known[rows])
            filled[rows] = self.mean + (gain @ (known[rows] * (values[rows] - self.mean))[..., None])[..., 0]
            spread += (self.covariance - gain @ (self.covariance * known[rows, :, None])).sum(0)
        mean = filled.mean(0)
        centered = filled - mean
        scatter = centered.T @ centered + spread
        diagonal = torch.diag(scatter.diagonal()) / n
        return Gaussian(mean, (scatter + f * diagonal + 1e-3 * torch.eye(f).to(scatter)) / (n + f))

    def _precision(self, known: Bool[Tensor, "b f"]) -> Float[Tensor, "b f f"]:
        """The inverse of the known part of the covariance, 0 where something is not known."""
        both = known[:, :, None] & known[:, None, :]
        part = torch.where(both, self.covariance, torch.diag_embed((~known).to(self.covariance)))
        return torch.linalg.inv(part) * both

    def oddness(self, values: Float[Tensor, "b f"], known: Bool[Tensor, "b f"]) -> Float[Tensor, " b"]:
        """The squared distance of what is known, as a standard normal deviate; 0 where nothing is."""
        centered = known * (values.double() - self.mean)
        squared = torch.einsum("bf,bfg,bg->b", centered, self._precision(known), centered).clamp(min=0)
        count = known.sum(1).clamp(min=1)
        variance = 2 / (9 * count)
        deviate = ((squared / count) ** (1 / 3) - (1 - variance)) / variance.sqrt()
        return torch.where(known.any(1), deviate, 0.0)

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "covariance": self.covariance}

    @staticmethod
    def restore(state: Mapping[str, Tensor]) -> "Gaussian":
        return Gaussian(state["mean"], state["covariance"])


@dataclass(frozen=True)
class PanelGuard:
    gaussian: Gaussian
    thresholds: Thresholds

    @staticmethod
    def fit(
        values: Float[Tensor, "b f"], known: Bool[Tensor, "b f"], folds: Int[Tensor, " b"], *, flags: float
    ) -> "PanelGuard | None":
        """Flags at most a share `flags` of valid panels; None with fewer than 16. Each panel is judged once by a
        Gaussian that saw none of its fold."""
        if len(values) < FEWEST or len(folds.unique()) < 2:
            return None
        scores = torch.zeros(len(values), dtype=torch.float64)
        for fold in folds.unique():
            others, own = folds != fold, folds == fold
            scores[own] = Gaussian.fit(values[others], known[others]).oddness(values[own], known[own])
        return PanelGuard(Gaussian.fit(values, known), Thresholds.fit(scores, flags, None))

    def judge(self, values: Float[Tensor, "b f"], known: Bool[Tensor, "b f"]) -> tuple[Judgement, ...]:
        scores = self.gaussian.oddness(values.detach().cpu(), known.cpu())
        return tuple(self.thresholds.judge(score, (UNUSUAL,)) for score in scores.tolist())

    def state(self) -> dict[str, Tensor]:
        return {**self.gaussian.state(), "references": self.thresholds.references}

    def record(self) -> dict[str, Any]:
        return self.thresholds.record()

    @staticmethod
    def restore(state: Mapping[str, Tensor], record: Mapping[str, Any]) -> "PanelGuard":
        return PanelGuard(Gaussian.restore(state), Thresholds.restore(state["references"], record))

"""What the missing features of a case most likely are, given those that are known: a joint Gaussian.

It is fitted on cases that lack some of them, by expectation and maximization (Little and Rubin, "Statistical Analysis
with Missing Data", ch. 8.2, 11), under the assumption that what is missing depends on what is known. p features."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_ROUNDS = 12
_ROWS = 256  # systems of equations solved at once


class Completion(nn.Module):
    """`mean` and `covariance` of the features, in units in which each has variance 1 among the training cases (`scale`
    in the features' own). Covariances between features are shrunk towards 0 by `prior` cases' worth of evidence."""

    mean: Float[Tensor, " p"]
    scale: Float[Tensor, " p"]
    covariance: Float[Tensor, "p p"]

    def __init__(self, features: int, prior: float = 20.0) -> None:
        super().__init__()
        self.prior = prior
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("covariance", torch.eye(features))

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "n p"], known: Bool[Tensor, "n p"]) -> None:
        """Takes mean and covariance from cases; a feature that no case has keeps mean 0 and variance 1."""
        count = known.sum(0).clamp_min(1)
        mean = torch.where(known, values, 0.0).sum(0) / count
        spread = torch.where(known, values - mean, 0.0).square().sum(0) / count
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(spread > 1e-12, spread, torch.ones_like(spread)).sqrt())
        self.covariance.copy_(torch.eye(len(mean)))
        rows = torch.where(known, (values - self.mean) / self.scale, 0.0)
        pairs = known.T.to(rows.dtype) @ known.to(rows.dtype)  # in how many cases both of a pair are known
        for _ in range(_ROUNDS):
            self.covariance.copy_(self._maximized(rows, known, pairs))

    def _maximized(
        self, rows: Float[Tensor, "n p"], known: Bool[Tensor, "n p"], pairs: Float[Tensor, "p p"]
    ) -> Float[Tensor, "p p"]:
        total = torch.zeros_like(self.covariance)
        for part, seen in zip(rows.split(_ROWS), known.split(_ROWS), strict=True):
            gain = self.gain(seen)
            filled = torch.where(seen, part, torch.einsum("bpq,bq->bp", gain, part))
            left = (self.covariance - gain @ self.covariance).sum(0)
            total += filled.T @ filled + left
        sample = total / len(rows)
        shrunk = sample * (pairs / (pairs + self.prior))
        deviations = sample.diagonal().clamp_min(1e-6).sqrt()
        shrunk.fill_diagonal_(0.0)
        correlations = shrunk / deviations.outer(deviations) + torch.eye(len(sample))
        return _positive(correlations)

    def gain(self, known: Bool[Tensor, "b p"]) -> Float[Tensor, "b p p"]:
        """Maps known features (0 where unknown), in units of `scale` about the mean, to what all most likely are."""
        mask = known.to(self.covariance.dtype)
        system = mask[:, :, None] * self.covariance * mask[:, None, :] + torch.diag_embed(1 - mask)
        solved = torch.linalg.solve(system.double(), (mask[:, :, None] * self.covariance).double())
        return solved.transpose(1, 2).to(mask.dtype) * mask[:, None, :]

    def forward(self, values: Float[Tensor, "b p"], known: Bool[Tensor, "b p"]) -> Float[Tensor, "b p"]:
        """The features, each unknown one at its expected value given the known; in units of `scale` about the mean.
        What stands at an unknown place of `values` has no effect."""
        rows = torch.where(known, (values - self.mean) / self.scale, 0.0)
        with torch.no_grad():
            patterns, which = known.unique(dim=0, return_inverse=True)
            gains = self.gain(patterns)
        return torch.where(known, rows, torch.einsum("bpq,bq->bp", gains[which], rows))

    @torch.no_grad()
    def draws(
        self, values: Float[Tensor, "b p"], known: Bool[Tensor, "b p"], n: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "d b p"]:
        """`n` draws of the unknown features given the known, in units of `scale` about the mean. By a `generator` of
        the CPU or, without, by torch's own."""
        expected = self.forward(values, known)
        noise = torch.linalg.cholesky(self.covariance.double()).float()
        whole = torch.randn(n, *values.shape, generator=generator).to(noise) @ noise.T
        # Matheron's rule: a draw of all, moved by what its known part says of its unknown one.
        moved = whole - torch.einsum("bpq,dbq->dbp", self.gain(known), torch.where(known, whole, 0.0))
        return torch.where(known, expected, expected + moved)


def _positive(correlations: Float[Tensor, "p p"]) -> Float[Tensor, "p p"]:
    """The nearest correlations whose least eigenvalue is no less than 1e-3."""
    values, vectors = torch.linalg.eigh(correlations.double())
    mended = (vectors * values.clamp_min(1e-3)) @ vectors.T
    deviations = mended.diagonal().sqrt()
    return (mended / deviations.outer(deviations)).to(correlations.dtype)

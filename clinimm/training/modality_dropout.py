"""Which inputs to hide from the fusion at each step, so that it keeps working when one is missing."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """Nothing is hidden for the first `quiet` share of the steps; the probability then rises to `p` at `ramp`.

    Source: the curriculum of ShaSpec (Wang et al. 2023), as shares of the run."""

    p: float
    quiet: float
    ramp: float

    def at(self, progress: float) -> float:
        """Probability that a case has inputs hidden, at a share of the run in [0, 1]."""
        if progress < self.quiet:
            return 0.0
        return self.p * min(1.0, (progress - self.quiet) / max(self.ramp - self.quiet, 1e-9))


def draw_kept(
    present: Bool[Tensor, "b m"],
    probability: float,
    observed: float,
    patterns: Bool[Tensor, "n m"],
    generator: torch.Generator,
) -> Bool[Tensor, "b m"]:
    """The inputs each case keeps: all that it has, or with `probability` a part, but never nothing.

    A part is, with probability `observed`, what a random training case has (`patterns`), else a uniformly random
    non-empty set; either meets what is present, and where they share nothing the case keeps all."""
    n, m = present.shape
    drawn = torch.rand(n, 3, generator=generator)
    uniform = _non_empty_subsets(m)[(drawn[:, 0] * (2**m - 1)).long()]
    seen = patterns[(drawn[:, 1] * len(patterns)).long()]
    real = torch.rand(n, generator=generator) < observed
    part = torch.where(real[:, None], seen, uniform) & present
    hide = (drawn[:, 2] < probability) & part.any(1)
    return torch.where(hide[:, None], part, present)


def _non_empty_subsets(m: int) -> Bool[Tensor, "s m"]:
    codes = torch.arange(1, 2**m)
    return (codes[:, None] >> torch.arange(m)) & 1 == 1

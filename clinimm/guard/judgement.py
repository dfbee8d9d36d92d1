"""What the guard says of one input, and how its thresholds follow from valid inputs. n references."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.types import rounded


class Verdict(StrEnum):
    """Flagged inputs are used and said to be odd; blocked ones are not used."""

    OK = "ok"
    FLAG = "flag"
    BLOCK = "block"


@dataclass(frozen=True)
class Judgement:
    """`score` grows with oddness; `percentile` is the share of the valid references that are less odd, in percent.
    `reasons` are codes, the likeliest first, and empty where the verdict is OK."""

    score: float
    percentile: float
    verdict: Verdict
    reasons: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        return {
            "score": rounded(self.score),
            "percentile": round(self.percentile, 1),
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True)
class Thresholds:
    """`references` are the scores, in rising order, of valid inputs that the guard had not been fitted on."""

    references: Float[Tensor, " n"]
    flag: float
    block: float

    @staticmethod
    def fit(scores: Float[Tensor, " n"], flags: float, blocks: float | None) -> "Thresholds":
        """A new valid input is flagged or blocked with a chance of at most `flags`, and blocked with at most `blocks`
        (None: never). See `level`."""
        references = scores.sort().values
        block = math.inf if blocks is None else level(references, blocks)
        return Thresholds(references, min(level(references, flags), block), block)

    def record(self) -> dict[str, Any]:
        """The levels; None where nothing is blocked."""
        return {"flag": self.flag, "block": None if math.isinf(self.block) else self.block}

    @staticmethod
    def restore(references: Float[Tensor, " n"], record: Mapping[str, Any]) -> "Thresholds":
        block = math.inf if record["block"] is None else float(record["block"])
        return Thresholds(references, float(record["flag"]), block)

    def judge(self, score: float, reasons: tuple[str, ...]) -> Judgement:
        """Not a number counts as infinitely odd."""
        score = math.inf if math.isnan(score) else score
        below = int(torch.searchsorted(self.references, torch.tensor(score, dtype=self.references.dtype)))
        percentile = 100 * below / max(1, len(self.references))
        verdict = Verdict.BLOCK if score > self.block else Verdict.FLAG if score > self.flag else Verdict.OK
        return Judgement(min(score, 1e9), percentile, verdict, reasons if verdict is not Verdict.OK else ())


@dataclass(frozen=True)
class Scale:
    """Scores of different kinds made comparable: 0 at the median of the valid, 1 at their 95th percentile, and never
    under -1, so that no score can make up for another by much."""

    middle: Float[Tensor, " s"]
    reach: Float[Tensor, " s"]

    @staticmethod
    def fit(raw: Float[Tensor, "n s"]) -> "Scale":
        middle = raw.median(dim=0).values
        return Scale(middle, (raw.quantile(0.95, dim=0) - middle).clamp(min=1e-3))

    def __call__(self, raw: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return ((raw - self.middle) / self.reach).clamp(min=-1)

    def state(self) -> dict[str, Tensor]:
        return {"middle": self.middle, "reach": self.reach}

    @staticmethod
    def restore(state: Mapping[str, Tensor]) -> "Scale":
        return Scale(state["middle"], state["reach"])


def level(references: Float[Tensor, " n"], rate: float) -> float:
    """The score that a new valid input exceeds with a chance of at most `rate`; `references` rise.

    With n references that is the ceil((n + 1)(1 - rate))-th. Too few for it, and the level lies as far beyond the
    oddest of them as that lies from the middle. Source: Vovk et al. 2005, Algorithmic Learning in a Random World, ch.
    2: exchangeable scores have uniform ranks."""
    n = len(references)
    rank = math.ceil((n + 1) * (1 - rate) - 1e-9)
    if rank <= n:
        return float(references[rank - 1])
    return float(2 * references[-1] - references[n // 2])

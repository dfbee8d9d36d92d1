"""Whether two inputs of a case speak against each other more than inputs of one patient do. n cases, k targets.

Each input alone gives a calibrated probability. Read as an opinion, with belief in no and in yes and a rest of doubt,
two of them have a conflict in [0, 1]: the belief that they put on opposite answers. How much of that is normal for this
pair of inputs is told by the cases that the model was calibrated on; a case whose largest conflict is rarer than that
has perhaps been given another patient's film. Measured on planted swaps in benchmarks/swapped_inputs.py, against the
difference of logits, standardized or not, the Mahalanobis distance, and likelihood ratios: it finds most swaps.

Source of opinion and conflict: Jøsang 2016, Subjective Logic; Han et al. 2021, Trusted multi-view classification, eq. 5
and 7, whose evidence is a softplus of a logit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.special import logit

from clinimm.errors import ArtifactError
from clinimm.scores import Scores
from clinimm.types import Disagreement

KEPT = 500  # of the most extreme calibration cases: beyond them nothing is told apart
SMALLEST = 1e-12

Probabilities: TypeAlias = Mapping[str, Float[np.ndarray, "n k"]]
Opinions: TypeAlias = Float[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Tail:
    """The smallest of `cases` numbers, ascending; of the others only their count is known."""

    cases: int
    values: tuple[float, ...]

    @staticmethod
    def of(values: np.ndarray) -> "Tail":
        return Tail(len(values), tuple(float(f"{value:.9g}") for value in np.sort(values)[:KEPT]))

    def chance(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Of a number as small or smaller, the new one counted among the old."""
        rounded = np.array([float(f"{value:.9g}") for value in values])
        return np.asarray((1 + np.searchsorted(self.values, rounded, side="right")) / (self.cases + 1))


@dataclass(frozen=True)
class Disagreements:
    """`pairs` holds agreement (less the conflict) of calibration cases for each target and pair of inputs, joined by
    "+"; `rarest` the rarity of each case's rarest pair, all its pairs and targets counted."""

    pairs: dict[str, dict[str, Tail]]
    rarest: Tail

    @staticmethod
    def fit(scores: Scores, probabilities: Probabilities) -> "Disagreements":
        """From cases that the model was not trained on, labeled or not; `probabilities` are calibrated, for every
        subset of `scores`, of which only the single inputs are used."""
        has = {name: scores.present[:, i] for i, name in enumerate(scores.modalities)}
        pairs: dict[str, dict[str, Tail]] = {name: {} for name in scores.target_names}
        for a, b in combinations(scores.modalities, 2):
            rows = has[a] & has[b]
            for j, target in enumerate(scores.target_names):
                found = conflict(opinions(probabilities[a][rows, j]), opinions(probabilities[b][rows, j]))
                pairs[target][f"{a}+{b}"] = Tail.of(-found)
        once = Disagreements(pairs, Tail(0, ()))
        rows = scores.present.sum(axis=1) >= 2
        singles = [
            {name: probabilities[name][i] for name in scores.modalities if has[name][i]} for i in np.flatnonzero(rows)
        ]
        return Disagreements(pairs, Tail.of(np.array([once._rarest(single)[0] for single in singles])))

    def judge(self, singles: Mapping[str, Float[np.ndarray, " k"]]) -> Disagreement | None:
        """The worst disagreement between the inputs of a case, from the calibrated probabilities that each gives alone;
        None for a case of one input, or a pair that no calibration case had."""
        rarity, found = self._rarest(singles)
        if found is None:
            return None
        return Disagreement(
            found.inputs, found.target, found.conflict, float(self.rarest.chance(np.array([rarity]))[0])
        )

    def record(self) -> dict[str, Any]:
        """As plain JSON types. The order of the targets is told apart: that of a JSON object's names means nothing."""
        return asdict(self) | {"order": list(self.pairs)}

    @staticmethod
    def from_record(values: Any) -> "Disagreements":
        """What `record` told, to the last bit. Raises ArtifactError."""
        try:
            pairs = {
                target: {pair: _tail(tail) for pair, tail in values["pairs"][target].items()}
                for target in values["order"]
            }
            return Disagreements(pairs, _tail(values["rarest"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError("the disagreements cannot be read", mend="train the model again") from error

    def _rarest(self, singles: Mapping[str, np.ndarray]) -> tuple[float, Disagreement | None]:
        """The smallest chance over pairs and targets, times their number (Bonferroni), and whose it is."""
        found = []
        for j, (target, tails) in enumerate(self.pairs.items()):
            for a, b in combinations(singles, 2):
                tail = tails.get(f"{a}+{b}")
                if tail is not None and tail.cases:
                    much = conflict(opinions(singles[a][j : j + 1]), opinions(singles[b][j : j + 1]))
                    found.append(Disagreement((a, b), target, float(much[0]), float(tail.chance(-much)[0])))
        if not found:
            return 1.0, None
        worst = min(found, key=lambda one: (one.chance, -one.conflict))
        return len(found) * worst.chance, worst


def opinions(probabilities: Float[np.ndarray, " n"]) -> Opinions:
    """Belief in no and in yes; what is missing to 1 is doubt. At one half most is doubt."""
    odds = logit(np.clip(probabilities, SMALLEST, 1 - SMALLEST))
    evidence = np.logaddexp(0, np.stack([-odds, odds], axis=1))
    return np.asarray(evidence / (evidence.sum(axis=1, keepdims=True) + 2))


def conflict(first: Opinions, second: Opinions) -> Float[np.ndarray, " n"]:
    """The belief that two opinions put on opposite answers: 0 when one of them is all doubt."""
    return np.asarray(first[:, 0] * second[:, 1] + first[:, 1] * second[:, 0])


def _tail(values: Mapping[str, Any]) -> Tail:
    return Tail(int(values["cases"]), tuple(float(number) for number in values["values"]))

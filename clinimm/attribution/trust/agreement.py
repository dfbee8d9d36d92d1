"""Do the map's numbers say what happens, does another method say the same, and does the gate agree with the answer?"""

from collections.abc import Mapping

import numpy as np
import torch
from captum.metrics import infidelity
from jaxtyping import Bool, Float
from scipy.stats import spearmanr
from torch import Tensor

from clinimm.attribution.kept import Kept


def unexplained(
    kept: Kept, name: str, scores: Float[np.ndarray, " u"], target: int, removed: Bool[np.ndarray, "r u"]
) -> float:
    """The share, in [0, 1], of the changes under these removals that the map's scores do not foretell: 0 if they are in
    proportion, 1 if a map of zeros does as well.

    Source: infidelity (Yeh et al. 2019, by Captum, scaled as there), with subsets of units taken away as the
    perturbation; over the infidelity of a map of zeros, which makes it free of the answer's size."""
    given = torch.from_numpy(np.stack([scores, np.zeros_like(scores)]))
    masks = torch.from_numpy(removed).to(given.dtype).repeat(2, 1)  # Captum repeats each of the two maps r times

    def answer(rows: Float[Tensor, "r u"]) -> Float[Tensor, " r"]:
        return torch.from_numpy(kept.logits(name, rows.numpy() > 0.5)[:, target])

    def remove(rows: Float[Tensor, "r u"]) -> tuple[Tensor, Tensor]:
        return masks, rows - masks

    ours, zeros = infidelity(
        answer, remove, torch.ones_like(given), given, n_perturb_samples=len(removed), normalize=True
    ).tolist()
    return float(np.clip(ours / zeros, 0.0, 1.0)) if zeros else 0.0


def occlusion(kept: Kept, name: str) -> Float[np.ndarray, "u k"]:
    """By how much the logit of each target falls when one unit is taken away. Source: Zeiler and Fergus 2014."""
    without = ~np.eye(kept.units[name].count, dtype=bool)
    return kept.whole(name) - kept.logits(name, without)


def rank_distance(first: Float[np.ndarray, " u"], second: Float[np.ndarray, " u"]) -> float:
    """1 minus Spearman's rank correlation: 0 for the same order, 1 for none in common, 2 for the opposite. 0 where
    there is no order to compare."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return 1.0 - float(spearmanr(first, second).statistic)


def gate_distance(weights: Mapping[str, float], shapley: Mapping[str, float]) -> float:
    """How much of the gate's weight lies on other inputs than the answer came from, in [0, 1]: the total variation
    distance between the weights and the shares of |Shapley value|; 0 where no input moved the answer.

    A gate may rightly heed an input that then says nothing new, so that only a large distance tells."""
    sizes = {name: abs(value) for name, value in shapley.items()}
    whole = sum(sizes.values())
    if not whole:
        return 0.0
    return sum(abs(weights.get(name, 0.0) - size / whole) for name, size in sizes.items()) / 2

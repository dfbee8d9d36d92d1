"""How well a model orders cases of one site: what it owes to knowing the site does not count.

n cases, r resamples."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Shaped

from clinimm import metrics
from clinimm.bootstrap import Values, Weights

FEWEST = 20  # cases of a site that is judged by itself


def sites_of(sites: Shaped[np.ndarray, " n"], labels: Bool[np.ndarray, " n"]) -> list[str]:
    """The sites with at least 20 cases and both labels, the largest first."""
    found = {str(site): labels[sites == site] for site in sorted(set(sites) - {""})}
    judged = [site for site, own in found.items() if len(own) >= FEWEST and len(np.unique(own)) == 2]
    return sorted(judged, key=lambda site: -len(found[site]))


def pairs_within(
    labels: Bool[np.ndarray, " n"], scores: Float[np.ndarray, " n"], groups: Shaped[np.ndarray, " n"]
) -> Callable[[Weights], Values]:
    """The share of pairs of a yes and a no of one group that the scores order right, a tie counting half: the AUROC of
    the groups, each weighed by how many pairs it has. Source: Van Elteren 1960, stratified rank-sum."""

    def share(weights: Weights) -> Values:
        right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for group in set(groups):
            rows = groups == group
            if len(np.unique(labels[rows])) < 2:
                continue
            w, own = weights[:, rows], labels[rows]
            count = w[:, own].sum(axis=1) * w[:, ~own].sum(axis=1)
            auroc = metrics.weighted_auroc(own, scores[rows], w)
            right += np.where(count > 0, np.nan_to_num(auroc) * count, 0.0)
            pairs += count
        return np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)

    return share

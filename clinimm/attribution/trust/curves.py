"""Does the answer fall when what the map ranks first is taken away, and come back when it is given back?

Sources: Samek et al. 2017 (area over the perturbation curve, against random orders), Petsiuk et al. 2018, RISE
(deletion and insertion), DeYoung et al. 2020, ERASER (comprehensiveness and sufficiency, at these levels). Differ:
units are ordered by signed score, so that the same holds of a low answer, and what takes their place is the
explanation's own baseline. Everything is within one input."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Bool, Float, Int

from clinimm.attribution.kept import Kept

LEVELS = (0.01, 0.05, 0.10, 0.20, 0.50)
"""Shares of an input's units that are taken away, or alone kept."""


@dataclass(frozen=True)
class Curves:
    """Of each order, the mean logit over `LEVELS` without its first units (`deleted`), and with these alone
    (`inserted`). `span` is by how much all these logits differ."""

    deleted: Float[np.ndarray, "o k"]
    inserted: Float[np.ndarray, "o k"]
    span: Float[np.ndarray, " k"]


def curves(kept: Kept, name: str, orders: Int[np.ndarray, "o u"]) -> Curves:
    """What becomes of the answer in each order of the units of the input `name`."""
    first = np.stack([firsts(order) for order in orders])
    flat = first.reshape(-1, first.shape[-1])
    shape = (*first.shape[:2], -1)
    deleted, inserted = kept.logits(name, ~flat).reshape(shape), kept.logits(name, flat).reshape(shape)
    both = np.concatenate([deleted, inserted]).reshape(-1, deleted.shape[-1])
    return Curves(deleted.mean(1), inserted.mean(1), both.max(0) - both.min(0))


def firsts(order: Int[np.ndarray, " u"]) -> Bool[np.ndarray, "l u"]:
    """For each of `LEVELS`, which units are that share of the order's first, at least one."""
    place = np.argsort(order)
    return np.stack([place < ceil(level * len(order)) for level in LEVELS])


def ranked(scores: Float[np.ndarray, " u"]) -> Int[np.ndarray, " u"]:
    """The units from what raises the answer most to what lowers it most; equals in their own order."""
    return np.argsort(-scores, kind="stable")


def random_orders(units: int, count: int, seed: int) -> Int[np.ndarray, "o u"]:
    """The same orders for the same seed."""
    rng = np.random.default_rng([seed, units])
    return np.stack([rng.permutation(units) for _ in range(count)])


@dataclass(frozen=True)
class Ordering:
    """How one map's order compares with random ones, for one target of one input.

    `deletion` and `insertion` are the shares of random orders that do better, those that do as well counting half: 0
    for an order that none reaches, anything in [0, 1] for a random one. `comprehensiveness` and `sufficiency` are how
    far it falls short of the random orders' mean, as a share of all that was seen to happen: below 0 it is better."""

    deletion: float
    insertion: float
    comprehensiveness: float
    sufficiency: float
    span: float


def ordering(kept: Kept, name: str, scores: Float[np.ndarray, " u"], target: int, chance: Curves) -> Ordering:
    """How the order by `scores` compares with the random orders of `chance`."""
    own = curves(kept, name, ranked(scores)[None])
    deleted, inserted = chance.deleted[:, target], chance.inserted[:, target]
    span = max(float(own.span[target]), float(chance.span[target]))
    mine_deleted, mine_inserted = float(own.deleted[0, target]), float(own.inserted[0, target])
    return Ordering(
        deletion=_beaten(deleted, mine_deleted),
        insertion=_beaten(-inserted, -mine_inserted),
        comprehensiveness=(mine_deleted - float(deleted.mean())) / span if span else 0.0,
        sufficiency=(float(inserted.mean()) - mine_inserted) / span if span else 0.0,
        span=span,
    )


def _beaten(chance: Float[np.ndarray, " o"], mine: float) -> float:
    return float(((chance < mine) + 0.5 * (chance == mine)).mean())

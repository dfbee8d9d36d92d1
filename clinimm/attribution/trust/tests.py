"""The tests that every explanation takes: they perturb its units, and run no gradient."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from clinimm.attribution.kept import Kept
from clinimm.attribution.trust.agreement import gate_distance, occlusion, rank_distance, unexplained
from clinimm.attribution.trust.curves import Curves, curves, firsts, ordering, random_orders
from clinimm.attribution.trust.limits import STILL, Limits
from clinimm.types import Attribution, Check

SEED = 0
"""Of the random orders. The same for every case, so that a replay gives the same bits."""


def perturbed(
    kept: Kept, attribution: Attribution, target: int, limits: Limits, *, orders: int, thorough: bool = False
) -> tuple[Check, ...]:
    """The checks of one target's maps, input by input: their order against `orders` random ones, their sizes, and
    another method. The random rows and the occluded ones are asked once and serve all targets. `thorough` adds
    comprehensiveness and sufficiency. An input that is absent, or that moves the answer by less than `STILL`, has none.
    """
    found: list[Check] = []
    for name, units in kept.units.items():
        drawn = random_orders(units.count, orders, SEED)
        removed = np.concatenate([firsts(order) for order in drawn])
        chance = curves(kept, name, drawn)
        scores = units.scores(attribution.maps[name])
        found += _of_input(kept, name, scores, target, chance, removed, limits, thorough)
    return tuple(found)


def _of_input(
    kept: Kept, name: str, scores: Float[np.ndarray, " u"], target: int, chance: Curves,
    removed: Bool[np.ndarray, "r u"], limits: Limits, thorough: bool,
) -> list[Check]:  # fmt: skip
    compared = ordering(kept, name, scores, target, chance)
    if compared.span < STILL:
        return []
    effects = occlusion(kept, name)[:, target]
    values = {
        "deletion": compared.deletion,
        "insertion": compared.insertion,
        "infidelity": unexplained(kept, name, scores, target, removed),
        "methods": rank_distance(scores, effects),
    }
    if thorough:
        values |= {"comprehensiveness": compared.comprehensiveness, "sufficiency": compared.sufficiency}
    return [Check(f"{test}: {name}", value, getattr(limits, test)) for test, value in values.items()]


def gate(attribution: Attribution, weights: Mapping[str, float], limits: Limits) -> Check:
    """That the gate listened to what the answer came from."""
    return Check("gate", gate_distance(weights, attribution.shapley), limits.gate)

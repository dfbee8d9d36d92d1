"""How far each test of an explanation may be off; `clinimm.config.explain` says where the defaults come from."""

from dataclasses import dataclass

STILL = 0.05
"""An input whose removals move the logit by less than this is not tested: there is nothing to order."""


@dataclass(frozen=True)
class Limits:
    """The greatest value at which each check passes."""

    deletion: float
    insertion: float
    comprehensiveness: float
    sufficiency: float
    infidelity: float
    methods: float
    gate: float
    sensitivity: float
    randomized: float

"""The settings of how an answer is explained, and of when its explanation is to be trusted."""

from pydantic import Field

from clinimm.config.inputs import Section


class TrustLimits(Section):
    """The greatest value of each test at which an explanation is still trusted.

    Set by `benchmarks/attribution.py` on 45 explained cases of a synthetic cohort, 133 inputs in all, so that of true
    maps about 3 to 8 in 100 inputs fail each test, at the place where maps dealt out anew among their units fail most
    beside them: `methods` finds 52 in 100 of those, comprehensiveness 35, sufficiency 26, infidelity 26, insertion 22,
    deletion 17. The greatest gate distance seen was below 0.6. `sensitivity` and `randomized` were not measured case by
    case: half the size of the map, and the cosine at which promotion stops."""

    deletion: float = Field(0.8, ge=0, le=1)
    insertion: float = Field(0.8, ge=0, le=1)
    comprehensiveness: float = Field(0.05, ge=-1, le=1)
    sufficiency: float = Field(0.05, ge=-1, le=1)
    infidelity: float = Field(0.95, ge=0, le=1)
    methods: float = Field(1.0, ge=0, le=2)
    gate: float = Field(0.6, ge=0, le=1)
    sensitivity: float = Field(0.5, gt=0)
    randomized: float = Field(0.8, ge=-1, le=1)


class Explain(Section):
    """An explanation's maps must add up within `tolerance` of the change that they explain, with at most `max_steps`
    points; at most `rows` are in memory at a time. Their order is compared with `orders` random ones, with
    `thorough_orders` where a check is asked for; then a noise of `radius` standard deviations, which nobody would see
    in a picture, is added `noises` times. When a model is trained or evaluated, `measured` test patients are explained,
    for numbers of how faithful its explanations are; with 0 none, and the artifact tells no such numbers."""

    tolerance: float = Field(0.01, gt=0, lt=1)
    max_steps: int = Field(512, ge=16)
    rows: int = Field(32, ge=1)
    orders: int = Field(10, ge=1)
    thorough_orders: int = Field(30, ge=1)
    radius: float = Field(0.02, gt=0)
    noises: int = Field(2, ge=1)
    measured: int = Field(24, ge=0)
    limits: TrustLimits = TrustLimits()

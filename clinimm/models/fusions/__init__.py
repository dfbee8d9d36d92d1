"""Ways to join what the inputs say, by name: each takes a `Heard` and returns a `Joined`.

The answer is the prior, and the evidence that the operator joined, and what a head reads in its fused vector. Of every
operator holds: what an absent input would have held cannot change a bit of the answer, and its weight is exactly 0."""

from collections.abc import Callable

from clinimm.models.fusions.attention import CrossAttention, GatedCrossAttention
from clinimm.models.fusions.gate import DiseaseGate, Gate
from clinimm.models.fusions.heard import Fusion
from clinimm.models.fusions.joint import Completion, Concat, PatternExperts, Sum
from clinimm.models.fusions.opinions import Evidential, Late, ProductOfExperts, QualityAware
from clinimm.models.fusions.products import LowRank, Product

FUSIONS: dict[str, Callable[..., Fusion]] = {
    "gate": Gate,
    "disease_gate": DiseaseGate,
    "evidential": Evidential,
    "product_of_experts": ProductOfExperts,
    "quality_aware": QualityAware,
    "pattern_experts": PatternExperts,
    "completion": Completion,
    "concat": Concat,
    "sum": Sum,
    "product": Product,
    "low_rank": LowRank,
    "cross_attention": CrossAttention,
    "gated_cross_attention": GatedCrossAttention,
    "late": Late,
}

"""Ways to join what the inputs say, by name: each takes a `Heard` and returns a `Joined`.

The answer is the prior, and the evidence that the operator joined, and what a head reads in its fused vector. Of every
operator holds: what an absent input would have held cannot change a bit of the answer, and its weight is exactly 0.
`benchmarks/gates.py` compares them; those that it gave no reason to keep are in the history."""

from collections.abc import Callable

from clinimm.models.fusions.attention import GatedCrossAttention
from clinimm.models.fusions.completion import Completion
from clinimm.models.fusions.gate import Gate
from clinimm.models.fusions.heard import Fusion
from clinimm.models.fusions.opinions import Evidential

FUSIONS: dict[str, Callable[..., Fusion]] = {
    "gate": Gate,
    "evidential": Evidential,
    "completion": Completion,
    "gated_cross_attention": GatedCrossAttention,
}

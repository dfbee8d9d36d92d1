"""Maps over the inputs of a question, by name. Every method walks all present inputs at once, on one path."""

from collections.abc import Callable

from captum.attr import IntegratedGradients
from torch import Tensor

from clinimm.attribution.question import Question

Maps = dict[str, Tensor]
Method = Callable[[Question, int, int], Maps]


def integrated_gradients(question: Question, steps: int, internal_batch_size: int) -> Maps:
    """Signed maps over the embedded inputs in use, in logit units, of one joint straight path from their baselines.

    `internal_batch_size` rows are held in memory at a time. Source: Sundararajan et al. 2017, eq. 1, with
    Gauss-Legendre quadrature (Captum)."""
    maps = IntegratedGradients(question.logits).attribute(
        tuple(question.embedded[name] for name in question.used),
        baselines=tuple(question.baseline[name] for name in question.used),
        n_steps=steps,
        internal_batch_size=internal_batch_size,
    )
    return dict(zip(question.used, maps, strict=True))


METHODS: dict[str, Method] = {"integrated_gradients": integrated_gradients}

"""A case's explanation: maps by a joint path, refined until they add up, and exact Shapley values of the inputs."""

import numpy as np
import torch
from torch import Tensor

from clinimm.attribution.baselines import NAMES
from clinimm.attribution.checks import completeness, efficiency
from clinimm.attribution.methods import METHODS, Effort, Ends, Explained, Method
from clinimm.attribution.network import Explainable
from clinimm.attribution.question import Question, ask
from clinimm.attribution.shapley import Subset, interaction_index, shapley_values, subset_logits
from clinimm.batch import Batch, Tokens
from clinimm.choose import choose
from clinimm.types import Attribution, Kind

MAX_STEPS = 512
METHOD = "integrated_gradients"


def explain(
    network: Explainable,
    batch: Batch,
    target_index: int,
    *,
    target_name: str,
    method: str = METHOD,
    tolerance: float = 0.01,
    max_steps: int = MAX_STEPS,
    internal_batch_size: int = 8,
) -> Attribution:
    """Why a batch of one got its logit for one target; `network` must be in evaluation mode.

    The path is refined until the maps sum to the change of the logit within `tolerance` (or 1e-3 logits), or until it
    has `max_steps` points: then the completeness check says that they do not. `forward_passes` counts rows through the
    encoders; re-running the fusion is not counted. Memory is that of `internal_batch_size` rows.

    Raises ConfigError for an unknown `method`, ValueError for a batch of more than one."""
    question = ask(network, batch, target_index)
    walk = choose(METHODS, method, "method")
    ends, tokens = _ends(question)
    path = _explained(question, walk, ends, Effort(tolerance, max_steps, internal_batch_size))
    maps = _shaped(question, path.maps)
    subsets = subset_logits(question, tokens)
    shapley = shapley_values(question.used, subsets)
    interactions = interaction_index(question.used, subsets)
    return Attribution(
        case_id=batch.case_ids[0],
        target=target_name,
        method=method,
        baselines={m.name: NAMES[m.kind] for m in network.modalities if m.name in question.used},
        maps=maps,
        net={name: float(values.sum(dtype=np.float64)) for name, values in maps.items()},
        gross={name: float(np.abs(values).sum(dtype=np.float64)) for name, values in maps.items()},
        shapley={name: shapley.get(name, 0.0) for name in question.names},
        interactions={"+".join(pair): value for pair, value in interactions.items()},
        subsets={_joined(question, subset): value for subset, value in subsets.items()},
        logit=ends.logit,
        prior_logit=question.prior,
        baseline_logit=ends.baseline_logit,
        steps=path.steps,
        forward_passes=path.passes + 2 * bool(question.used),
        checks=(path.check, efficiency(sum(shapley.values(), 0.0), ends.logit, question.prior)),
    )


def _ends(question: Question) -> tuple[Ends, dict[str, Tokens]]:
    """The logits at both ends of the path, each run once, and the case's own tokens."""
    if not question.used:
        return Ends(question.prior, question.prior), {}
    pairs = [torch.cat([question.baseline[name], question.embedded[name]]) for name in question.used]
    with torch.no_grad():
        tokens = question.tokens(*pairs)
        baseline_logit, logit = question.fused(tokens, question.present.expand(2, -1)).tolist()
    return Ends(baseline_logit, logit), {name: Tokens(t.values[1:], t.mask[1:]) for name, t in tokens.items()}


def _explained(question: Question, walk: Method, ends: Ends, effort: Effort) -> Explained:
    if not question.used:
        return Explained({}, 0, 0, completeness(0.0, 0.0, effort.tolerance))
    return walk(question, ends, effort)


def _shaped(question: Question, maps: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Maps in their modality's own shape: word vectors summed to words, zeros for what is absent."""
    return {
        m.name: _shape(maps[m.name], m.kind) if m.name in maps else np.zeros(m.shape, dtype=np.float32)
        for m in question.network.modalities
    }


def _shape(values: Tensor, kind: Kind) -> np.ndarray:
    row = values[0].sum(dim=-1) if kind is Kind.TEXT else values[0]
    return row.detach().cpu().float().numpy()


def _joined(question: Question, subset: Subset) -> str:
    return "+".join(name for name in question.names if name in subset)

"""A case's explanation: maps by a joint path, refined until they add up, and exact Shapley values of the inputs."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clinimm.attribution.baselines import NAMES
from clinimm.attribution.checks import completeness, efficiency
from clinimm.attribution.methods import METHODS, Method
from clinimm.attribution.network import Explainable
from clinimm.attribution.question import Question, ask
from clinimm.attribution.shapley import Subset, interaction_index, shapley_values, subset_logits
from clinimm.batch import Batch, Tokens
from clinimm.choose import choose
from clinimm.types import Attribution, Check, Kind

FIRST_STEPS = 16
MAX_STEPS = 256
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

    The path's steps double until the maps sum to the change of the logit within `tolerance` (or 1e-3 logits), or until
    `max_steps`: then the completeness check says that they do not. `forward_passes` counts rows through the encoders;
    re-running the fusion is not counted. Memory is that of `internal_batch_size` rows.

    Raises ConfigError for an unknown `method`, ValueError for a batch of more than one."""
    question = ask(network, batch, target_index)
    ends = _ends(question)
    change = ends.logit - ends.baseline_logit
    path = _refine(question, change, choose(METHODS, method, "method"), tolerance, max_steps, internal_batch_size)
    subsets = subset_logits(question, ends.tokens)
    shapley = shapley_values(question.used, subsets)
    interactions = interaction_index(question.used, subsets)
    return Attribution(
        case_id=batch.case_ids[0],
        target=target_name,
        method=method,
        baselines={m.name: NAMES[m.kind] for m in network.modalities if m.name in question.used},
        maps=path.maps,
        net={name: float(values.sum(dtype=np.float64)) for name, values in path.maps.items()},
        gross={name: float(np.abs(values).sum(dtype=np.float64)) for name, values in path.maps.items()},
        shapley={name: shapley.get(name, 0.0) for name in question.names},
        interactions={"+".join(pair): value for pair, value in interactions.items()},
        subsets={_joined(question, subset): value for subset, value in subsets.items()},
        logit=ends.logit,
        prior_logit=question.prior,
        baseline_logit=ends.baseline_logit,
        steps=path.steps,
        forward_passes=ends.passes + path.passes,
        checks=(path.check, efficiency(sum(shapley.values(), 0.0), ends.logit, question.prior)),
    )


@dataclass(frozen=True)
class _Ends:
    """Both ends of the path, each run once; `tokens` are the case's own."""

    logit: float
    baseline_logit: float
    tokens: dict[str, Tokens]
    passes: int


def _ends(question: Question) -> _Ends:
    if not question.used:
        return _Ends(question.prior, question.prior, {}, passes=0)
    pairs = [torch.cat([question.embedded[name], question.baseline[name]]) for name in question.used]
    with torch.no_grad():
        tokens = question.tokens(*pairs)
        logit, baseline_logit = question.fused(tokens, question.present.expand(2, -1)).tolist()
    own = {name: Tokens(part.values[:1], part.mask[:1]) for name, part in tokens.items()}
    return _Ends(logit, baseline_logit, own, passes=2)


@dataclass(frozen=True)
class _Path:
    maps: dict[str, np.ndarray]
    steps: int
    passes: int
    check: Check


def _refine(
    question: Question, change: float, method: Method, tolerance: float, max_steps: int, internal_batch_size: int
) -> _Path:
    if not question.used:
        return _Path(_shaped(question, {}), 0, 0, completeness(0.0, 0.0, tolerance))
    steps, passes = min(FIRST_STEPS, max_steps), 0
    while True:
        maps = _shaped(question, method(question, steps, internal_batch_size))
        passes += steps
        total = sum((float(values.sum(dtype=np.float64)) for values in maps.values()), 0.0)
        check = completeness(total, change, tolerance)
        if check.passed or steps * 2 > max_steps:
            return _Path(maps, steps, passes, check)
        steps *= 2


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

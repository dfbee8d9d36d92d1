"""A case's explanation: maps by a joint path, refined until they add up, and exact Shapley values of the inputs.

A committee's logit is a weighted mean of its members', and maps, Shapley values and interactions are linear in the
logit, so those of the committee are the same weighted means."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clinimm.attribution.baselines import NAMES
from clinimm.attribution.checks import completeness, efficiency
from clinimm.attribution.methods import Effort, Ends, Explained, Method, Voice, integrated_gradients
from clinimm.attribution.network import Explainable
from clinimm.attribution.on_demand import grad_cam, occlusion, shapley_sampling
from clinimm.attribution.question import Question, ask
from clinimm.attribution.shapley import Subset, interaction_index, shapley_values, subset_logits
from clinimm.batch import Batch, Tokens
from clinimm.choose import choose
from clinimm.types import Attribution, Modality

MAX_STEPS = 512
ROWS = 32
METHOD = "integrated_gradients"
METHODS: dict[str, Method] = {
    METHOD: integrated_gradients,
    "grad_cam": grad_cam,
    "occlusion": occlusion,
    "shapley_sampling": shapley_sampling,
}
PIXELS = 2**19
"""So many pixels of one input are in memory at a time, or one row: a volume of 96 voxels a side goes alone."""

Part = tuple[Explainable, float]
"""A net and its part in the logit."""


def explain(
    members: Sequence[Part],
    batch: Batch,
    target_index: int,
    *,
    target_name: str,
    method: str = METHOD,
    tolerance: float = 0.01,
    max_steps: int = MAX_STEPS,
    internal_batch_size: int = ROWS,
) -> Attribution:
    """Why a batch of one got its logit for one target; the nets must be in evaluation mode, and their parts sum to 1.
    A net without a part is not asked.

    The path is refined until the maps sum to the change of the logit within `tolerance` (or 1e-3 logits), or until a
    member has `max_steps` points on average: then the completeness check says that they do not. What other methods than
    the default promise is in `on_demand`; completeness is not. `forward_passes` counts
    rows through the encoders, over all members; re-running the fusion is not counted. Memory is that of
    `internal_batch_size` rows, fewer of a large volume.

    Raises ConfigError for an unknown `method`, ValueError for a batch of more than one."""
    walk = choose(METHODS, method, "method")
    voices = [_voice(ask(network, batch, target_index), part) for network, part in members if part > 0]
    question = voices[0].question
    path = _explained(voices, walk, Effort(tolerance, max_steps, _rows(batch, internal_batch_size)))
    modalities = question.network.modalities
    maps = {m.name: _whole(path.maps.get(m.name), m) for m in modalities}
    subsets = _subsets(voices)
    shapley = shapley_values(question.used, subsets)
    interactions = interaction_index(question.used, subsets)
    logit, prior, baseline = (
        sum(voice.part * value for voice, value in zip(voices, values, strict=True))
        for values in zip(*((v.ends.logit, v.question.prior, v.ends.baseline_logit) for v in voices), strict=True)
    )
    return Attribution(
        case_id=batch.case_ids[0],
        target=target_name,
        method=method,
        baselines={m.name: NAMES[m.kind] for m in modalities if m.name in question.used},
        maps=maps,
        net={name: float(values.sum(dtype=np.float64)) for name, values in maps.items()},
        gross={name: float(np.abs(values).sum(dtype=np.float64)) for name, values in maps.items()},
        shapley={name: shapley.get(name, 0.0) for name in question.names},
        interactions={"+".join(pair): value for pair, value in interactions.items()},
        subsets={_joined(question, subset): value for subset, value in subsets.items()},
        logit=logit,
        prior_logit=prior,
        baseline_logit=baseline,
        steps=path.steps,
        forward_passes=path.passes + 2 * len(voices) * bool(question.used),
        checks=(*([path.check] if path.check else []), efficiency(sum(shapley.values(), 0.0), logit, prior)),
    )


def _voice(question: Question, part: float) -> Voice:
    """A member with the logits at both ends of its path, each run once, and the case's own tokens."""
    if not question.used:
        return Voice(question, part, Ends(question.prior, question.prior), {})
    pairs = [torch.cat([question.baseline[name], question.embedded[name]]) for name in question.used]
    with torch.no_grad():
        tokens = question.tokens(*pairs)
        baseline_logit, logit = question.fused(tokens, question.present.expand(2, -1)).tolist()
    own = {name: Tokens(one.values[1:], one.mask[1:]) for name, one in tokens.items()}
    return Voice(question, part, Ends(baseline_logit, logit), own)


def _rows(batch: Batch, most: int) -> int:
    largest = max(part.values[0].numel() for part in batch.modalities.values())
    return max(1, min(most, PIXELS // largest))


def _explained(voices: Sequence[Voice], walk: Method, effort: Effort) -> Explained:
    if not voices[0].question.used:
        return Explained({}, 0, 0, completeness(0.0, 0.0, effort.tolerance))
    return walk(voices, effort)


def _subsets(voices: Sequence[Voice]) -> dict[Subset, float]:
    """The logit of every subset of the inputs in use."""
    each = [(voice.part, subset_logits(voice.question, voice.tokens)) for voice in voices]
    return {subset: sum(part * found[subset] for part, found in each) for subset in each[0][1]}


def _whole(values: Tensor | None, modality: Modality) -> np.ndarray:
    """A map as it is kept; zeros for what is absent."""
    return np.zeros(modality.shape, dtype=np.float32) if values is None else values.cpu().float().numpy()


def _joined(question: Question, subset: Subset) -> str:
    return "+".join(name for name in question.names if name in subset)

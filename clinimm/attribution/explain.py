"""Explanations: maps by a joint path, refined until they add up and then smoothed, and exact Shapley values of the
inputs.

A committee's logit is a weighted mean of its members', and maps, Shapley values and interactions are linear in the
logit, so those of the committee are the same weighted means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinimm.attribution.baselines import NAMES
from clinimm.attribution.checks import completeness, efficiency
from clinimm.attribution.methods import Effort, Ends, Explained, Method, Voice, integrated_gradients, one_by_one
from clinimm.attribution.network import Explainable
from clinimm.attribution.on_demand import grad_cam, occlusion, shapley_sampling
from clinimm.attribution.question import Question, ask
from clinimm.attribution.shapley import Subset, interaction_index, shapley_values, subset_answers
from clinimm.attribution.smoothing import SCALE, smoothed
from clinimm.batch import Batch, Tokens
from clinimm.choose import choose
from clinimm.types import Attribution, Kind, Modality

MAX_STEPS = 512
ROWS = 32
METHOD = "integrated_gradients"
METHODS: dict[str, Method] = {
    METHOD: integrated_gradients,
    "grad_cam": one_by_one(grad_cam),
    "occlusion": one_by_one(occlusion),
    "shapley_sampling": one_by_one(shapley_sampling),
}
PIXELS = 2**19
"""So many pixels of one input are in memory at a time, or one row: a volume of 96 voxels a side goes alone."""

Part = tuple[Explainable, float]
"""A net and its part in the logit."""


@dataclass(frozen=True)
class Asked:
    """What is to be explained: one target, of a batch of one, by these members."""

    members: Sequence[Part]
    batch: Batch
    target_index: int
    target_name: str


def explain(
    members: Sequence[Part], batch: Batch, target_index: int, *, target_name: str, **options: Any
) -> Attribution:
    """`explain_all` of one target of one batch of one."""
    return explain_all([Asked(members, batch, target_index, target_name)], **options)[0]


def explain_all(
    asked: Sequence[Asked],
    *,
    method: str = METHOD,
    tolerance: float = 0.01,
    max_steps: int = MAX_STEPS,
    internal_batch_size: int = ROWS,
) -> list[Attribution]:
    """Why each batch of one got its logit for its target; the nets must be in evaluation mode, and the members' parts
    sum to 1. A net without a part is not asked; one that several ask is run for all of them at once, so that last
    digits may depend on what is asked together.

    The path is refined until the maps sum to the change of the logit within `tolerance` (or 1e-3 logits), or until a
    member has `max_steps` points on average: then the completeness check says that they do not. Then pictures' maps are
    smoothed, which changes no sum. What other methods than the default promise is in `on_demand`; completeness is not,
    nor are they smoothed. `forward_passes` counts rows through the encoders, over all members; re-running the fusion is
    not counted. Memory is that of `internal_batch_size` rows, fewer of a large volume, and of the maps.

    Raises ConfigError for an unknown `method`, ValueError for a batch of more than one."""
    walk, known = choose(METHODS, method, "method"), dict[tuple[int, int], _Said]()
    heard = [[_heard(one, network, part, known) for network, part in one.members if part > 0] for one in asked]
    voices = [[one.voice for one in each] for each in heard]
    usable = [i for i, each in enumerate(voices) if each[0].question.used]
    effort = Effort(tolerance, max_steps, _rows(asked[0].batch, internal_batch_size))
    paths = dict(zip(usable, walk([voices[i] for i in usable], effort), strict=True))
    nothing = Explained({}, 0, 0, completeness(0.0, 0.0, tolerance))
    return [
        _attribution(one, each, paths.get(i, nothing), method)
        for i, (one, each) in enumerate(zip(asked, heard, strict=True))
    ]


@dataclass(frozen=True)
class _Heard:
    """A member before the question, and its logit of every subset of the inputs in use."""

    voice: Voice
    subsets: Mapping[Subset, float]


@dataclass(frozen=True)
class _Said:
    """What a net says of a case: the logits of all targets at both ends of the path, and for every subset."""

    question: Question
    ends: tuple[Tensor, Tensor]
    subsets: Mapping[Subset, Tensor]


def _heard(asked: Asked, network: Explainable, part: float, known: dict[tuple[int, int], _Said]) -> _Heard:
    """What the net says of the target; of a case it is asked once."""
    key, target = (id(asked.batch), id(network)), asked.target_index
    if key not in known:
        known[key] = _said(ask(network, asked.batch, target))
    said = known[key]
    low, high = (float(end[target]) for end in said.ends)
    subsets = {subset: float(logits[target]) for subset, logits in said.subsets.items()}
    return _Heard(Voice(replace(said.question, target_index=target), part, Ends(low, high)), subsets)


def _said(question: Question) -> _Said:
    if not question.used:
        prior = question.network.prior
        return _Said(question, (prior, prior), {Subset(): prior})
    pairs = [torch.cat([question.baseline[name], question.embedded[name]]) for name in question.used]
    with torch.no_grad():
        tokens = question.tokens(*pairs)
        baseline, case = question.answers(tokens, question.present.expand(2, -1))
    own = {name: Tokens(one.values[1:], one.mask[1:]) for name, one in tokens.items()}
    return _Said(question, (baseline, case), subset_answers(question, own))


def _rows(batch: Batch, most: int) -> int:
    largest = max(part.values[0].numel() for part in batch.modalities.values())
    return max(1, min(most, PIXELS // largest))


def _attribution(asked: Asked, heard: Sequence[_Heard], path: Explained, method: str) -> Attribution:
    voices = [one.voice for one in heard]
    question, modalities = voices[0].question, voices[0].question.network.modalities
    maps = {m.name: _whole(path.maps.get(m.name), m) for m in modalities}
    pictures = [m.name for m in modalities if method == METHOD and m.kind is Kind.IMAGE and m.name in question.used]
    maps |= {name: smoothed(maps[name]) for name in pictures}
    subsets = {subset: sum(one.voice.part * one.subsets[subset] for one in heard) for subset in heard[0].subsets}
    shapley = shapley_values(question.used, subsets)
    interactions = interaction_index(question.used, subsets)
    logit, prior, baseline = (
        sum(voice.part * value for voice, value in zip(voices, values, strict=True))
        for values in zip(*((v.ends.logit, v.question.prior, v.ends.baseline_logit) for v in voices), strict=True)
    )
    return Attribution(
        case_id=asked.batch.case_ids[0],
        target=asked.target_name,
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
        smoothing=SCALE if pictures else 0.0,
    )


def _whole(values: Tensor | None, modality: Modality) -> np.ndarray:
    """A map as it is kept; zeros for what is absent."""
    return np.zeros(modality.shape, dtype=np.float32) if values is None else values.cpu().float().numpy()


def _joined(question: Question, subset: Subset) -> str:
    return "+".join(name for name in question.names if name in subset)

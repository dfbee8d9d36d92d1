"""A committee built from a config, taken apart into tensors and JSON, and put together again."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from clinimm.backbone.use import adapt_section, adaptation
from clinimm.config import Config, ImageInput
from clinimm.data.note_door import NoteDoor
from clinimm.data.prepare import Preparer
from clinimm.data.quality import QUALITIES
from clinimm.models.backbone_encoder import BackboneEncoder
from clinimm.models.build import EncoderPlan, TowerPlan, Vocabulary, build_network
from clinimm.models.committee import Committee
from clinimm.models.features import fixed_encoders
from clinimm.models.forest import Forest
from clinimm.models.learner import FeatureLearner, Head
from clinimm.models.narrow import NarrowNets
from clinimm.models.network import Network
from clinimm.models.readout import Readout
from clinimm.models.text import NoteTransformer
from clinimm.models.towers.base import Tower


def network_for(
    config: Config,
    preparer: Preparer,
    prior: Sequence[float],
    *,
    towers: Mapping[str, Tower] | None = None,
    architectures: Mapping[str, Mapping[str, Any]] | None = None,
) -> Network:
    """The network that a config means, with the `towers` of the inputs that use a backbone: see `towers_for`. With
    `architectures` (a saved model's) no pretrained file is looked for."""
    return build_network(
        preparer.modalities,
        {m.name: _plan(config, preparer, m.name, towers or {}, architectures) for m in preparer.modalities},
        {m.name: len(QUALITIES[m.kind]) for m in preparer.modalities},
        width=config.model.width,
        fusion=config.model.fusion,
        fusion_options=config.model.fusion_options,
        dropout=config.model.dropout,
        prior=prior,
    )


def learner_for(config: Config, preparer: Preparer, prior: Sequence[float]) -> FeatureLearner | None:
    """The learner on fixed features, not fitted yet; None if the config wants none."""
    if not config.committee.learner:
        return None
    vocabularies = {name: door.vocabulary for name, door in preparer.doors.items() if isinstance(door, NoteDoor)}
    encoders = fixed_encoders(preparer.modalities, vocabularies)
    return FeatureLearner(preparer.modalities, encoders, torch.tensor(list(prior), dtype=torch.float32))


def architectures_of(network: Network) -> dict[str, Mapping[str, Any]]:
    """What is needed to build a network's text nets and towers again with no file of theirs."""
    return {
        name: encoder.architecture
        for name, encoder in network.named_encoders()
        if isinstance(encoder, NoteTransformer | BackboneEncoder)
    }


def members_record(committee: Committee) -> dict[str, Any]:
    """What members there are beyond the config's word, and in which shapes, as JSON types."""
    learner = committee.learner
    heads = [] if learner is None else [head_record(head) for head in learner.heads if isinstance(head, Head)]
    return {
        "learner": {} if learner is None else {"heads": heads},
        "readout": all(net.readout is not None for net in committee.networks),
    }


def with_empty_readout(network: Network, record: Mapping[str, Any]) -> Network:
    """The network, with a readout whose weights are still to come, if the recorded ones had any."""
    if record.get("readout", False):  # artifacts from before there were any do not say
        network.readout = Readout(network.width, len(network.modalities), len(network.prior))
    return network


def empty_learner(
    config: Config, preparer: Preparer, record: Mapping[str, Any], prior: Sequence[float]
) -> FeatureLearner | None:
    """A learner of the recorded shapes, its weights still to come."""
    learner = learner_for(config, preparer, prior)
    if learner is not None:
        learner.heads.extend(empty_head(one, learner.sizes, len(prior)) for one in record["heads"])
    return learner


def state_of(committee: Committee, *, adapters_only: bool) -> dict[str, Tensor]:
    """All that is needed to fill the same committee again. What training leaves as it was (a frozen tower) is in the
    first net's part alone; with `adapters_only` it is nowhere."""
    state = {name: tensor for name, tensor in committee.state_dict().items() if not name.startswith("nets.")}
    for number, network in enumerate(committee.networks):
        mine = network.learned() if number or adapters_only else network.state_dict()
        state |= {f"nets.{number}.{name}": tensor for name, tensor in mine.items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def fill(committee: Committee, state: Mapping[str, Tensor], *, adapters_only: bool) -> None:
    """Takes what `state_of` gave. Raises RuntimeError if a name is missing or too many."""
    whole = committee.state_dict()
    first = committee.networks[0]
    given = dict(state)
    fixed = {name for name in first.state_dict() if name not in first.learned()}
    for number in range(len(committee.nets)):
        for name in fixed:
            source = whole[f"nets.{number}.{name}"] if adapters_only else state[f"nets.0.{name}"]
            given[f"nets.{number}.{name}"] = source
    committee.load_state_dict(given)


def head_record(head: Head) -> dict[str, Any]:
    """A head's shapes, as JSON types."""
    forests = [forest for forest in head.forests if isinstance(forest, Forest)]
    nets = head.nets
    return {
        "nets": None if nets is None else {"nets": nets.nets, "units": nets.units, "rank": nets.rank},
        "helped": list(head.helped),
        "forests": [
            {"depths": list(one.depths), "leaves": len(one.leaf), "trees": one.trees, "blur": one.blur}
            for one in forests
        ],
    }


def empty_head(record: Mapping[str, Any], sizes: Sequence[int], targets: int) -> Head:
    """A head of the recorded shapes, its weights still to come."""
    shape = record["nets"]
    if isinstance(shape, int):  # artifacts from before there were trees alone
        shape = {"nets": shape, "units": record["units"], "rank": record["rank"]}
    nets = None if shape is None else NarrowNets(sizes, targets=targets, **shape)
    return Head(nets, [Forest(**one) for one in record["forests"]], record.get("helped", [True] * targets))


def _plan(
    config: Config,
    preparer: Preparer,
    name: str,
    towers: Mapping[str, Tower],
    architectures: Mapping[str, Mapping[str, Any]] | None,
) -> EncoderPlan:
    section, door = config.inputs[name].encoder, preparer.doors[name]
    return EncoderPlan(
        name=section.name,
        pretrained=section.pretrained if architectures is None else None,
        dropout=section.dropout,
        options=section.options,
        vocabulary=Vocabulary(*door.vocabulary) if isinstance(door, NoteDoor) else None,
        architecture=None if architectures is None else architectures.get(name),
        tower=_tower_plan(config, name, towers.get(name)),
        resampler=None if section.resampler is None else section.resampler.model_dump(),
    )


def _tower_plan(config: Config, name: str, tower: Tower | None) -> TowerPlan | None:
    section, how = config.inputs[name], adapt_section(config, name)
    if tower is None or how is None:
        return None
    if isinstance(section, ImageInput):
        return TowerPlan(tower, adaptation(how), section.mean, section.std)
    return TowerPlan(tower, adaptation(how))

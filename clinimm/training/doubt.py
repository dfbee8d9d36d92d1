"""The last step of a training run: the gate learns which inputs to doubt, from training inputs that are spoilt.

It comes last, and nothing else moves: what to believe is best learned on a few epochs, whom to doubt on many, and an
answer to inputs as they should be stays as it was judged."""

from collections.abc import Mapping
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from clinimm.batch import Batch
from clinimm.data.quality.moved import Looks
from clinimm.inference import evaluating
from clinimm.models.fusions.doubt import BELIEVED, Doubt, Judge, evidence
from clinimm.models.network import Network
from clinimm.training.corruption import spoil

_ROWS = 64
_STEPS, _RATE, _DECAY = 120, 2e-2, 1e-2
_SOUND = 4.0  # how much worse it is to doubt a sound input than to believe a spoilt one
_WRONGLY, _LEAST = 0.05, 0.0  # at most this share of sound inputs not seen in training has a lower logit of trust


def learn_doubt(
    network: Network, train: Batch, held: Batch, looks: Mapping[str, Looks], *, draws: int, seed: int
) -> None:
    """Fits `network.fusion.doubt`, if there is one, on the training cases as they are and spoilt `draws` times; then
    lifts the trust in each input until nearly all of the `held` ones, which are sound but were not learned from, are
    believed. `looks` measures spoilt pictures. The encoders run 1 + `draws` times over the training cases."""
    doubt = network.fusion.doubt
    if not isinstance(doubt, Doubt) or not draws:
        return
    generator = torch.Generator().manual_seed(seed)
    with evaluating(network):
        sound, unseen = looked_at(network, train), looked_at(network, held)
        spoilt = [looked_at(network, spoil(train, generator, looks)) for _ in range(draws)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for i, judge in enumerate(doubt.judges):
            here = train.present[:, i].nonzero()[:, 0].to(sound[i].device)
            if len(here) < 2:
                continue
            fit_judge(cast(Judge, judge), sound[i][here], torch.cat([one[i][here] for one in spoilt]))
            there = held.present[:, i].to(unseen[i].device)
            lift(cast(Judge, judge), unseen[i][there])


@torch.no_grad()
def looked_at(network: Network, batch: Batch) -> list[Float[Tensor, "b _"]]:
    """What the judge of each input looks at, in every case."""
    rows: list[list[Tensor]] = []
    for start in range(0, len(batch), _ROWS):
        part = batch.rows(torch.arange(start, min(start + _ROWS, len(batch)))).to(network.prior.device)
        tokens = network.tokens(part, part.present)
        rows.append([evidence(tokens[name], part.quality[name]) for name in tokens])
    return [torch.cat(column) for column in zip(*rows, strict=True)]


def fit_judge(judge: Judge, sound: Float[Tensor, "s f"], spoilt: Float[Tensor, "n f"]) -> None:
    """Teaches a judge which rows are spoilt. What it looks at is standardized by the sound ones."""
    judge.center.copy_(sound.mean(0))
    judge.scale.copy_(sound.std(0, correction=0).clamp_min(1e-3))
    judge.first.reset_parameters()
    judge.last.reset_parameters()
    features = torch.cat([sound, spoilt])
    wanted = torch.cat([torch.ones(len(sound), 1), torch.zeros(len(spoilt), 1)]).to(sound)
    weight = torch.where(wanted > 0, _SOUND * len(spoilt) / len(sound), 1.0)
    judge.requires_grad_(True)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=_RATE, weight_decay=_DECAY)
    for _ in range(_STEPS):
        loss = binary_cross_entropy_with_logits(judge(features) + BELIEVED, wanted, weight=weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    judge.requires_grad_(False)


@torch.no_grad()
def lift(judge: Judge, sound: Float[Tensor, "s f"]) -> None:
    """Raises the scores of a judge that doubts sound rows, all by the same."""
    if len(sound):
        lowest = torch.quantile(judge(sound).float() + BELIEVED, _WRONGLY)
        judge.last.bias.add_((_LEAST - lowest).clamp_min(0))

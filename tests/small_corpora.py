"""A small corpus made in memory, and small nets that learn from it, for the tests of pretraining."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from clinimm.models.text import small_bert
from clinimm.models.towers.base import ImageTower, TextTower
from clinimm.models.towers.build import build_tower
from clinimm.pretraining.corpus import NONE, Corpus, Texts
from clinimm.pretraining.encoders import Encoders
from clinimm.pretraining.loop import Rates
from clinimm.pretraining.masked import MaskedPatches, MaskedWords
from clinimm.pretraining.objectives import JointObjectives
from clinimm.pretraining.processes import Processes
from clinimm.pretraining.sampling import Habits, Hiding
from clinimm.pretraining.step import Learner

VOCABULARY, LENGTH, SIZE, FINDINGS = 30, 12, (32, 32), 3
HIDING = Hiding(words=0.3, special_ids=(0, 2, 3), mask_id=4, vocabulary=VOCABULARY, patches=0.5, patch=16)
HABITS = Habits(sentence=0.4, decoupled=0.2, prompts=True, shake=True, hiding=HIDING)
EVERY = {"info_nce": 1.0, "semantic": 0.5, "sigmoid": 0.1, "matching": 0.3, "reconstruction": 0.3}
HIDDEN = {"masked_words": 0.5, "masked_patches": 0.5}


def small_corpus(cases: int = 12, seed: int = 0, have: Sequence[str] = ("both", "both", "image", "text")) -> Corpus:
    """Cases that have what `have` says, in turn; two of a patient stand side by side. Each text has two sentences, and
    there are two prompts for the first finding."""
    generator = torch.Generator().manual_seed(seed)
    kinds = [have[i % len(have)] for i in range(cases)]
    has_image = torch.tensor([kind in ("both", "image") for kind in kinds])
    has_text = torch.tensor([kind in ("both", "text") for kind in kinds])
    patients = torch.arange(cases) // 2
    n = int(has_text.sum())
    lengths = torch.cat([torch.randint(8, LENGTH + 1, (n,), generator=generator), torch.full((2 * n + 2,), 6)])
    mask = torch.arange(LENGTH) < lengths[:, None]
    ids = torch.randint(5, VOCABULARY, mask.shape, generator=generator)
    ids[:, 0], ids[torch.arange(len(ids)), lengths - 1] = 2, 3
    labels = torch.randint(-1, 2, (len(ids), FINDINGS), generator=generator).float()
    labels[-2:] = torch.eye(FINDINGS)[0]
    whole = torch.where(has_text, has_text.long().cumsum(0) - 1, NONE)
    ends = n + 2 * has_text.long().cumsum(0)
    owners = patients[has_text]
    return Corpus(
        pixels=torch.rand(int(has_image.sum()), 1, *SIZE, generator=generator),
        texts=Texts(
            ids.where(mask, torch.tensor(0)),
            mask,
            labels,
            torch.cat([owners, owners.repeat_interleave(2), torch.full((2,), NONE)]),
        ),
        picture=torch.where(has_image, has_image.long().cumsum(0) - 1, NONE),
        whole=whole,
        sentences=torch.stack([ends - 2 * has_text.long(), ends], dim=1),
        prompts=torch.tensor([[3 * n, 3 * n + 2], [0, 0], [0, 0]]),
        labels=torch.randint(-1, 2, (cases, FINDINGS), generator=generator).float(),
        patients=patients,
        facts={},
    )


def small_encoders(seed: int = 0, norm: str = "group", dropout: float = 0.0) -> Encoders:
    """A resnet10 and a BERT of 16 features, to a space of 8, with what tells hidden words and patches."""
    torch.manual_seed(seed)
    trunk = {"trunk": "resnet10", "options": {"planes": [4, 8, 8, 16], "norm": norm, "max_pool": False}}
    image = build_tower({"name": "trunk", "width": 8, "size": list(SIZE), **trunk})
    config = small_bert(VOCABULARY, LENGTH, hidden=16, layers=2, heads=2, dropout=dropout)
    text = build_tower({"name": "bert", "config": config, "width": 8, "length": LENGTH})
    assert isinstance(image, ImageTower)
    assert isinstance(text, TextTower)
    return Encoders(image, text, MaskedWords(16, 16, VOCABULARY), MaskedPatches(16, (2, 2), SIZE))


def exact(corpus: Corpus) -> Corpus:
    """The corpus for encoders in float64, in which sums taken in another order differ by next to nothing."""
    return replace(corpus, pixels=corpus.pixels.double())


def small_learner(
    encoders: Encoders,
    objectives: Mapping[str, float] | None = None,
    hidden: Mapping[str, float] | None = None,
    *,
    micro_batch: int | None = None,
    processes: Processes | None = None,
) -> Learner:
    """Everything switched on, unless said otherwise."""
    torch.manual_seed(1)
    joint = JointObjectives(8, EVERY if objectives is None else objectives, similarity="cosine", target_temperature=0.2)
    alone = processes or Processes()
    weights = HIDDEN if hidden is None else hidden
    return Learner(alone.join(encoders), joint, weights, alone, micro_batch)


def rates(encoders: Encoders, learner: Learner, lr: float = 3e-3) -> Rates:
    parts: tuple[nn.Module, ...] = (encoders, learner.objectives)
    return [([weight for weight in part.parameters() if weight.requires_grad], lr) for part in parts]


def gradients(encoders: Encoders, learner: Learner) -> dict[str, Tensor]:
    """The gradient of every weight that has one, by its name."""
    named = [*encoders.named_parameters(prefix="encoders"), *learner.objectives.named_parameters(prefix="objectives")]
    return {name: weight.grad for name, weight in named if weight.grad is not None}


def apart(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """The largest difference, as a share of the largest gradient of its weight (or of 0.001, if that is less)."""
    assert first.keys() == second.keys()
    gaps = [(value - second[name]).abs().max() / value.abs().max().clamp_min(1e-3) for name, value in first.items()]
    return max(float(gap) for gap in gaps)

"""A net whose explanation is known in closed form, obeying the interface of the real one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from clinimm.batch import Batch, ModalityBatch, ModelOutput, Tokens
from clinimm.types import InputState, Kind, Modality, Status

MODALITIES = (
    Modality("cxr", Kind.IMAGE, (1, 8, 8)),
    Modality("note", Kind.TEXT, (6,)),
    Modality("labs", Kind.TABULAR, (3,)),
)
PAD, START, END = 0, 1, 2
PRIOR = -1.0

Combine = Callable[[Tensor, Tensor], Tensor]
"""The logit above the prior (b,) from the evidence of each modality (b, m) and which are present (b, m)."""


class LinearEvidence(nn.Module):
    """One token of one number: a weighted sum of the embedded values. Counts the rows that it encodes."""

    pad_id = PAD
    special_ids = (PAD, START, END)

    def __init__(self, weight: Tensor, vectors: Tensor | None = None) -> None:
        super().__init__()
        self.weight, self.vectors, self.rows = weight, vectors, 0
        self.typical = torch.linspace(-1, 1, 64).view(1, 8, 8)

    def embed(self, values: Tensor) -> Tensor:
        return values if self.vectors is None else self.vectors[values]

    def forward(self, embedded: Tensor, mask: Tensor | None) -> Tokens:
        self.rows += len(embedded)
        evidence = (embedded * self.weight).flatten(1).sum(1)
        return Tokens(evidence[:, None, None], torch.ones(len(evidence), 1, dtype=torch.bool))


class KnownNetwork(nn.Module):
    def __init__(self, combine: Combine) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.modalities = MODALITIES
        self.encoders = nn.ModuleDict(
            {
                "cxr": LinearEvidence(torch.randn(1, 8, 8, generator=draw)),
                "note": LinearEvidence(torch.randn(6, 4, generator=draw), torch.randn(20, 4, generator=draw)),
                "labs": LinearEvidence(torch.tensor([1.0, -2.0, 0.5])),
            }
        )
        self.register_buffer("prior", torch.tensor([0.0, PRIOR]))
        self.combine = combine

    def embed(self, batch: Batch) -> dict[str, Tensor]:
        return {name: encoder.embed(batch.modalities[name].values) for name, encoder in self.encoders.items()}

    def encode(self, embedded, masks, present) -> dict[str, Tokens]:
        names = enumerate(self.encoders)
        return {name: self.encode_one(name, embedded[name], masks[name], present[:, i]) for i, name in names}

    def encode_one(self, name, embedded, mask, present) -> Tokens:
        rows = present.nonzero()[:, 0]
        values = torch.zeros(len(present), 1, 1)
        if len(rows):
            values = values.index_copy(0, rows, self.encoders[name](embedded[rows], mask).values)
        return Tokens(values, present[:, None])

    def fuse(self, tokens, present, quality) -> ModelOutput:
        evidence = torch.cat([part.values[:, :, 0] for part in tokens.values()], dim=1) * present
        change = self.combine(evidence, present)[:, None] * torch.tensor([0.0, 1.0])
        return ModelOutput(self.prior + change, torch.zeros(len(present), 3, 2), evidence, present.float())

    @property
    def rows(self) -> int:
        return max(encoder.rows for encoder in self.encoders.values())


def additive(evidence: Tensor, present: Tensor) -> Tensor:
    return evidence.sum(dim=1)


def part(values: Tensor, mask: Tensor | None = None, present: bool = True) -> ModalityBatch:
    state = InputState(Status.PRESENT if present else Status.ABSENT)
    return ModalityBatch(values, torch.tensor([present]), mask, torch.ones(1, 2), (state,))


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """A case of the known net; `absent` names inputs that are not there and hold NaN or nonsense."""

    def make(*absent: str) -> Batch:
        draw = torch.Generator().manual_seed(1)
        film = torch.randn(1, 1, 8, 8, generator=draw)
        note, real = torch.tensor([[START, 7, 9, END, PAD, PAD]]), torch.tensor([[True] * 4 + [False] * 2])
        labs, known = torch.tensor([[1.5, 0.0, -1.0]]), torch.tensor([[True, False, True]])
        parts = {
            "cxr": part(film if "cxr" not in absent else film * torch.nan, None, "cxr" not in absent),
            "note": part(note, real, "note" not in absent),
            "labs": part(labs if "labs" not in absent else labs * torch.nan, known, "labs" not in absent),
        }
        return Batch(("case-1",), parts, torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))

    return make


@pytest.fixture
def make_network() -> Callable[[Combine], KnownNetwork]:
    return KnownNetwork


@pytest.fixture
def linear_network() -> KnownNetwork:
    return KnownNetwork(additive)

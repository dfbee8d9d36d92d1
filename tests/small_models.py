"""Small real nets and batches for the models' tests."""

import torch

from clinimm.batch import Batch, ModalityBatch
from clinimm.models.build import EncoderPlan, Vocabulary, build_network
from clinimm.models.network import Network
from clinimm.types import Analyte, InputState, Kind, Modality, Status

MODALITIES = (
    Modality("cxr", Kind.IMAGE, (1, 32, 32)),
    Modality("note", Kind.TEXT, (12,)),
    Modality("labs", Kind.TABULAR, (4,), tuple(Analyte(name, "mg/L") for name in "abcd")),
)
QUALITIES = {"cxr": 3, "note": 2, "labs": 2}
VOCABULARY = Vocabulary(size=40, pad_id=0, special_ids=(0, 2, 3))
PLANS = {
    "cxr": EncoderPlan("resnet10", options={"planes": [8, 8, 16, 16], "max_pool": False}),
    "note": EncoderPlan("transformer", options={"hidden": 16, "layers": 1, "heads": 2}, vocabulary=VOCABULARY),
    "labs": EncoderPlan("analytes"),
}


def small_network(fusion: str = "gate", seed: int = 0, **plans: EncoderPlan) -> Network:
    """A network of 16 wide tokens and 2 targets; what starts at 0 does not, so that every part has a say."""
    torch.manual_seed(seed)
    network = build_network(
        MODALITIES, PLANS | plans, QUALITIES, width=16, fusion=fusion, dropout=0.0, prior=[-0.4, 0.7]
    )
    for weight in network.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.3)
    return network


def random_batch(n: int, seed: int = 0, present: torch.Tensor | None = None) -> Batch:
    """`n` random cases of which some inputs are absent, never all."""
    generator = torch.Generator().manual_seed(seed)
    if present is None:
        present = torch.rand(n, 3, generator=generator) < 0.7
        present[torch.arange(n), torch.arange(n) % 3] = True
    lengths = torch.randint(3, 13, (n, 1), generator=generator)
    values = {
        "cxr": torch.randn(n, 1, 32, 32, generator=generator),
        "note": torch.randint(1, 40, (n, 12), generator=generator),
        "labs": torch.randn(n, 4, generator=generator),
    }
    masks = {
        "cxr": None,
        "note": torch.arange(12)[None] < lengths,
        "labs": torch.rand(n, 4, generator=generator) < 0.8,
    }
    parts = {
        name: ModalityBatch(
            values[name], present[:, i], masks[name], torch.randn(n, QUALITIES[name], generator=generator),
            tuple(InputState(Status.PRESENT if here else Status.ABSENT) for here in present[:, i].tolist()),
        )
        for i, name in enumerate(values)
    }  # fmt: skip
    targets = (torch.rand(n, 2, generator=generator) < 0.5).float()
    return Batch(tuple(f"case-{i}" for i in range(n)), parts, targets, torch.ones(n, 2, dtype=torch.bool))

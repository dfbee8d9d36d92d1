"""The explanation of the net we train, under every fusion: it adds up, and says nothing of what is not there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import QUALITIES, VOCABULARY, random_batch

from clinimm.attribution.explain import explain
from clinimm.batch import Batch
from clinimm.models.build import EncoderPlan, build_network
from clinimm.models.fusions import FUSIONS
from clinimm.models.network import Network
from clinimm.types import Analyte, Kind, Modality

SIDE = 64
MODALITIES = (
    Modality("cxr", Kind.IMAGE, (1, SIDE, SIDE)),
    Modality("note", Kind.TEXT, (12,)),
    Modality("labs", Kind.TABULAR, (4,), tuple(Analyte(name, "mg/L") for name in "abcd")),
)
DEEP = {
    "cxr": EncoderPlan("resnet10", options={"planes": [8, 16, 32, 64]}),
    "note": EncoderPlan("transformer", options={"hidden": 16, "layers": 1, "heads": 2}, vocabulary=VOCABULARY),
    "labs": EncoderPlan("analytes"),
}
SHALLOW = DEEP | {"cxr": EncoderPlan("eigen"), "note": EncoderPlan("bag", vocabulary=VOCABULARY)}


def network(plans: dict[str, EncoderPlan], fusion: str = "gate") -> Network:
    torch.manual_seed(0)
    net = build_network(MODALITIES, plans, QUALITIES, width=16, fusion=fusion, dropout=0.0, prior=[-0.4, 0.7])
    torch.nn.init.normal_(net.head.weight)
    return net.eval()


def films(n: int) -> torch.Tensor:
    """Two dark lungs in a bright chest, a lesion somewhere in one of them, and grain: what a blur leaves a chest of."""
    draw = torch.Generator().manual_seed(7)
    y, x = torch.meshgrid(torch.linspace(0, 1, SIDE), torch.linspace(0, 1, SIDE), indexing="ij")

    def blob(at_x, at_y, wide, high):
        return torch.exp(-(((x - at_x) / wide) ** 2) - ((y - at_y) / high) ** 2)

    lungs = blob(0.3, 0.5, 0.13, 0.28) + blob(0.7, 0.5, 0.13, 0.28)
    lesions = torch.stack([blob(0.3, float(at), 0.05, 0.05) for at in torch.rand(n, generator=draw)])
    return ((0.3 - 0.5 * lungs + 0.3 * lesions + 0.03 * torch.randn(n, SIDE, SIDE, generator=draw)) * 4)[:, None]


def case(seed: int, present: tuple[bool, bool, bool] = (True, True, True), n: int = 1) -> Batch:
    batch = random_batch(n, seed=seed, present=torch.tensor([present] * n))
    return replace(batch, modalities=batch.modalities | {"cxr": replace(batch.modalities["cxr"], values=films(n))})


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_adds_up(fusion):
    net, batch = network(DEEP, fusion), case(seed=2)
    answer = explain([(net, 1.0)], batch, 1, target_name="second")
    assert answer.trusted, answer.checks
    assert answer.logit == pytest.approx(net(batch).logits[0, 1].item(), abs=1e-5)
    assert sum(answer.shapley.values()) == pytest.approx(answer.logit - answer.prior_logit, abs=1e-4)


def test_encoders_for_small_cohorts_add_up():
    net = network(SHALLOW)
    net.fit_encoders(case(seed=1, n=24))
    answer = explain([(net, 1.0)], case(seed=2), 0, target_name="first")
    assert answer.trusted, answer.checks
    assert all(share > 0 for share in answer.gross.values())


def test_every_subset_is_the_answer_without_the_others():
    net, batch = network(DEEP), case(seed=3)
    answer = explain([(net, 1.0)], batch, 0, target_name="first")
    names = list(batch.modalities)
    for subset, logit in answer.subsets.items():
        seen = torch.tensor([[name in subset.split("+") for name in names]])
        assert logit == pytest.approx(net(batch, seen).logits[0, 0].item(), abs=1e-5)


@pytest.mark.parametrize("hidden", range(3))
def test_an_absent_input_that_holds_nan_gets_exactly_nothing(hidden):
    net = network(DEEP, "gated_cross_attention")
    batch = case(seed=4, present=(hidden != 0, hidden != 1, hidden != 2))
    name = list(batch.modalities)[hidden]
    part = batch.modalities[name]
    values = part.values * torch.nan if part.values.is_floating_point() else torch.ones_like(part.values)
    spoiled = replace(batch, modalities=batch.modalities | {name: replace(part, values=values)})
    answer, expected = (explain([(net, 1.0)], one, 0, target_name="first") for one in (spoiled, batch))
    assert not answer.maps[name].any()
    assert answer.shapley[name] == 0
    assert answer.subsets == expected.subsets
    assert all(np.array_equal(answer.maps[one], expected.maps[one]) for one in answer.maps)


def test_what_is_not_evidence_gets_exactly_nothing():
    batch = case(seed=5)
    maps = explain([(network(DEEP), 1.0)], batch, 0, target_name="first").maps
    note, labs = batch.modalities["note"], batch.modalities["labs"]
    special = torch.isin(note.values, torch.tensor(VOCABULARY.special_ids))
    assert not maps["note"][(special | ~note.mask)[0].numpy()].any()
    assert not maps["labs"][~labs.mask[0].numpy()].any()

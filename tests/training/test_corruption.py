"""What is spoilt, and what is not; and that a gate which saw it doubts it afterwards."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric
from small_models import random_batch, small_network

from clinimm.batch import Batch, ModalityBatch
from clinimm.models.build import EncoderPlan, build_network
from clinimm.models.network import Network
from clinimm.training.corruption import spoil
from clinimm.training.doubt import learn_doubt
from clinimm.training.loop import Fold, Plan, fit
from clinimm.training.modality_dropout import Schedule
from clinimm.training.objective import Terms, evenness
from clinimm.types import Analyte, InputState, Kind, Modality, Status


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 99))
def test_what_is_absent_or_unknown_stays_so_when_all_is_spoilt(n: int, seed: int) -> None:
    batch = random_batch(n, seed=seed)
    spoilt = spoil(batch, torch.Generator().manual_seed(seed))
    assert torch.equal(spoilt.present, batch.present)
    for name, part in spoilt.modalities.items():
        before, here = batch.modalities[name], batch.modalities[name].present
        assert torch.equal(part.values[~here], before.values[~here])
        assert torch.equal(part.quality[:, -2:], before.quality[:, -2:])
        assert part.values.isfinite().all()
        if name == "cxr":
            assert not (part.values[here] == before.values[here]).flatten(1).all(1).any()
        if name == "labs":
            assert before.mask is not None
            assert torch.equal(part.values[~before.mask], before.values[~before.mask])


def test_a_spoilt_picture_looks_in_half_of_the_cases_as_it_is_measured_and_else_as_before() -> None:
    batch = random_batch(60)
    looks = {"cxr": lambda picture: torch.stack([picture.mean(), picture.std(correction=0)])}
    spoilt = spoil(batch, torch.Generator().manual_seed(0), looks).modalities["cxr"]
    before = batch.modalities["cxr"]
    moved = (spoilt.quality != before.quality).any(1)
    assert 0.2 < moved[before.present].float().mean() < 0.8
    assert not moved[~before.present].any()
    change = torch.stack([looks["cxr"](one) for one in spoilt.values[moved]])
    change -= torch.stack([looks["cxr"](one) for one in before.values[moved]])
    torch.testing.assert_close(spoilt.quality[moved, :2], before.quality[moved, :2] + change)
    assert torch.equal(spoilt.quality[:, 2:], before.quality[:, 2:])


def test_learning_to_doubt_moves_nothing_else() -> None:
    network, batch = small_network(), random_batch(12)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    learn_doubt(network, batch, random_batch(6, seed=1), {}, draws=1, seed=0)
    changed = {name for name, weight in network.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed
    assert {name.rpartition("judges")[0] for name in changed} == {"fusion.doubt."}
    assert network.training


def test_evenness_of_weights_by_hand() -> None:
    weights = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    several = torch.tensor([[True, True, False], [True, True, True], [False, False, True]])
    torch.testing.assert_close(evenness(weights, several), torch.tensor([1.0, 0.0, 1.0]))


# --- SAFE-09: two panels tell the same; the gate learns which one to doubt

PANELS = tuple(Modality(name, Kind.TABULAR, (4,), tuple(Analyte(a, "1") for a in "abcd")) for name in ("one", "two"))


def redundant(n: int, seed: int) -> Batch:
    """Two panels of four analytes that all lean the same way: up in the positive. Real ones agree with each other."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(n) % 2
    parts = {}
    for modality in PANELS:
        level = (2 * truth - 1)[:, None] + 1.2 * torch.randn(n, 1, generator=generator)
        values = level + 0.3 * torch.randn(n, 4, generator=generator)
        parts[modality.name] = ModalityBatch(
            values, torch.ones(n, dtype=torch.bool), torch.ones(n, 4, dtype=torch.bool),
            torch.tensor([[1.0, 0.0, 0.0, 1.0]]).expand(n, 4), (InputState(Status.PRESENT),) * n,
        )  # fmt: skip
    known = torch.ones(n, 1, dtype=torch.bool)
    return Batch(tuple(f"c{i}" for i in range(n)), parts, truth[:, None].float(), known)


def trained(folder: Path, draws: int) -> Network:
    torch.manual_seed(0)
    plans = {m.name: EncoderPlan("analytes", dropout=0.0) for m in PANELS}
    network = build_network(PANELS, plans, {"one": 4, "two": 4}, width=16, fusion="gate", dropout=0.0, prior=[0.0])
    plan = Plan(
        lr=1e-2, weight_decay=0.01, epochs=6, batch_size=16, clip=1.0, warmup=0.1, patience=99,
        terms=Terms(0.3), schedule=Schedule(0.5, 0.1, 0.5), observed=0.5, analyte_dropout=0.0, pictures=(), seed=0,
        spoilt=draws,
    )  # fmt: skip
    fold = Fold(redundant(256, 1), redundant(64, 2), tuple(f"p{i}" for i in range(64)), ("sick",))
    fabric = Fabric(accelerator="cpu", devices=1)
    fit(network, fold, plan, fabric, folder=folder, fingerprint="f", on_epoch=lambda figures: None)
    return network.eval()


@pytest.mark.slow
def test_the_weight_of_a_spoilt_input_falls_and_the_answer_nears_the_one_without_it(tmp_path: Path) -> None:
    batch = redundant(200, 3)
    noise = 2 * torch.randn(200, 4, generator=torch.Generator().manual_seed(4))
    parts = dict(batch.modalities)
    spoilt = replace(batch, modalities=parts | {"one": replace(parts["one"], values=noise)})
    without = torch.tensor([[False, True]]).expand(200, 2)
    moved = {}
    for draws in (0, 4):
        network = trained(tmp_path / str(draws), draws)
        with torch.inference_mode():
            clean, odd, absent = network(batch), network(spoilt), network(spoilt, without)
        moved[draws] = float((odd.logits - absent.logits).abs().mean())
        if draws:
            assert odd.weights[:, 0].mean() < 0.6 * clean.weights[:, 0].mean()
            assert odd.trust is not None
            assert clean.trust is not None
            assert odd.trust[:, 0].mean() < 0.5 < clean.trust[:, 0].mean()
    assert moved[4] < 0.5 * moved[0]

"""Kept tokens of frozen towers: the same answers as without, computed once, never trusted when torn."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from small_backbones import small_image_tower, small_text_tower
from small_models import VOCABULARY, random_batch, small_network

from clinimm.batch import Batch, ModalityBatch
from clinimm.models.adapt import Adaptation
from clinimm.models.backbone_encoder import BackboneEncoder
from clinimm.models.build import EncoderPlan, TowerPlan
from clinimm.models.network import Network
from clinimm.training import features as module
from clinimm.training.features import Features, read
from clinimm.training.loop import Fold, Plan, fit
from clinimm.training.modality_dropout import Schedule
from clinimm.training.objective import Terms

PLAN = Plan(
    lr=1e-2, weight_decay=0.01, epochs=3, batch_size=4, clip=1.0, warmup=0.1, patience=9, terms=Terms(0.3),
    schedule=Schedule(0.5, 0.1, 0.5), observed=0.5, analyte_dropout=0.1, pictures=(), seed=3,
)  # fmt: skip
NAMES = ("cxr", "note")


def frozen_network(seed: int = 0) -> Network:
    """Two frozen towers, and labs."""
    frozen = Adaptation("frozen")
    return small_network(
        seed=5,
        cxr=EncoderPlan("backbone", tower=TowerPlan(small_image_tower(seed=seed), frozen, 0.5, 0.25)),
        note=EncoderPlan("backbone", tower=TowerPlan(small_text_tower(40), frozen), vocabulary=VOCABULARY),
    )


def count_runs(network: Network) -> list[int]:
    """One item per time that the image tower runs, its rows."""
    runs: list[int] = []
    tower = network.get_submodule("encoders.cxr.tower.trunk")
    tower.register_forward_hook(lambda module, given, out: runs.append(len(out)))
    return runs


def test_answers_with_and_without_are_equal(tmp_path: Path) -> None:
    network, batch = frozen_network().eval(), random_batch(9)
    kept = Features.of(network, NAMES, tmp_path).add(batch)
    runs = count_runs(network)
    found = network(kept)
    assert runs == []
    torch.testing.assert_close(found.logits, network(batch).logits, atol=1e-5, rtol=1e-5)
    assert (kept.modalities["cxr"].encoded.values[~batch.modalities["cxr"].present] == 0).all()
    assert kept.modalities["labs"].encoded is None


def trained(folder: Path, *, cached: bool) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    network = frozen_network()
    fold = Fold(random_batch(12, seed=1), random_batch(8, seed=2), tuple("aabbccdd"), ("one", "two"))
    if cached:
        features = Features.of(network, NAMES, folder / "features")
        fold = replace(fold, train=features.add(fold.train), val=features.add(fold.val))
    fabric = Fabric(accelerator="cpu", devices=1)
    history = fit(network, fold, PLAN, fabric, folder=folder / "c", fingerprint="f", on_epoch=lambda figures: None)
    return network.state_dict(), history


@pytest.mark.slow
def test_training_with_and_without_gives_the_same_model(tmp_path: Path) -> None:
    """But for whom the gate doubts: with kept tokens it is tokens that are spoilt to teach it, without them pixels."""
    plain, figures = trained(tmp_path / "plain", cached=False)
    kept, figures_kept = trained(tmp_path / "kept", cached=True)
    for name, weight in plain.items():
        if name.startswith("fusion.doubt."):
            continue
        torch.testing.assert_close(kept[name], weight, atol=1e-4, rtol=1e-4, msg=name)
    for one, other in zip(figures, figures_kept, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_each_case_is_read_once_and_again_from_disk_to_the_bit(tmp_path: Path) -> None:
    network, batch = frozen_network(), random_batch(7)
    runs = count_runs(network)
    first = Features.of(network, NAMES, tmp_path).add(batch)
    assert runs == [1] * int(batch.modalities["cxr"].present.sum())
    second = Features.of(network, NAMES, tmp_path).add(batch.rows(torch.arange(6, -1, -1)))
    assert len(runs) == int(batch.modalities["cxr"].present.sum())
    for name in NAMES:
        one, other = first.modalities[name].encoded, second.modalities[name].encoded
        assert torch.equal(one.values, other.values.flip(0))
        assert torch.equal(one.mask, other.mask.flip(0))


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied", "rubbish"])
def test_a_torn_or_altered_file_is_made_again(tmp_path: Path, harm: str) -> None:
    network, batch = frozen_network(), random_batch(4, present=torch.ones(4, 3, dtype=torch.bool))
    whole = Features.of(network, NAMES, tmp_path).add(batch)
    for path in tmp_path.glob("*.safetensors"):
        raw = path.read_bytes()
        flipped = raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:]
        path.write_bytes({"cut": raw[: len(raw) // 2], "flipped": flipped, "emptied": b"", "rubbish": b"x" * 99}[harm])
        assert read(path) is None
    again = Features.of(network, NAMES, tmp_path).add(batch)
    for name in NAMES:
        assert torch.equal(whole.modalities[name].encoded.values, again.modalities[name].encoded.values)
    assert all(read(path) is not None for path in tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob(".*"))


def test_other_weights_other_values_or_another_scale_are_other_files(tmp_path: Path) -> None:
    batch = random_batch(1, present=torch.ones(1, 3, dtype=torch.bool))
    moved = replace(batch.modalities["cxr"], values=batch.modalities["cxr"].values + 1e-3)
    network, other = frozen_network(), frozen_network(seed=9)
    rescaled = frozen_network()
    encoder = rescaled.encoders["cxr"]
    assert isinstance(encoder, BackboneEncoder)
    encoder.scaling = (0.5, 0.5)
    asked: list[tuple[Network, Batch]] = [
        (network, batch), (network, replace(batch, modalities=dict(batch.modalities) | {"cxr": moved})),
        (other, batch), (rescaled, batch),
    ]  # fmt: skip
    for i, (net, cases) in enumerate(asked):
        Features.of(net, ("cxr",), tmp_path).add(cases)
        assert len(list(tmp_path.glob("*.safetensors"))) == i + 1


def test_an_input_that_no_case_has_is_left_as_it_is(tmp_path: Path) -> None:
    network = frozen_network().eval()
    batch = random_batch(3, present=torch.tensor([[False, True, True]] * 3))
    kept = Features.of(network, NAMES, tmp_path).add(batch)
    assert kept.modalities["cxr"].encoded is None
    torch.testing.assert_close(network(kept).logits, network(batch).logits, atol=1e-5, rtol=1e-5)


def test_a_kept_input_absent_from_a_whole_batch_leaves_the_graph_whole(tmp_path: Path) -> None:
    network, batch = frozen_network(), random_batch(4, present=torch.tensor([[True] * 3, *[[False, True, True]] * 3]))
    kept = Features.of(network, NAMES, tmp_path).add(batch)
    without = kept.rows(torch.tensor([1, 2, 3]))
    network(without).logits.sum().backward()
    assert all(weight.grad is not None for weight in network.get_submodule("encoders.cxr.project").parameters())


def test_batches_carry_kept_tokens_through_rows_cat_and_to(tmp_path: Path) -> None:
    batch = random_batch(6)
    kept = Features.of(frozen_network(), NAMES, tmp_path).add(batch)
    parts = [kept.rows(torch.tensor([i])).to("cpu") for i in (4, 0)]
    joined = Batch.cat(parts).modalities["note"].encoded
    expected = kept.modalities["note"].encoded
    assert torch.equal(joined.values, expected.values[[4, 0]])
    assert torch.equal(joined.mask, expected.mask[[4, 0]])
    mixed = ModalityBatch.cat([kept.modalities["note"], batch.modalities["note"]])
    assert mixed.encoded is None
    assert module.read(tmp_path / "nothing.safetensors") is None

"""A whole run with a backbone: what is kept in the artifact, what trains at which rate, and the three promises."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, TINY
from lightning_fabric import Fabric
from rich.console import Console
from safetensors.torch import load_file
from small_backbones import saved_backbone, small_backbone, small_image_tower, small_text_tower
from small_models import VOCABULARY, random_batch, small_network
from typer.testing import CliRunner

from clinimm.artifact import verify
from clinimm.attribution.explain import explain
from clinimm.backbone import directory
from clinimm.backbone.use import towers_for
from clinimm.batch import Batch
from clinimm.cli import app
from clinimm.config import Config, load
from clinimm.data.cohort import read_cohort
from clinimm.errors import ArtifactError, BackboneError, ConfigError
from clinimm.inference import Predictor
from clinimm.models.adapt import Adaptation
from clinimm.models.build import EncoderPlan, TowerPlan
from clinimm.models.network import Network
from clinimm.pseudonyms import hashed
from clinimm.training.folds import split
from clinimm.training.loop import Fold, Plan, fit
from clinimm.training.modality_dropout import Schedule
from clinimm.training.objective import Terms
from clinimm.training.optim import Rates, TowerRate, build_optimizer, peak_rates
from clinimm.training.run import train
from clinimm.training.setup import build_fabric, plan_of
from clinimm.types import Case

BACKBONE = ("inputs.cxr.encoder={name='backbone'}", "inputs.note.encoder={name='backbone'}", "optim.epochs=1")
PLAN = Plan(
    lr=1e-2, weight_decay=0.01, epochs=3, batch_size=4, clip=1.0, warmup=0.1, patience=9, terms=Terms(0.3),
    schedule=Schedule(0.5, 0.1, 0.5), observed=0.5, analyte_dropout=0.1, pictures=("cxr",), seed=3,
    towers={"cxr": TowerRate(1e-2, 0.5), "note": TowerRate(1e-2, 0.5)},
)  # fmt: skip


def config_with(backbone: Path, *more: str) -> Config:
    """The tiny run, reading films and notes with the backbone in that directory."""
    tiny = [*(line for line in TINY if "encoder" not in line), "committee={folds=2, learner=false}"]
    return load(ROOT / "configs" / "quickstart.toml", [*tiny, *BACKBONE, f"backbone.path='{backbone}'", *more])


def run(config: Config, cohort: Path, out: Path) -> tuple[Path, list[Case]]:
    cases = read_cohort(config, cohort)
    return train(config, split(config, cases), out).directory, cases


def network_with(mode: str = "lora", seed: int = 5) -> Network:
    """A network with both towers adapted alike, and labs."""
    adaptation = Adaptation(mode, rank=2)  # type: ignore[arg-type]
    return small_network(
        seed=seed,
        cxr=EncoderPlan("backbone", tower=TowerPlan(small_image_tower(), adaptation, 0.5, 0.25), dropout=0.0),
        note=EncoderPlan("backbone", tower=TowerPlan(small_text_tower(40), adaptation), vocabulary=VOCABULARY),
    )


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_backbone(tmp_path_factory.mktemp("backbone") / "small")


@pytest.mark.slow
def test_a_whole_artifact_runs_alone(tmp_path: Path, tiny_cohort: Path) -> None:
    place = saved_backbone(tmp_path / "backbone", trunk="vit")
    modes = ("backbone.image={mode='frozen'}", "backbone.text={mode='lora', rank=2}")
    artifact, cases = run(config_with(place, *modes), tiny_cohort, tmp_path / "run")
    before = Predictor.load(artifact).predict(cases[:4])
    films = sum("cxr" in case.inputs for case in cases)
    assert len(list((tmp_path / "run" / "features").glob("*.safetensors"))) == films
    shutil.rmtree(place)
    assert Predictor.load(artifact).predict(cases[:4]) == before
    assert json.loads((artifact / "origin.json").read_text())["save"] == "whole"
    assert "not known whether test patients were in the backbone's pretraining" in (artifact / "card.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("labels", [[], ["Pneumonia"]])
def test_test_patients_of_the_pretraining_are_counted_and_told(
    tmp_path: Path, tiny_cohort: Path, labels: list[str]
) -> None:
    cases = read_cohort(config_with(tmp_path), tiny_cohort)
    parts = split(config_with(tmp_path), cases)
    tested = sorted({case.patient_id for case in parts.test})
    seen = frozenset(map(hashed, [*tested[:2], parts.train[0].patient_id]))
    directory.save(tmp_path / "b", replace(small_backbone(), seen=seen, provenance={"labels": labels}))
    modes = [f"backbone.{kind}={{mode='frozen', cache=false}}" for kind in ("image", "text")]
    console = Console(file=io.StringIO(), width=200)
    done = train(config_with(tmp_path / "b", *modes), parts, tmp_path / "run", console=console).directory
    how = "with labels of Pneumonia" if labels else "without labels"
    sentence = f"2 of {len(tested)} test patients were in the backbone's pretraining, {how}: figures on them flatter."
    facts = json.loads((done / "metrics.json").read_text())["cohort"]["test"]
    assert facts["pretraining"] == {"patients": 2, "labels": labels}
    assert f"- {sentence}\n" in (done / "card.md").read_text()
    assert sentence in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_an_adapters_artifact_is_small_and_needs_the_very_backbone(tmp_path: Path, tiny_cohort: Path) -> None:
    place = saved_backbone(tmp_path / "backbone", trunk="vit")
    modes = [f"backbone.{kind}={{mode='lora', rank=2}}" for kind in ("image", "text")]
    artifact, cases = run(config_with(place, *modes, "backbone.save='adapters'"), tiny_cohort, tmp_path / "run")
    before = Predictor.load(artifact).predict(cases[:4])
    names = [name for name in load_file(artifact / "weights.safetensors") if ".tower." in name]
    assert names
    assert all(".lora_" in name for name in names)
    assert (artifact / "weights.safetensors").stat().st_size < 300_000
    elsewhere = tmp_path / "elsewhere"
    place.rename(elsewhere)
    digest = directory.describe(elsewhere)["digest"]
    with pytest.raises(ArtifactError, match=f"needs the backbone {digest}") as missing:
        Predictor.load(artifact)
    assert "--backbone" in missing.value.mend
    assert Predictor.load(artifact, backbone=elsewhere).predict(cases[:4]) == before
    asked = ["predict", artifact, tiny_cohort / "manifest.csv", "--backbone", elsewhere]
    found = CliRunner().invoke(app, [str(part) for part in asked])
    assert [json.loads(line) for line in found.stdout.splitlines()[:4]] == [answer.record() for answer in before]
    other = saved_backbone(tmp_path / "other", trunk="vit", seed=7)
    with pytest.raises(ArtifactError, match="is another backbone"):
        Predictor.load(artifact, backbone=other)
    (elsewhere / "image.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"image\.safetensors was changed"):
        Predictor.load(artifact, backbone=elsewhere)
    assert verify(artifact)


@pytest.mark.slow
def test_an_adapters_artifact_of_blocks_answers_as_the_whole_one(
    backbone: Path, tmp_path: Path, tiny_cohort: Path
) -> None:
    answers = []
    for save in ("whole", "adapters"):
        config = config_with(
            backbone, "backbone.image={mode='last_n'}", "backbone.text={mode='full'}", f"backbone.save='{save}'"
        )
        artifact, cases = run(config, tiny_cohort, tmp_path / save)
        answers.append([answer.targets for answer in Predictor.load(artifact).predict(cases[:4])])
    assert answers[0] == answers[1]


def test_towers_start_from_the_backbone_or_from_nothing(backbone: Path) -> None:
    held = directory.load(backbone)
    config = config_with(backbone)
    mine, anew = (
        towers_for(config.model_copy(update={"backbone": config.backbone.model_copy(update={"pretrained": use})}), held)
        for use in (True, False)
    )
    for name, tower in (("cxr", held.image), ("note", held.text)):
        assert all(torch.equal(w, mine[name].state_dict()[key]) for key, w in tower.state_dict().items())
        assert anew[name].architecture == tower.architecture
        assert any(not torch.equal(w, anew[name].state_dict()[key]) for key, w in tower.state_dict().items())


def test_two_inputs_of_one_kind_have_a_tower_each(backbone: Path) -> None:
    both = [f"inputs.{name}.encoder={{name='backbone'}}" for name in ("cxr", "lateral")]
    section = "{kind='image', column='lateral', size=[32, 32], encoder={name='backbone'}}"
    config = config_with(backbone, f"inputs.lateral={section}", *both)
    towers = towers_for(config, directory.load(backbone))
    assert towers["cxr"] is not towers["lateral"]
    for key, weight in towers["cxr"].state_dict().items():
        assert torch.equal(weight, towers["lateral"].state_dict()[key])
        assert weight.data_ptr() != towers["lateral"].state_dict()[key].data_ptr()


def test_every_misfit_is_told_at_once_and_before_anything_is_read(tmp_path: Path, tiny_cohort: Path) -> None:
    vit = saved_backbone(tmp_path / "vit", trunk="vit", length=32)
    config = config_with(
        vit, "inputs.cxr.size=[48, 48]", "backbone.text={mode='last_n', last_n=40}", "backbone.pretrained=false",
        "backbone.save='adapters'",
    )  # fmt: skip
    with pytest.raises(ConfigError) as refused:
        run(config, tiny_cohort, tmp_path / "run")
    said = str(refused.value)
    assert "4 fault(s)" in said
    for part in ("inputs.cxr.size", "(32, 32)", "no more than 32 pieces, not 48", "last_n is 40", "pretrained = false"):
        assert part in said
    assert not (tmp_path / "run").exists()


def test_a_backbone_without_the_tower_is_refused(tmp_path: Path, tiny_cohort: Path) -> None:
    directory.save(tmp_path / "image", replace(small_backbone(), text=None, tokenizer=None))
    with pytest.raises(ConfigError, match="the backbone has no text tower"):
        run(config_with(tmp_path / "image"), tiny_cohort, tmp_path / "run")
    with pytest.raises(BackboneError, match="is not a backbone directory"):
        run(config_with(tmp_path / "nothing"), tiny_cohort, tmp_path / "run")


def test_rates_differ_by_part_and_fall_from_block_to_block() -> None:
    network = network_with("full")
    rates = Rates(1e-3, fusion=2e-3, heads=3e-3, towers={"cxr": TowerRate(1e-4, 0.5), "note": TowerRate(2e-5)})
    peaks = peak_rates(network, rates)
    found = {name: peaks[weight] for name, weight in network.named_parameters() if weight in peaks}
    assert {rate for name, rate in found.items() if name.startswith(("fusion.", "summaries."))} == {2e-3}
    assert {rate for name, rate in found.items() if name.startswith(("opinions.", "head.", "independence"))} == {3e-3}
    assert {rate for name, rate in found.items() if ".project." in name and "labs" not in name} == {2e-3}
    assert {rate for name, rate in found.items() if name.startswith("encoders.labs")} == {1e-3}
    assert {rate for name, rate in found.items() if name.startswith("encoders.note.tower")} == {2e-5}
    blocks = network.encoders["cxr"].tower.blocks()
    for above, below in zip(blocks[1:], blocks[:-1], strict=True):
        (high,), (low,) = ({peaks[weight] for weight in block.parameters()} for block in (above, below))
        assert low == pytest.approx(high / 2)
    assert {peaks[weight] for weight in blocks[-1].parameters()} == {1e-4}


def test_every_trained_weight_is_in_one_group_of_its_own_rate() -> None:
    network = network_with("full")
    optimizer = build_optimizer(peak_rates(network, PLAN.rates), 0.01)
    assert len({group["peak"] for group in optimizer.param_groups}) > 3
    assert all(group["lr"] == group["peak"] for group in optimizer.param_groups)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == sum(
        weight.requires_grad for weight in network.parameters()
    )


def test_settings_reach_the_plan(backbone: Path) -> None:
    config = config_with(
        backbone, "backbone.image={mode='frozen'}", "backbone.text={mode='full', lr=1e-5, decay=0.8}",
        "optim.fusion_lr=2e-3", "optim.heads_lr=3e-3",
    )  # fmt: skip
    plan = plan_of(config)
    assert plan.rates == Rates(config.optim.lr, 2e-3, 3e-3, dict(plan.towers))
    assert plan.towers == {"cxr": TowerRate(config.optim.lr), "note": TowerRate(1e-5, 0.8)}
    assert plan.pictures == ()
    assert plan_of(config_with(backbone, "backbone.image={mode='frozen', cache=false}")).pictures == ("cxr",)


def train_small(folder: Path, mode: str, stop_after: int = 99, fabric: Fabric | None = None) -> dict[str, torch.Tensor]:
    network = network_with(mode)
    fold = Fold(random_batch(12, seed=1), random_batch(8, seed=2), tuple("aabbccdd"), ("one", "two"))

    def on_epoch(figures: dict[str, float]) -> None:
        if figures["epoch"] == stop_after:
            raise KeyboardInterrupt

    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    fit(network, fold, PLAN, fabric, folder=folder / "c", fingerprint="f", on_epoch=on_epoch)
    return network.state_dict()


@pytest.mark.slow
def test_a_run_with_lora_cut_off_and_resumed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_small(tmp_path / "cut", "lora", stop_after=1)
    straight, resumed = train_small(tmp_path / "straight", "lora"), train_small(tmp_path / "cut", "lora")
    assert all(torch.equal(weight, resumed[name]) for name, weight in straight.items())
    kept = {name.partition("/")[2] for name in load_file(tmp_path / "cut" / "c" / "state.safetensors")}
    towers = [name for name in kept if ".tower." in name]
    assert towers
    assert all(".lora_" in name for name in towers)


@pytest.mark.slow
def test_mixed_precision_trains_the_adapters(backbone: Path, tmp_path: Path) -> None:
    fabric = build_fabric(config_with(backbone, "run.precision='bf16-mixed'", "run.device='cpu'"))
    before, after = network_with("lora").state_dict(), train_small(tmp_path, "lora", fabric=fabric)
    moved = {name for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert {name for name in moved if ".tower." in name} == {name for name in after if ".lora_" in name}
    assert all(weight.dtype == before[name].dtype for name, weight in after.items())
    assert all(torch.isfinite(weight).all() for weight in after.values())


def test_a_frozen_tower_comes_out_of_training_to_the_bit(tmp_path: Path) -> None:
    before, after = network_with("frozen").state_dict(), train_small(tmp_path, "frozen")
    moved = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert any("running_mean" in name for name in before)
    assert not any(".tower." in name for name in moved)
    assert {"encoders.cxr.project.1.weight", "fusion.maps.maps.0.weight"} <= moved


@pytest.mark.parametrize("mode", ["frozen", "lora", "full"])
def test_absent_means_absent(mode: str) -> None:
    network, batch = network_with(mode).eval(), random_batch(8)
    poisoned = {}
    for name, part in batch.modalities.items():
        values = part.values.clone()
        values[~part.present] = 7 if name == "note" else float("nan")
        poisoned[name] = replace(part, values=values)
    answers = network(batch)
    assert torch.equal(answers.logits, network(replace(batch, modalities=poisoned)).logits)
    assert (answers.weights[~batch.present] == 0).all()
    alone = torch.cat([network(batch.rows(torch.tensor([i]))).logits for i in range(8)])
    torch.testing.assert_close(answers.logits, alone, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("mode", ["frozen", "lora"])
def test_an_explanation_adds_up_through_the_towers(mode: str) -> None:
    network = network_with(mode).eval()
    batch: Batch = random_batch(1, present=torch.tensor([[True, True, False]]))
    found = explain([(network, 1.0)], batch, 0, target_name="one", tolerance=0.01)
    assert all(check.passed for check in found.checks)
    assert sum(found.net.values()) == pytest.approx(found.logit - found.baseline_logit, abs=0.02)
    assert np.any(found.maps["cxr"])
    assert np.any(found.maps["note"])
    assert not np.any(found.maps["labs"])

"""Training: learns, repeats itself, and goes on where it was cut off as if it had not been."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from small_models import random_batch, small_network

from clinimm.config import Config
from clinimm.data.cohort import read_cohort
from clinimm.errors import TrainingError
from clinimm.training.folds import split, train_folds
from clinimm.training.loop import Fold, Plan, fit
from clinimm.training.modality_dropout import Schedule
from clinimm.training.objective import Terms
from clinimm.training.run import train
from clinimm.training.tracking import Tracker

PLAN = Plan(
    lr=1e-2,
    weight_decay=0.0,
    epochs=4,
    batch_size=4,
    clip=1.0,
    warmup=0.1,
    patience=10,
    terms=Terms(0.3),
    schedule=Schedule(0.5, 0.1, 0.5),
    observed=0.5,
    analyte_dropout=0.1,
    pictures=("cxr",),
    seed=3,
)


def small_fold(cases: int = 12) -> Fold:
    patients = tuple(f"p{i // 2}" for i in range(8))
    return Fold(random_batch(cases, seed=1), random_batch(8, seed=2), patients, ("one", "two"))


def run(folder: Path, plan: Plan = PLAN, fold: Fold | None = None, stop_after: int = 99) -> dict[str, torch.Tensor]:
    """Trains a small network; with `stop_after` the process that trains is interrupted at the end of that epoch."""
    network = small_network(seed=5)

    def on_epoch(figures: dict[str, float]) -> None:
        if figures["epoch"] == stop_after:
            raise KeyboardInterrupt

    fabric = Fabric(accelerator="cpu", devices=1)
    fit(network, fold or small_fold(), plan, fabric, folder=folder / "c", fingerprint="f", on_epoch=on_epoch)
    return network.state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(weight, second[name]) for name, weight in first.items())


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(tmp_path: Path) -> None:
    first = run(tmp_path / "a")
    assert same(first, run(tmp_path / "b"))
    assert not same(first, run(tmp_path / "c", replace(PLAN, seed=4)))


@pytest.mark.parametrize("cut", [1, 3])
@pytest.mark.slow
def test_a_run_cut_off_and_resumed_ends_as_one_that_was_not(tmp_path: Path, cut: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_after=cut)
    assert same(run(tmp_path / "straight"), run(tmp_path / "cut"))


@pytest.mark.slow
def test_it_overfits_eight_cases(tmp_path: Path) -> None:
    """The same cases to train and to stop on, nothing hidden: every label is learned by heart."""
    batch = random_batch(8, seed=1)
    plan = replace(PLAN, epochs=40, patience=40, schedule=Schedule(0.0, 0, 1), analyte_dropout=0.0, pictures=())
    network = small_network(seed=5)
    fold = Fold(batch, batch, tuple("abcdefgh"), ("one", "two"))
    fabric = Fabric(accelerator="cpu", devices=1)
    fit(network, fold, plan, fabric, folder=tmp_path / "c", fingerprint="f", on_epoch=lambda figures: None)
    network.eval()
    with torch.inference_mode():
        answers = network(batch).logits > 0
    assert torch.equal(answers, batch.targets > 0.5)


def test_the_best_epoch_by_the_mean_over_masks_is_kept(tmp_path: Path) -> None:
    network = small_network(seed=5)
    told: list[dict[str, float]] = []
    fabric = Fabric(accelerator="cpu", devices=1)
    history = fit(network, small_fold(), PLAN, fabric, folder=tmp_path / "c", fingerprint="f", on_epoch=told.append)
    assert history == told
    standing = json.loads((tmp_path / "c" / "standing.json").read_text())
    assert standing["best"][0] == min(1 - row["val_auroc_over_masks"] for row in history)
    best = {
        n.removeprefix("best/"): w for n, w in load_file(tmp_path / "c" / "state.safetensors").items() if "best/" in n
    }
    learned = {name: weight for name, weight in network.state_dict().items() if "doubt" not in name}  # fitted last
    assert same(learned, best)


@pytest.mark.slow
def test_an_unknown_label_gives_no_gradient(tmp_path: Path) -> None:
    fold = small_fold()
    unknown = fold.train.target_mask.clone()
    unknown[:, 1] = False
    flipped = replace(fold.train, target_mask=unknown, targets=1 - fold.train.targets * torch.tensor([0.0, 1.0]))
    kept = replace(fold.train, target_mask=unknown, targets=1 - fold.train.targets * torch.tensor([0.0, 0.0]))
    first = run(tmp_path / "a", fold=replace(fold, train=flipped))
    assert same(first, run(tmp_path / "b", fold=replace(fold, train=kept)))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    fabric = Fabric(accelerator="cpu", devices=1)
    with pytest.raises(TrainingError, match="other settings"):
        fit(
            small_network(), small_fold(), PLAN, fabric,
            folder=tmp_path / "c", fingerprint="g", on_epoch=lambda figures: None,
        )  # fmt: skip


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    fold = small_fold()
    images = fold.train.modalities["cxr"]
    broken = dict(fold.train.modalities) | {"cxr": replace(images, values=images.values * float("nan"))}
    with pytest.raises(TrainingError, match="not finite"):
        run(tmp_path, fold=replace(fold, train=replace(fold.train, modalities=broken)))


def test_a_whole_run_leaves_an_artifact_a_card_and_its_figures(tiny_artifact: Path) -> None:
    names = {path.name for path in tiny_artifact.iterdir()}
    assert names == {
        "manifest.json", "config.json", "preparer.json", "encoders.json", "weights.safetensors", "calibration.json",
        "patients.json", "metrics.json", "card.md", "members.json", "decision.json", "guards.safetensors",
    }  # fmt: skip
    assert "Not for diagnosis" in (tiny_artifact / "card.md").read_text()
    lines = (tiny_artifact.parent / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]  # two folds
    assert list((tiny_artifact.parent / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_running_again_is_the_same_artifact_to_the_bit(
    tiny_artifact: Path, tiny_cohort: Path, tiny_config: Config, tmp_path: Path
) -> None:
    cases = read_cohort(tiny_config, tiny_cohort)
    again = train(tiny_config, split(tiny_config, cases), tmp_path)
    assert (again.directory / "manifest.json").read_bytes() == (tiny_artifact / "manifest.json").read_bytes()


@pytest.mark.slow
def test_folds_answer_for_every_case_once(tiny_cohort: Path, tiny_config: Config, tmp_path: Path) -> None:
    cases = read_cohort(tiny_config, tiny_cohort)
    evaluation = train_folds(tiny_config, cases, tmp_path)
    assert evaluation.cases == len(cases)
    assert len(list(tmp_path.glob("fold-*/artifact/manifest.json"))) == 5


def test_no_case_of_a_class_is_refused_by_name(tiny_cohort: Path, tiny_config: Config, tmp_path: Path) -> None:
    cases = [
        replace(case, targets=dict(case.targets) | {"pneumonia": None})
        for case in read_cohort(tiny_config, tiny_cohort)
    ]
    with pytest.raises(TrainingError, match="pneumonia"):
        train(tiny_config, split(tiny_config, cases), tmp_path)


def test_a_tracker_of_a_resumed_run_tells_each_epoch_once(tmp_path: Path) -> None:
    row = {"epoch": 1.0, "val_loss": 0.5, "val_auroc_over_masks": 0.6}
    for _ in range(2):
        with Tracker(tmp_path, 2, None, "run") as tracker:
            tracker.epoch(row)
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 1

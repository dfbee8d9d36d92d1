"""Whole runs: same seed same bits, a run cut off ends as one that was not, and what is left can be used."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from small_backbones import saved_backbone
from small_corpora import HABITS, rates, small_corpus, small_encoders, small_learner
from torch import Tensor
from typer.testing import CliRunner

from clinimm.backbone import directory
from clinimm.backbone.encode import encode_pictures, encode_texts
from clinimm.cli import app
from clinimm.config import PretrainConfig, load_as, parse_as
from clinimm.errors import BackboneError, ConfigError, TrainingError
from clinimm.pretraining.build import build_encoders, build_language, grid_of, read_cases, start
from clinimm.pretraining.loop import Plan, fit
from clinimm.pretraining.run import origin, pretrain, seen_patients
from clinimm.pseudonyms import hashed
from clinimm.training.checkpoint import Standing

PLAN = Plan(weight_decay=0.05, epochs=3, batch_size=6, clip=1.0, warmup=0.1, seed=3, habits=HABITS)
COLUMNS = {
    "name": "tiny",
    "image": {"column": "cxr", "size": [32, 32], "tower": {"name": "trunk", "options": {
        "trunk": "resnet10", "options": {"planes": [4, 8, 8, 16], "max_pool": False}}}},
    "text": {"column": "note", "length": 48, "tower": {
        "name": "bert", "options": {"hidden": 16, "layers": 1, "heads": 2}}},
    "space": {"width": 8},
    "objectives": {"semantic": 0.5, "masked_words": 0.5, "masked_patches": 0.5, "matching": 0.1},
    "optim": {"epochs": 2, "batch_size": 16},
}  # fmt: skip


def short_run(
    folder: Path, plan: Plan = PLAN, *, val: bool = True, stop_after: int = 99
) -> tuple[Standing, dict[str, Tensor]]:
    """A run with dropout; with `stop_after` it is interrupted when that epoch has been told."""
    encoders = small_encoders(norm="batch", dropout=0.2)
    learner = small_learner(encoders, micro_batch=4)

    def on_epoch(figures: dict[str, float]) -> None:
        if figures["epoch"] == stop_after:
            raise KeyboardInterrupt

    standing = fit(
        learner, encoders, rates(encoders, learner), small_corpus(12), small_corpus(8, seed=5) if val else None, plan,
        folder=folder / "checkpoint", fingerprint="f", on_epoch=on_epoch,
    )  # fmt: skip
    return standing, encoders.state_dict()


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Standing, dict[str, Tensor]]:
    return short_run(tmp_path_factory.mktemp("straight"))


@pytest.mark.slow
def test_same_seed_same_bits_other_seed_others(straight: tuple[Standing, dict[str, Tensor]], tmp_path: Path) -> None:
    again = short_run(tmp_path / "again")
    assert straight[0] == again[0]
    assert same(straight[1], again[1])
    assert not same(straight[1], short_run(tmp_path / "other", replace(PLAN, seed=4))[1])


@pytest.mark.parametrize("cut", [1, 2])
def test_a_run_cut_off_and_resumed_ends_the_same_to_the_bit(
    straight: tuple[Standing, dict[str, Tensor]], tmp_path: Path, cut: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        short_run(tmp_path, stop_after=cut)
    resumed = short_run(tmp_path)
    assert straight[0] == resumed[0]
    assert same(straight[1], resumed[1])


def test_the_best_epoch_by_validation_is_kept_and_the_last_without_any(
    straight: tuple[Standing, dict[str, Tensor]], tmp_path: Path
) -> None:
    ranks = [row["val_image_to_text_mrr"] + row["val_text_to_image_mrr"] for row in straight[0].history]
    assert straight[0].best_epoch == 1 + ranks.index(max(ranks))
    assert short_run(tmp_path, replace(PLAN, epochs=2), val=False)[0].best_epoch == 2


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    short_run(tmp_path, replace(PLAN, epochs=1))
    standing = tmp_path / "checkpoint" / "standing.json"
    standing.write_text(standing.read_text().replace('"f"', '"g"'))
    with pytest.raises(TrainingError, match="other settings"):
        short_run(tmp_path)


@pytest.mark.slow
def test_it_learns_to_find_the_text_of_every_picture(tmp_path: Path) -> None:
    corpus = small_corpus(8, have=("both",))
    corpus = replace(corpus, patients=torch.arange(8))
    corpus.texts.patients[:8] = torch.arange(8)
    encoders = small_encoders(norm="batch")
    learner = small_learner(encoders, {"info_nce": 1.0}, {})
    plan = replace(PLAN, epochs=25, batch_size=8, habits=replace(HABITS, sentence=0.0, decoupled=0.0, shake=False))
    standing = fit(
        learner, encoders, rates(encoders, learner, 1e-2), corpus, corpus, plan,
        folder=tmp_path / "checkpoint", fingerprint="f", on_epoch=lambda figures: None,
    )  # fmt: skip
    best = standing.history[standing.best_epoch - 1]
    assert best["val_image_to_text_recall_at_1"] == best["val_text_to_image_recall_at_1"] == 1


def settings(**changes: object) -> PretrainConfig:
    return parse_as(PretrainConfig, COLUMNS | changes, "test")


@pytest.fixture(scope="module")
def finished(tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run by the command line, and what it printed."""
    out = tmp_path_factory.mktemp("pretrained")
    config = out / "tiny.toml"
    config.write_text(
        'name = "tiny"\n[image]\ncolumn = "cxr"\nsize = [32, 32]\n[image.tower]\nname = "trunk"\n'
        'options = { trunk = "resnet10", options = { planes = [4, 8, 8, 16], max_pool = false } }\n'
        '[text]\ncolumn = "note"\nlength = 48\n[text.tower]\nname = "bert"\n'
        "options = { hidden = 16, layers = 1, heads = 2 }\n[space]\nwidth = 8\n"
        "[objectives]\nsemantic = 0.5\nmasked_words = 0.5\nmasked_patches = 0.5\nmatching = 0.1\n"
    )
    told = CliRunner().invoke(
        app,
        ["pretrain", str(config), "--data", str(tiny_cohort), "--out", str(out / "run"),
         "--set", "optim.epochs=2", "--set", "optim.batch_size=16"],
        catch_exceptions=False,
    )  # fmt: skip
    assert told.exit_code == 0
    return out / "run", told.stdout


def test_a_run_leaves_a_backbone_and_says_how_to_use_it(finished: tuple[Path, str]) -> None:
    out, said = finished
    assert said.rstrip().endswith(f'[backbone]\npath = "{out / "backbone"}"')
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    backbone = directory.load(out / "backbone")
    assert backbone.family == "clinimm"
    assert sorted(name.split(".")[1] for name in backbone.leftover) == ["pair_head"] * 4
    points, _ = encode_texts(backbone, ["No cough and no fever."])
    assert (encode_pictures(backbone, torch.rand(2, 1, 32, 32)) @ points.T).shape == (2, 1)


def test_what_it_learned_from_stands_in_the_backbone(finished: tuple[Path, str]) -> None:
    told = directory.describe(finished[0] / "backbone")["provenance"]
    train, val = told["corpus"]["train"], told["corpus"]["val"]
    assert train["cases"] + val["cases"] + train["cases_without_either"] + val["cases_without_either"] == 48
    assert train["pairs"] < min(train["pictures"], train["texts"])  # unpaired pictures and texts take part
    assert told["figures"]["epoch"] == told["epoch"]
    assert told["observations"][0] == "No Finding"


def test_a_backbone_remembers_the_patients_that_it_learned_from_or_stopped_by(
    finished: tuple[Path, str], tiny_cohort: Path, tmp_path: Path
) -> None:
    cases = [case for case in read_cases(settings(), tiny_cohort) if case.inputs]
    place = finished[0] / "backbone"
    backbone = directory.load(place)
    assert backbone.seen == {hashed(case.patient_id) for case in cases}
    assert not any(case.patient_id in (place / "patients.json").read_text() for case in cases)
    facts = json.loads(CliRunner().invoke(app, ["backbone", "show", str(place), "--json"]).stdout)
    assert facts["patients_seen"] == len(backbone.seen)
    shutil.copytree(place, tmp_path / "copy")
    (tmp_path / "copy" / "patients.json").write_text("[]")
    with pytest.raises(BackboneError, match=r"patients\.json was changed"):
        directory.load(tmp_path / "copy")


def test_patients_of_the_weights_it_starts_from_are_seen_too(tiny_cohort: Path, tmp_path: Path) -> None:
    path, other = saved_backbone(tmp_path / "imported"), tmp_path / "pretrained"
    directory.save(other, replace(directory.load(path), seen=frozenset({hashed("another")})))
    cases = read_cases(settings(), tiny_cohort)
    for place, use, seen, known in (
        (path, True, set(), False),
        (other, True, {"another"}, True),
        (other, False, set(), None),
    ):
        section = {"path": str(place), "pretrained": use}
        config = settings(image={"column": "cxr", "size": [32, 32]}, text={"column": "note"}, backbone=section)
        begun = start(config, cases)
        here = {case.patient_id for case in cases[:9] if case.inputs}
        assert seen_patients((cases[:4], cases[4:9]), begun) == set(map(hashed, here | seen))
        begins = origin(config, begun)["start"]
        assert (begins and begins["patients_known"]) == known


def test_show_is_readable(finished: tuple[Path, str]) -> None:
    asked = ["backbone", "show", str(finished[0] / "backbone")]
    said = CliRunner().invoke(app, asked).stdout
    assert "pretrained: tiny, as it stood after epoch" in said
    assert "patients seen in pretraining: " in said
    assert "recall at 10" in said
    assert max(map(len, said.splitlines())) < 400
    assert '"batch_size": 16' not in said
    assert '"batch_size": 16' in CliRunner().invoke(app, [*asked, "--verbose"]).stdout


def test_a_frozen_tower_of_a_backbone_stays_and_its_projection_learns(tiny_cohort: Path, tmp_path: Path) -> None:
    path = saved_backbone(tmp_path / "old")
    use = {"path": str(path), "image": {"mode": "frozen"}, "text": {"mode": "last_n", "last_n": 1}}
    image = {"column": "cxr", "size": [32, 32]}
    config = settings(image=image, text={"column": "note"}, backbone=use, objectives={}, optim={"epochs": 1})
    done = pretrain(config, read_cases(config, tiny_cohort), tmp_path / "run")
    before, after = directory.load(path), directory.load(done.directory)
    old, new = before.towers["image"].state_dict(), after.towers["image"].state_dict()
    assert {name for name in old if not torch.equal(old[name], new[name])} == {"projection.0.weight"}
    old, new = before.towers["text"].state_dict(), after.towers["text"].state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed
    assert all("layer.1." in name or name.startswith("projection") for name in changed)


def test_lora_is_refused(tmp_path: Path) -> None:
    use = {"path": str(saved_backbone(tmp_path / "old")), "image": {"mode": "lora"}}
    config = settings(image={"column": "cxr", "size": [32, 32]}, text={"column": "note"}, backbone=use)
    begun = start(config, [])
    with pytest.raises(ConfigError, match="whole blocks"):
        build_encoders(config, begun, build_language(config, begun).length)


def test_the_shipped_config_is_sound() -> None:
    config = load_as(PretrainConfig, ROOT / "configs" / "pretrain_cxr.toml")
    assert "4" not in config.data.folds


@pytest.mark.parametrize(
    ("size", "tokens", "grid"),
    [((64, 64), 4, (2, 2)), ((224, 224), 197, (14, 14)), ((224, 224), 49, (7, 7)), ((64, 32), 8, (4, 2))],
)
def test_tokens_lie_in_the_picture_as_a_grid(size: tuple[int, ...], tokens: int, grid: tuple[int, ...]) -> None:
    assert grid_of(size, tokens) == grid

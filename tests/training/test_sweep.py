"""Sweeps: what is planned, what a crash or a kill leaves, and that tests do not choose."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_answers import answers_of, drawn
from two_panels import write_config, write_panels
from typer.testing import CliRunner

from clinimm.cli import app
from clinimm.config import Config, load
from clinimm.errors import ConfigError
from clinimm.metrics import auroc
from clinimm.training.point import validation_score
from clinimm.training.ranking import ranked, ranking_grid
from clinimm.training.sweep import Axis, Outcome, Point, plan, slots

GRID = ["--over", "optim.lr=4e-2,1e-3", "--over", "model.width=4,8"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with a config and a small cohort of two folds."""
    write_panels(tmp_path, "train.csv", n=80, seed=1)
    path = write_config(tmp_path)
    text = path.read_text().replace('attributes = ["site"]', 'attributes = ["site"]\nfold_column = "fold"')
    path.write_text(
        text.replace("epochs = 5", "epochs = 2")
        .replace("folds = 2", "folds = 0")
        .replace("bootstrap = 100", "bootstrap = 10")
    )
    return path


def planned(base: Path, *axes: str, seeds: int = 1, sample: int | None = None) -> list[Point]:
    def made(settings: object) -> Config:
        return load(base, settings)  # type: ignore[arg-type]

    return plan(made, [Axis.parse(axis) for axis in axes], seeds=seeds, sample=sample)


def test_a_plan_has_every_combination_and_seed(base: Path) -> None:
    points = planned(base, "optim.lr=1e-3,3e-3", "model.fusion=gate,evidential", seeds=3)
    assert len(points) == 12
    assert {(p.config.optim.lr, p.config.model.fusion) for p in points} == {
        (lr, fusion) for lr in (1e-3, 3e-3) for fusion in ("gate", "evidential")
    }
    assert {p.config.run.seed for p in points} == {0, 1, 2}
    assert len({p.key for p in points}) == 4
    assert len({p.folder(Path("x")) for p in points}) == 12


def test_a_random_plan_is_part_of_the_whole_and_the_same_again(base: Path) -> None:
    axes = ("optim.lr=1e-3,2e-3,3e-3", "model.width=4,8,16")
    some = planned(base, *axes, sample=4)
    assert len(some) == 4
    assert {p.key for p in some} < {p.key for p in planned(base, *axes)}
    assert [p.key for p in some] == [p.key for p in planned(base, *axes, sample=4)]


def test_values_keep_their_brackets(base: Path) -> None:
    axis = Axis.parse("model.fusion_options={a=1, b=[2,3]},{}, ")
    assert axis.values == ("{a=1, b=[2,3]}", "{}")
    for wrong in ("optim.lr", "optim.lr=", "=3"):
        with pytest.raises(ConfigError, match="names no values"):
            Axis.parse(wrong)


def test_settings_that_are_none_are_told_before_anything_runs(base: Path) -> None:
    with pytest.raises(ConfigError, match=r"optim\.lr=fast.*optim\.speed=9|optim\.speed"):
        planned(base, "optim.speed=9", "optim.lr=fast,1e-3")
    with pytest.raises(ConfigError, match="given twice"):
        planned(base, "optim.lr=1e-3", "optim.lr=1e-2")


def test_places_follow_cores_threads_and_gpus(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(base, ("run.threads=2", "run.device=auto"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [place["OMP_NUM_THREADS"] for place in slots(config, None)] == ["2"] * 4
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert [place["CUDA_VISIBLE_DEVICES"] for place in slots(config, None)] == ["3", "5"]
    assert [place["CUDA_VISIBLE_DEVICES"] for place in slots(config, 3)] == ["3", "5", "3"]
    assert "CUDA_VISIBLE_DEVICES" not in slots(load(base, ("run.device=cpu",)), None)[0]


def outcome(point: Point, validation: list[float], test: float) -> Outcome:
    row = {"name": "blood+urine", "metrics": {"auroc": {"value": test}}}
    other = {"name": "blood", "metrics": {"auroc": {"value": 0.0}}}
    record = {"targets": [{"subsets": [other, row]}]}
    return Outcome(point, {"validation": validation, "test": record, "seconds": 60.0})


def test_the_best_on_validation_leads_whatever_the_test_says(base: Path) -> None:
    first, second, third = planned(base, "model.width=4,8,16")
    rows = ranked([outcome(first, [0.7, 0.8], 0.99), outcome(second, [0.9, 0.8], 0.6), Outcome(third, None, "died")])
    assert [row.settings for row in rows] == [("model.width=8",), ("model.width=4",), ("model.width=16",)]
    assert (rows[0].validation, rows[0].test) == (pytest.approx(0.85), 0.6)
    assert (rows[2].failed, rows[2].validation) == (1, None)
    assert "not to choose by" in " ".join(ranking_grid(rows).notes)


def test_the_validation_score_is_the_mean_over_subsets() -> None:
    labels, p = drawn(60, seed=0)
    present = np.ones((60, 2), dtype=bool)
    present[:10, 0] = False
    parts = {"labs": p, "note": 1 - p, "labs+note": np.round(p, 1)}
    said = answers_of(labels, parts, modalities=("labs", "note"), present=present)
    by_hand = (auroc(labels[10:], p[10:]) + auroc(labels, 1 - p) + auroc(labels, np.round(p, 1))) / 3
    assert validation_score(said) == pytest.approx(by_hand)
    assert validation_score(answers_of(labels, {"labs": p}, present=np.zeros((60, 1), dtype=bool))) is None


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_where_it_stood(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    words = ["sweep", str(base), *GRID, "--out", str(out), "--jobs", "2"]
    command = [sys.executable, "-c", "from clinimm.cli import main; main()", *words]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until(lambda: list(out.glob("*/*/result.json")), 300)
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: not working(out), 60)  # its children end with it
    first = {path: path.read_bytes() for path in out.glob("*/*/result.json")}
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert len(list(out.glob("*/*/result.json"))) == 4
    assert {path: path.read_bytes() for path in first} == first
    found = json.loads((out / "results.json").read_text())
    scores = [row["validation"] for row in found["settings"]]
    assert scores == sorted(scores, reverse=True)
    assert all(len(run["folder"].split("/")) == 2 and not run["failure"] for run in found["runs"])


@pytest.mark.slow
def test_a_run_that_fails_stops_no_other_and_is_told(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    done = CliRunner().invoke(
        app, ["sweep", str(base), "--over", "optim.lr=1e30,1e-3", "--out", str(out), "--jobs", "1"]
    )
    assert done.exit_code == 1
    assert "FAILED: optim.lr=1e30 seed=0: exit code 2" in done.output
    found = json.loads((out / "results.json").read_text())
    assert [row["failed"] for row in found["settings"]] == [0, 1]
    assert [bool(run["failure"]) for run in found["runs"]] == [True, False]


def working(out: Path) -> list[str]:
    """The processes that have the folder in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:  # ended meanwhile
            continue
        found += [path.parent.name] if any(word.startswith(str(out)) for word in words) else []
    return found


def until(holds, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)

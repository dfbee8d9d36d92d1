"""What MLflow is told of a run, in a store of its own: settings, epochs once each, test figures; never a patient."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from small_answers import answers_of, drawn

from clinimm.config import Config
from clinimm.errors import ConfigError
from clinimm.evaluation.evaluate import evaluate
from clinimm.training.ledger import Ledger, flattened
from clinimm.training.tracking import Tracker

pytestmark = pytest.mark.slow  # MLflow takes its time to be imported and to make its tables


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'runs.db'}"


def figures(epoch: int) -> dict[str, float]:
    return {"epoch": float(epoch), "val_loss": 1 / epoch, "val_auroc_over_masks": 0.5, "train_loss": float("nan")}


def test_a_run_is_told_once_though_it_was_resumed(store: str, tiny_config: Config, tmp_path: Path) -> None:
    first = Ledger.open(store, tiny_config, tmp_path / "run", "train")
    with Tracker(tmp_path / "run", 3, None, "train", ledger=first) as tracker:
        for epoch in (1, 2):
            tracker.epoch(figures(epoch))
    second = Ledger.open(store, tiny_config, tmp_path / "run", "train")
    with Tracker(tmp_path / "run", 3, None, "train", ledger=second) as tracker:
        for epoch in (1, 2, 3):
            tracker.epoch(figures(epoch))
    labels, p = drawn(60, seed=0)
    evaluation = evaluate(answers_of(labels, {"labs": p}), bootstrap=10)
    second.finish(evaluation, "d" * 64)

    client = MlflowClient(store)
    [run] = client.search_runs([client.get_experiment_by_name("quickstart").experiment_id])
    assert run.info.run_id == first.run_id == second.run_id
    assert [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")] == [1, 2, 3]
    assert run.data.params["model.width"] == "8"
    assert run.data.params["inputs.cxr.size"] == "[32, 32]"
    assert run.data.metrics["test.finding.auroc"] == evaluation.targets[0].whole.estimates["auroc"].value
    assert "train_loss" not in run.data.metrics
    assert run.data.tags["clinimm.artifact"] == "d" * 64
    assert run.info.status == "FINISHED"


def test_no_patient_is_told(store: str, tiny_config: Config, tmp_path: Path) -> None:
    labels, p = drawn(60, seed=0)
    secret = [f"PATIENT-{i}" for i in range(60)]
    ledger = Ledger.open(store, tiny_config, tmp_path / "run", "train")
    ledger.finish(evaluate(answers_of(labels, {"labs": p}, patients=secret), bootstrap=10), "d" * 64)
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        assert "PATIENT-" not in "\n".join(database.iterdump())


def test_a_store_that_fails_later_stops_no_training(store: str, tiny_config: Config, tmp_path: Path) -> None:
    ledger = Ledger.open(store, tiny_config, tmp_path / "run", "train")
    ledger.client.delete_run(ledger.run_id)
    ledger.epoch(figures(1))
    ledger.finish(evaluate(answers_of(np.ones(4, dtype=bool), {"labs": np.ones(4)}), bootstrap=10), "d" * 64)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "does not answer"),
        ("https://me:secret@host/x", "holds a password"),
        ("nosuch:x", "does not answer"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_before_training(
    uri: str, said: str, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match=said) as refusal:
        Ledger.open(uri, tiny_config, tmp_path / "run", "train")
    assert "secret" not in str(refusal.value)


def test_settings_are_flattened() -> None:
    assert flattened({"a": {"b": 1, "c": {}}, "d": None, "e": "x" * 900}) == {
        "a.b": "1", "a.c": "{}", "d": "null", "e": "x" * 500
    }  # fmt: skip

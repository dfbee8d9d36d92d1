"""The report of a model that was trained and loaded: it names its files, and how it did on patients like this one."""

import hashlib
from pathlib import Path

import jsonschema_rs
import pytest

from clinimm.artifact import load, save
from clinimm.config import Config
from clinimm.data.cohort import read_cohort
from clinimm.inference import Predictor
from clinimm.io.sandbox import Sandbox
from clinimm.report.canonical import Json, parsed
from clinimm.report.html import render
from clinimm.report.record import build
from clinimm.report.schema import schema
from clinimm.types import Case


@pytest.fixture(scope="module")
def case(tiny_cohort: Path, tiny_config: Config) -> Case:
    return next(case for case in read_cohort(tiny_config, tiny_cohort) if len(case.inputs) == 3)


@pytest.fixture(scope="module")
def record(tiny_artifact: Path, case: Case) -> Json:
    predictor = Predictor.load(tiny_artifact)
    return build(predictor, case, predictor.predict([case])[0], [])


def test_every_file_of_the_model_is_on_the_record_by_its_hash(record: Json, tiny_artifact: Path) -> None:
    on_disk = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tiny_artifact.iterdir()
        if path.name != "manifest.json"
    }
    assert record["model"]["files"] == on_disk
    assert {"weights.safetensors", "config.json", "calibration.json", "patients.json"} <= set(on_disk)
    assert record["model"]["digest"] == hashlib.sha256((tiny_artifact / "manifest.json").read_bytes()).hexdigest()
    assert set(record["model"]["made_with"]) == {"clinimm", "torch"}


def test_performance_is_that_of_the_artifact_s_evaluation(record: Json, tiny_artifact: Path) -> None:
    metrics = parsed((tiny_artifact / "metrics.json").read_bytes())
    pattern = "+".join(record["prediction"]["used"])
    assert record["performance"]["known"]
    for target, told in record["performance"]["targets"].items():
        rows = next(one for one in metrics["targets"] if one["target"] == target)
        assert told["subset"] == next(row for row in rows["subsets"] if row["name"] == pattern)
        assert told["pattern"] == next((row for row in rows["patterns"] if row["name"] == pattern), None)
    assert "test cases of" in render(record)
    assert "The evaluation has no subgroups of patients" in render(record)  # too few were tested


def test_subgroups_come_along_in_the_artifact_and_reach_the_page(
    tiny_artifact: Path, case: Case, tmp_path: Path
) -> None:
    kept = load(tiny_artifact, Sandbox())
    sex = case.attributes["sex"]
    row = {"name": sex, "cases": 31, "patients": 30, "positives": 9}
    found = {"auroc": {"value": 0.8125, "interval": [0.7, 0.9], "dropped": 0}}
    cell = {"subset": "cxr+note+labs", "attribute": "sex", **row, "metrics": found, "too_few": False}
    save(
        tmp_path / "artifact", config=kept.config, preparer=kept.preparer, network=kept.network,
        calibrator=kept.calibrator, uncertainty=kept.uncertainty, guards=kept.guards, metrics=kept.provenance.metrics,
        card="", seen=(), held_out=[()] * len(kept.network.networks),
        subgroups=[{"target": kept.config.target_names[0], "cells": [cell], "disparities": []}],
    )  # fmt: skip
    predictor = Predictor.load(tmp_path / "artifact")
    told = build(predictor, case, predictor.predict([case])[0], [])
    assert told["performance"]["targets"][kept.config.target_names[0]]["subgroups"] == [cell]
    page = render(told)
    assert f"sex: {sex}" in page
    assert "0.81 (0.70 to 0.90)" in page


def test_rep_01_its_record_is_of_the_schema(record: Json) -> None:
    jsonschema_rs.validate(parsed(schema()), record)

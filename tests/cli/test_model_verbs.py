"""The verbs that train, judge, answer and explain, as a user types them."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, TINY
from typer.testing import CliRunner, Result

from clinimm.cli import app
from clinimm.cli.demo import demo_cases
from clinimm.config import Config
from clinimm.data.cohort import read_cohort
from clinimm.errors import ClinimmError
from clinimm.types import Case

Run = Callable[..., Result]


def run(*arguments: object, code: int = 0) -> Result:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert found.exit_code == code, found.output
    return found


def overrides() -> list[str]:
    return [part for one in TINY for part in ("--set", one)]


@pytest.fixture(scope="module")
def whole_case(tiny_cohort: Path, tiny_config: Config) -> Case:
    return next(case for case in read_cohort(tiny_config, tiny_cohort) if len(case.inputs) == 3)


@pytest.mark.slow
def test_train_prints_every_subset_and_says_how_to_go_on(tiny_cohort: Path, tmp_path: Path) -> None:
    found = run("train", ROOT / "configs/quickstart.toml", "--data", tiny_cohort, "--out", tmp_path / "r", *overrides())
    for row in ("all inputs", "cxr alone", "note alone", "labs alone", "without cxr", "without note", "without labs"):
        assert row in found.stdout
    assert "clinimm evaluate" in found.stdout


@pytest.mark.slow
def test_evaluate_leaves_out_the_patients_it_knows(tiny_artifact: Path, tiny_cohort: Path) -> None:
    found = run("evaluate", tiny_artifact.parent, tiny_cohort / "manifest.csv", "--json")
    record = json.loads(found.stdout)
    assert record["left_out"] > 0
    assert record["cases"] + record["left_out"] == 48
    assert {target["target"] for target in record["targets"]} == {"pneumonia", "heart_failure", "arrhythmia"}


@pytest.mark.slow
def test_a_cohort_from_elsewhere_has_a_page_and_a_record(
    tiny_artifact: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    """The same files, but of patients that nobody has heard of."""
    manifest = Path(shutil.copytree(tiny_cohort, tmp_path / "elsewhere")) / "manifest.csv"
    rows = list(csv.DictReader(manifest.read_text().splitlines()))
    with manifest.open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"patient_id": f"elsewhere-{row['patient_id']}"} for row in rows)
    found = run("evaluate", tiny_artifact, manifest, "--out", tmp_path / "e")
    assert "Does it hold elsewhere?" in found.stdout
    record = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert (record["schema"], record["cases"], record["left_out"]) == ("clinimm.evaluation/1", 48, 0)
    assert [one["target"] for one in record["external"]] == ["pneumonia", "heart_failure", "arrhythmia"]
    assert {part["attribute"] for one in record["subgroups"] for part in one["cells"]} >= {"sex", "age"}
    assert {part["input"] for part in record["corruption"]} == {"cxr", "note", "labs"}
    page = (tmp_path / "e" / "evaluation.html").read_text()
    assert all(f"<h2>{target}</h2>" in page for target in ("pneumonia", "heart_failure", "arrhythmia"))
    assert record["explanations"]["patients"] == 3
    assert "<h2>Explanations</h2>" in page
    assert "<script" not in page
    refused = CliRunner().invoke(app, ["evaluate", str(tiny_artifact), str(manifest), "--opponents"])
    assert "nothing to train opponents on" in str(refused.exception)


@pytest.mark.slow
def test_opponents_are_judged_on_the_same_cases(tiny_artifact: Path, tiny_cohort: Path) -> None:
    found = run("evaluate", tiny_artifact, tiny_cohort / "manifest.csv", "--opponents")
    assert "against simple opponents" in found.stdout
    assert "extra trees" in found.stdout


def test_predict_answers_a_manifest_a_line_a_case(tiny_artifact: Path, tiny_cohort: Path) -> None:
    lines = run("predict", tiny_artifact, tiny_cohort / "manifest.csv").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 48
    assert all(set(record["used"]) | set(record["missing"]) == {"cxr", "note", "labs"} for record in records)


def test_loose_files_answer_as_the_manifest_does(
    tiny_artifact: Path, tiny_cohort: Path, whole_case: Case, tmp_path: Path
) -> None:
    note, labs = tmp_path / "note.txt", tmp_path / "labs.csv"
    note.write_text(whole_case.inputs["note"].text, encoding="utf-8")  # type: ignore[union-attr]
    values = whole_case.inputs["labs"].values  # type: ignore[union-attr]
    labs.write_text("name,value,unit\n" + "".join(f"{m.name},{m.value},{m.unit}\n" for m in values), encoding="utf-8")
    film = whole_case.inputs["cxr"].paths[0]  # type: ignore[union-attr]
    found = run(
        "predict", tiny_artifact, "--input", f"cxr={film}", "--input", f"note={note}", "--input", f"labs={labs}"
    )
    assert json.loads(found.stdout)["used"] == ["cxr", "note", "labs"]
    alone = run("predict", tiny_artifact, "--input", f"note={note}")
    assert json.loads(alone.stdout)["missing"] == ["cxr", "labs"]


def test_faults_of_a_loose_panel_are_all_named_and_nothing_is_echoed(tiny_artifact: Path, tmp_path: Path) -> None:
    labs = tmp_path / "labs.csv"
    labs.write_text("name,value,unit\ncrp,secret,mg/L\n,3,mg/L\nwbc,12,10*9/L\n", encoding="utf-8")
    found = CliRunner().invoke(app, ["predict", str(tiny_artifact), "--input", f"labs={labs}"])
    assert isinstance(found.exception, ClinimmError)
    assert "row 2, column value" in str(found.exception)
    assert "row 3, column name" in str(found.exception)
    assert "secret" not in str(found.exception)


@pytest.mark.slow
def test_explain_writes_a_record_and_a_page(
    tiny_artifact: Path, tiny_cohort: Path, whole_case: Case, tmp_path: Path
) -> None:
    manifest = tiny_cohort / "manifest.csv"
    run("explain", tiny_artifact, manifest, "--case", whole_case.case_id, "--target", "pneumonia", "--out", tmp_path)
    record = json.loads((tmp_path / "report-00000.json").read_text())
    assert [one["target"] for one in record["explanations"]] == ["pneumonia"]
    page = (tmp_path / "report-00000.html").read_text()
    assert whole_case.case_id in page
    assert "<script" not in page


@pytest.mark.slow
def test_explain_with_a_check_prints_every_test_and_keeps_it_in_the_record(
    tiny_artifact: Path, tiny_cohort: Path, whole_case: Case, tmp_path: Path
) -> None:
    case = ("--case", whole_case.case_id, "--target", "pneumonia", "--out", tmp_path)
    told = run("explain", tiny_artifact, tiny_cohort / "manifest.csv", *case, "--check").stdout
    [explanation] = json.loads((tmp_path / "report-00000.json").read_text())["explanations"]
    names = [check["name"] for check in explanation["checks"]]
    assert {"repeat", "sensitivity", "randomized weights", "agreement"} <= set(names)
    assert all(name in told for name in names)
    assert ("NOT RELIABLE" in told) is not explanation["trusted"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["predict", "ARTIFACT"], "give a manifest or --input"),
        (["predict", "ARTIFACT", "--input", "xray=film.dcm"], "choose one of"),
        (["predict", "nowhere", "--input", "note=x"], "holds no artifact"),
        (["train", "nowhere.toml"], "cannot be read"),
        (["train", "quickstart.toml", "--set", "optim.lrr=1"], "optim.lrr"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(arguments: list[str], fault: str, tiny_artifact: Path) -> None:
    words = [str(tiny_artifact) if word == "ARTIFACT" else word for word in arguments]
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, ClinimmError)
    assert fault in str(found.exception)


def test_an_error_ends_with_a_line_and_no_traceback() -> None:
    command = [str(Path(sys.executable).with_name("clinimm")), "train", "nowhere.toml"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr.startswith("clinimm: nowhere.toml: cannot be read")
    assert "Traceback" not in found.stderr


def test_the_demo_sends_the_five_cases_that_it_promises(tiny_cohort: Path, tiny_config: Config) -> None:
    sent = {one.title: one for one in demo_cases(read_cohort(tiny_config, tiny_cohort))}
    assert list(sent) == ["complete", "without labs", "note alone", "damaged film", "nothing usable"]
    assert {"note", "labs"} <= set(sent["complete"].case)
    assert "labs" not in sent["without labs"].case
    assert not sent["note alone"].images
    films = [path.read_bytes() for path in tiny_cohort.rglob("*.dcm")]
    damaged, whole = sent["damaged film"].images["cxr"], sent["complete"].images["cxr"]
    assert [film for film in films if film.startswith(damaged)] != [whole]
    assert any(film.startswith(damaged) and len(film) >= 2 * len(damaged) for film in films)
    assert "note" not in sent["nothing usable"].case


def test_the_demo_touches_no_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    found = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert isinstance(found.exception, ClinimmError)
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
def test_the_demo_runs_from_nothing_to_a_report(tmp_path: Path) -> None:
    """A small cohort: as `make demo`, but for its size."""
    found = run("demo", "--out", tmp_path / "demo", "--cases", 60)
    for line in ("[1/5]", "[5/5]", "nothing usable: abstained from: no_usable_input", "damaged film: cxr unreadable"):
        assert line in found.stdout
    assert (tmp_path / "demo" / "report.html").read_text().lower().startswith("<!doctype html>")

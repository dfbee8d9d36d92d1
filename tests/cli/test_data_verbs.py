"""`clinimm data` on real files: a synthetic cohort is written, checked and decoded."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from clinimm.cli.data import app

CASES = 12


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "cohort"
    result = CliRunner().invoke(app, ["synth", str(out), "--cases", str(CASES), "--rate", "0.3", "--seed", "4"])
    assert result.exit_code == 0, result.output
    return out


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout


def test_a_synthetic_cohort_is_seeded(cohort, tmp_path):
    run("synth", tmp_path / "again", "--cases", CASES, "--rate", "0.3", "--seed", "4")
    names = sorted(path.relative_to(cohort) for path in cohort.rglob("*") if path.is_file())
    assert (cohort / "evidence.json").is_file()
    assert all((cohort / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_a_check_counts_the_quickstart_cohort(cohort):
    code, output = run("check", cohort / "manifest.csv", "--json")
    record = json.loads(output)
    assert (code, record["cases"]) == (0, CASES)
    assert {one["name"] for one in record["inputs"]} == {"cxr", "note", "labs"}
    assert [one["name"] for one in record["targets"]] == ["pneumonia", "heart_failure", "arrhythmia"]
    assert sum(record["patterns"].values()) == CASES


def test_a_check_prints_tables(cohort):
    code, output = run("check", cohort / "manifest.csv")
    assert code == 0
    assert f"{CASES} cases of" in output
    assert all(title in output for title in ("Inputs", "Which inputs come together", "Analytes", "Targets"))


def test_every_image_is_decoded_and_refusals_are_named(cohort, tmp_path):
    images = sorted(path for path in (cohort / "images").rglob("*") if path.is_file())
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "good.dcm").write_bytes(images[0].read_bytes())
    (broken / "cut.dcm").write_bytes(images[0].read_bytes()[:600])
    (broken / "letter.txt").write_text("no image")
    code, output = run("decode", broken, "--json")
    record = json.loads(output)
    assert code == 0
    assert record["counts"]["readable"] == 1
    assert sum(record["counts"].values()) == 3
    assert "letter.txt" in run("decode", broken)[1]


def test_a_check_decodes_when_asked(cohort):
    code, output = run("check", cohort / "manifest.csv", "--decode", "--json")
    record = json.loads(output)
    present = next(one["present"] for one in record["inputs"] if one["name"] == "cxr")
    assert code == 0
    assert record["images"]["counts"] == {"readable": present}
    assert "readable" in run("check", cohort / "manifest.csv", "--decode")[1]


def test_films_that_only_their_headers_date_are_checked_when_decoded(cohort, tmp_path):
    rows = pl.read_csv(cohort / "manifest.csv", infer_schema_length=0)
    folder = shutil.copytree(cohort, tmp_path / "copy")
    early = rows.with_columns(pl.lit("2020-01-01T00:00:00").alias("index_time"), cxr_time=pl.lit(""))
    early = early.with_columns(note_time=pl.lit(""), labs_time=pl.lit(""))
    early.write_csv(folder / "manifest.csv")
    code, output = run("check", folder / "manifest.csv", "--decode", "--json")
    record = json.loads(output)
    cxr = next(one for one in record["inputs"] if one["name"] == "cxr")
    assert (code, cxr["undated"], cxr["refused"]) == (0, cxr["present"], {})
    assert record["images"]["counts"] == {"readable": 0, "after_index_time": cxr["present"]}


@pytest.fixture
def faulty(cohort, tmp_path) -> Path:
    lines = (cohort / "manifest.csv").read_text().splitlines()
    path = tmp_path / "faulty.csv"
    path.write_text("\n".join([lines[0], lines[1], lines[1]]) + "\n")
    return path


def test_faults_are_listed_and_the_exit_code_is_1(faulty):
    code, output = run("check", faulty)
    assert code == 1
    assert "row 3, column case_id" in output
    code, output = run("check", faulty, "--json")
    faults = json.loads(output)["faults"]
    assert code == 1
    assert {"code": "case_twice", "row": 3, "column": "case_id"}.items() <= next(
        fault for fault in faults if fault["code"] == "case_twice"
    ).items()


def test_another_config_names_other_columns(cohort, tmp_path):
    config = tmp_path / "labs.toml"
    config.write_text(
        'name = "labs"\ntargets = ["pneumonia"]\n[inputs.labs]\nkind = "tabular"\nencoder = { name = "analytes" }\n'
        'analytes = [{ name = "crp", unit = "mg/L", plausible = [0, 1] }]\n'
    )
    code, output = run("check", cohort / "manifest.csv", "--config", config, "--json")
    (crp,) = json.loads(output)["analytes"]
    assert code == 0
    assert crp["faults"]["implausible_lab"] > 0


def test_the_verbs_load_nothing_heavy_before_they_run():
    heavy = "{'torch', 'monai', 'transformers', 'sklearn', 'polars', 'numpy', 'pydicom'}"
    code = f"import sys, clinimm.cli.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

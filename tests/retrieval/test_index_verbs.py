"""index, retrieve and zeroshot, as a user types them, over a small backbone and a small trained model."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from small_backbones import saved_backbone, small_backbone
from typer.testing import CliRunner, Result

from clinimm.artifact import seen_patients
from clinimm.backbone import directory
from clinimm.backbone.encode import encode_texts
from clinimm.cli import app
from clinimm.config import Config
from clinimm.data.cohort import read_cohort
from clinimm.errors import ClinimmError
from clinimm.inference import Predictor
from clinimm.pseudonyms import hashed, known
from clinimm.retrieval.index import Index, load
from clinimm.retrieval.pairs import judge_pairs, record
from clinimm.types import Case, ImageFile, Note

pytestmark = pytest.mark.slow

PROMPTS = """
name = "small"
bootstrap = 20
[data]
manifest = "manifest.csv"
[image]
column = "cxr"
size = [32, 32]
[[targets]]
name = "pneumonia"
positive = { templates = ["consolidation of the {side} lung"], words = { side = ["left", "right"] } }
negative = { templates = ["heart size is normal"] }
"""


def run(*arguments: object) -> Result:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert found.exit_code == 0, (found.output, found.exception)
    return found


def fault_of(*arguments: object) -> str:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(found.exception, ClinimmError), found.output
    return str(found.exception)


def found_by(*arguments: object) -> list[dict[str, Any]]:
    return list(json.loads(run("retrieve", *arguments, "--json").stdout))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_backbone(tmp_path_factory.mktemp("backbone") / "b")


@pytest.fixture(scope="module")
def cases(tiny_cohort: Path, tiny_config: Config) -> dict[str, Case]:
    return {case.case_id: case for case in read_cohort(tiny_config, tiny_cohort)}


@pytest.fixture(scope="module")
def by_backbone(backbone: Path, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("index") / "pairs"
    config = ROOT / "configs" / "quickstart.toml"
    run("index", backbone, tiny_cohort / "manifest.csv", "--config", config, "--out", out)
    return out


@pytest.fixture(scope="module")
def by_artifact(tiny_artifact: Path, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("index") / "cases"
    run("index", tiny_artifact, tiny_cohort / "manifest.csv", "--out", out)
    return out


def test_an_index_holds_a_unit_vector_of_each_picture_and_text_and_no_word(
    by_backbone: Path, cases: dict[str, Case]
) -> None:
    index = load(by_backbone)
    for kind, sort in (("image", ImageFile), ("text", Note)):
        expected = {name for name, case in cases.items() if any(isinstance(one, sort) for one in case.inputs.values())}
        assert {index.case_ids[row] for row in index.rows(kind)} == expected
    assert np.allclose(np.linalg.norm(index.vectors, axis=1), 1, atol=1e-6)
    assert all(index.patient_ids[i] == cases[name].patient_id for i, name in enumerate(index.case_ids))
    written = b"".join(path.read_bytes() for path in by_backbone.iterdir())
    notes = [note.text for case in cases.values() if isinstance(note := case.inputs.get("note"), Note)]
    assert not any(line.encode() in written for note in notes for line in note.split(". ") if len(line) > 12)


def test_an_index_that_was_changed_is_refused(by_backbone: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in by_backbone.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "items.json").write_text("{}")
    (copy / "vectors.safetensors").unlink()
    fault = fault_of("retrieve", copy, "--case", "x")
    assert "items.json was changed" in fault
    assert "vectors.safetensors is missing" in fault


def test_a_text_finds_the_pictures_that_lie_nearest(by_backbone: Path, backbone: Path) -> None:
    index, words = load(by_backbone), "Consolidation of the right lung"
    [vector] = encode_texts(small_backbone(), [words])[0].numpy()
    rows = index.rows("image")
    order = rows[np.argsort(-(index.vectors[rows] @ vector), kind="stable")][:5]
    for backend in ("exact", "faiss"):
        found = found_by(by_backbone, "--text", words, "--top", 5, "--backend", backend)
        assert [one["case_id"] for one in found] == [index.case_ids[row] for row in order]
        assert [one["similarity"] for one in found] == pytest.approx((index.vectors[order] @ vector).tolist(), abs=2e-6)
    assert "Nearest first" in run("retrieve", by_backbone, "--text", words, "--model", backbone).stdout


def test_a_picture_finds_itself_first_and_texts_by_default(by_backbone: Path, cases: dict[str, Case]) -> None:
    index = load(by_backbone)
    row = int(index.rows("image")[3])
    film = cases[index.case_ids[row]].inputs["cxr"].paths[0]  # type: ignore[union-attr]
    first = found_by(by_backbone, "--image", film, "--to", "image", "--top", 1)[0]
    assert (first["case_id"], first["similarity"]) == (index.case_ids[row], pytest.approx(1, abs=1e-5))
    assert {one["kind"] for one in found_by(by_backbone, "--image", film)} == {"text"}


def test_a_cases_own_patient_is_never_among_its_neighbors(by_artifact: Path, cases: dict[str, Case]) -> None:
    by_patient: dict[str, list[str]] = {}
    for case in cases.values():
        by_patient.setdefault(case.patient_id, []).append(case.case_id)
    asked = next(ids for ids in by_patient.values() if len(ids) > 1)[0]
    found = {one["case_id"] for one in found_by(by_artifact, "--case", asked, "--top", 100)}
    own = set(by_patient[cases[asked].patient_id])
    assert found == set(cases) - own
    allowed = {one["case_id"] for one in found_by(by_artifact, "--case", asked, "--top", 100, "--same-patient")}
    assert allowed == set(cases) - {asked}


def test_a_cases_vector_is_the_models_own(by_artifact: Path, tiny_artifact: Path, cases: dict[str, Case]) -> None:
    index, predictor = load(by_artifact), Predictor.load(tiny_artifact)
    assert (index.model, set(index.kinds)) == (predictor.digest, {"case"})
    for row in (0, 20, 47):
        point = predictor.answer(cases[index.case_ids[row]]).point
        assert point is not None
        assert np.array_equal(index.vectors[row], point)


def test_evaluation_stands_beside_chance(by_backbone: Path) -> None:
    record = json.loads(run("retrieve", by_backbone, "--evaluate", "--resamples", 20, "--json").stdout)
    index = load(by_backbone)
    pairs = len(
        {index.case_ids[row] for row in index.rows("image")} & {index.case_ids[row] for row in index.rows("text")}
    )
    assert record.pop("seen_patients") == {"left_out": None, "judged": None}
    assert set(record) == {"image_to_text", "text_to_image"}
    for found in record.values():
        assert found["queries"] == pairs
        assert 0 < found["chance"]["recall@1"] < found["chance"]["recall@10"] <= 1
        assert 0 < found["figures"]["mrr"]["value"] <= 1
    shown = run("retrieve", by_backbone, "--evaluate", "--resamples", 20).stdout
    assert "image to text" in shown
    assert "chance" in shown
    assert "not known which patients the model has seen" in shown


@pytest.fixture(scope="module")
def partly_seen(backbone: Path, tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]) -> Path:
    """The backbone, had its pretraining seen every second patient."""
    patients = sorted({case.patient_id for case in cases.values()})[::2]
    return remembering(backbone, patients, tmp_path_factory.mktemp("seen") / "b")


def remembering(backbone: Path, patients: list[str], folder: Path) -> Path:
    directory.save(folder, replace(directory.load(backbone), seen=frozenset(map(hashed, patients))))
    return folder


def test_patients_that_the_backbone_has_seen_are_judged_only_if_asked_for(
    partly_seen: Path, by_backbone: Path, tiny_cohort: Path, tmp_path: Path
) -> None:
    config = ROOT / "configs" / "quickstart.toml"
    said = run("index", partly_seen, tiny_cohort / "manifest.csv", "--config", config, "--out", tmp_path / "i").stdout
    index, plain = load(tmp_path / "i"), load(by_backbone)
    assert index.seen == known(index.patient_ids, directory.load(partly_seen).seen)
    assert f"the model has seen: {sum(index.seen or ())} vectors" in said
    asked = ["retrieve", tmp_path / "i", "--evaluate", "--resamples", 20]
    unseen, every = (json.loads(run(*asked, "--json", *more).stdout) for more in ((), ("--seen",)))
    left_out = unseen["seen_patients"]["left_out"]
    assert every["seen_patients"] == {"left_out": 0, "judged": left_out}
    assert unseen["image_to_text"]["queries"] + left_out == every["image_to_text"]["queries"]
    assert every["image_to_text"] == record(judge_pairs(plain, resamples=20))["image_to_text"]
    rows = [i for i, seen in enumerate(index.seen or ()) if not seen]
    alone = Index(
        "m", *(tuple(column[i] for i in rows) for column in (index.case_ids, index.patient_ids, index.kinds)),
        tuple(rows.index(index.contents[i]) for i in rows), index.vectors[rows],
    )  # fmt: skip
    assert unseen["image_to_text"] == record(judge_pairs(alone, resamples=20))["image_to_text"]
    assert f"{left_out} cases of patients that the model has seen were left out; --seen" in run(*asked).stdout
    assert f"{left_out} of {every['image_to_text']['queries']} cases are of patients" in run(*asked, "--seen").stdout


def test_an_index_of_a_trained_model_says_whom_it_was_trained_on(by_artifact: Path, tiny_artifact: Path) -> None:
    index = load(by_artifact)
    assert index.seen == known(index.patient_ids, seen_patients(tiny_artifact))
    assert {True, False} == set(index.seen or ())


def test_equal_texts_of_one_patient_share_their_content() -> None:
    from clinimm.retrieval.embed import embed_pairs

    note = Note("Old man with cough .")
    given = [Case("1", "a", {"text": note}), Case("2", "a", {"text": note}), Case("3", "b", {"text": note})]
    found: Index = embed_pairs(small_backbone(), given, None, about={})
    assert found.contents == (0, 0, 2)


def test_zeroshot_prints_its_figures_and_writes_its_scores(
    backbone: Path, tiny_cohort: Path, cases: dict[str, Case], tmp_path: Path
) -> None:
    config, out = tmp_path / "z.toml", tmp_path / "scores.csv"
    config.write_text(PROMPTS)
    found = run("zeroshot", backbone, tiny_cohort / "manifest.csv", "--config", config, "--out", out)
    rows = list(csv.DictReader(out.open()))
    filmed = {name for name, case in cases.items() if "cxr" in case.inputs}
    assert {row["case_id"] for row in rows} == filmed
    assert all(0 < float(row["pneumonia"]) < 1 for row in rows)
    positives = sum(case.targets["pneumonia"] is True for name, case in cases.items() if name in filmed)
    line = next(line for line in found.stdout.splitlines() if line.strip().startswith("pneumonia"))
    assert line.split()[1:3] == [str(len(filmed)), str(positives)]
    assert f"{len(cases) - len(filmed)} cases were left out: no_picture" in found.stdout


def test_zeroshot_leaves_out_patients_that_the_backbone_has_seen(
    backbone: Path, partly_seen: Path, tiny_cohort: Path, cases: dict[str, Case], tmp_path: Path
) -> None:
    config, out = tmp_path / "z.toml", tmp_path / "scores.csv"
    config.write_text(PROMPTS)
    asked = ["--config", config, "--out", out]
    seen = known([case.patient_id for case in cases.values()], directory.load(partly_seen).seen) or ()
    said = run("zeroshot", partly_seen, tiny_cohort / "manifest.csv", *asked).stdout
    assert f"{sum(seen)} cases of patients that the model has seen were left out" in said
    known_cases = {name for name, yes in zip(cases, seen, strict=True) if yes}
    assert not known_cases & {row["case_id"] for row in csv.DictReader(out.open())}
    said = run("zeroshot", partly_seen, tiny_cohort / "manifest.csv", *asked, "--seen").stdout
    assert f"{sum(seen)} of {len(cases)} cases are of patients that the model has seen" in said
    assert known_cases & {row["case_id"] for row in csv.DictReader(out.open())}
    everyone = remembering(backbone, [case.patient_id for case in cases.values()], tmp_path / "b")
    fault = fault_of("zeroshot", everyone, tiny_cohort / "manifest.csv", *asked)
    assert "nobody is left to judge it on" in fault
    assert "--seen" in fault


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["retrieve", "PAIRS"], "give one of --text, --image, --case and --evaluate"),
        (["retrieve", "PAIRS", "--case", "nobody"], "no such case in the index"),
        (["retrieve", "PAIRS", "--text", "cough", "--to", "sound"], "choose one of"),
        (["retrieve", "PAIRS", "--text", "cough", "--to", "case"], "holds nothing of kind case"),
        (["retrieve", "PAIRS", "--text", "cough", "--backend", "magic"], "choose one of"),
        (["retrieve", "CASES", "--text", "cough"], "a trained model's index holds whole cases"),
        (["retrieve", "CASES", "--evaluate"], "no case has both a picture and a text"),
        (["retrieve", "nowhere", "--evaluate"], "is not an index"),
        (["index", "BACKBONE", "COHORT/manifest.csv", "--out", "x"], "--config"),
        (["index", "nowhere", "COHORT/manifest.csv", "--out", "x"], "holds no artifact"),
        (["index", "ARTIFACT", "COHORT/manifest.csv", "--out", "COHORT"], "holds no index"),
        (["zeroshot", "nowhere", "COHORT/manifest.csv", "--config", "nowhere.toml"], "cannot be read"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(
    arguments: list[str],
    fault: str,
    by_backbone: Path,
    by_artifact: Path,
    backbone: Path,
    tiny_artifact: Path,
    tiny_cohort: Path,
) -> None:
    places = {"PAIRS": by_backbone, "CASES": by_artifact, "BACKBONE": backbone, "ARTIFACT": tiny_artifact}
    words = [str(places.get(word, word)).replace("COHORT", str(tiny_cohort)) for word in arguments]
    assert fault in fault_of(*words)


PAIRS = """
name = "pairs"
[data]
manifest = "cases.csv"
fold_column = "fold"
folds = ["0"]
[image]
column = "film"
size = [32, 32]
tower = { name = "trunk" }
[text]
column = "note"
tower = { name = "bert" }
"""


def test_only_the_folds_that_are_named_are_indexed_and_cut_texts_are_counted(backbone: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.toml").write_text(PAIRS)
    rows = ["a,p1,,Old man with cough .,0", "b,p2,,Heart size is normal .,1", f"c,p3,,{'cough and fever ' * 40},1"]
    (tmp_path / "cases.csv").write_text("\n".join(["case_id,patient_id,film,note,fold", *rows]) + "\n")
    asked = ["index", backbone, tmp_path / "cases.csv", "--config", tmp_path / "pairs.toml", "--out", tmp_path / "i"]
    said = run(*asked, "--fold", "1").stdout
    index = load(tmp_path / "i")
    assert (index.case_ids, index.facts["texts_cut"]) == (("b", "c"), 1)
    assert "texts_cut: 1" in said
    run(*asked)
    assert load(tmp_path / "i").case_ids == ("a", "b", "c")
    assert "no case is in them" in fault_of(*asked, "--fold", "7")

"""A retrained artifact is let in or refused, with real artifacts: two hospitals, two panels, one finding."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from two_panels import write_config, write_panels
from typer.testing import CliRunner, Result

from clinimm.cli import app
from clinimm.errors import ClinimmError
from clinimm.registry import Registry

pytestmark = pytest.mark.slow


def trained(folder: Path, **cohort: float | str) -> Path:
    """The run of a model that was trained on such a cohort."""
    from clinimm.config import load
    from clinimm.data.cohort import read_cohort
    from clinimm.training.folds import split
    from clinimm.training.run import train

    write_panels(folder, "train.csv", n=300, seed=1, **cohort)
    config = load(write_config(folder))
    train(config, split(config, read_cohort(config, folder)), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One trained on drowned analytes, a better one, and one that learned site B upside down."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "drowned": trained(folder / "drowned", noise=2.5),
        "better": trained(folder / "better", noise=1.0),
        "turned": trained(folder / "turned", noise=1.0, turned="B"),
    }


@pytest.fixture(scope="module")
def test_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_panels(tmp_path_factory.mktemp("test"), "frozen.csv", n=300, seed=2, noise=1.0, prefix="t")


def promote(registry: Path, *words: object, lenient: bool = True) -> Result:
    """The drowned model is not calibrated on clean cases, nor need it be here: what counts is who is better."""
    limits = ["--limit", "calibration_error=1", "--limit", "explained=2"] if lenient else []
    return CliRunner().invoke(app, ["promote", *map(str, words), "--registry", str(registry), *limits])


@pytest.fixture(scope="module")
def promoted(runs: dict[str, Path], test_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry in which the better model has taken the drowned one's place."""
    registry = tmp_path_factory.mktemp("promoted") / "registry"
    for name in ("drowned", "better"):
        done = promote(registry, runs[name], test_set, "--by", "ann", "--note", name)
        assert (done.exit_code, "PROMOTED" in done.output) == (0, True), done.output
    return registry


def test_a_better_candidate_takes_the_place_of_the_current_artifact(promoted: Path) -> None:
    first, second = Registry(promoted).history()
    assert (second.verdict, second.previous, second.by, second.note) == ("promoted", first.digest, "ann", "better")
    assert (Registry(promoted).current_place() / "weights.safetensors").is_file()
    found = json.loads((promoted / "evaluations" / f"{second.evaluation}.json").read_text())
    assert found["verdict"] == "promoted"
    assert found["current"] == first.digest
    assert {cell["group"] for cell in found["cells"]} == {"everyone", "site=A", "site=B"}


def test_one_that_is_worse_in_one_subgroup_is_refused_and_the_cell_named(
    promoted: Path, runs: dict[str, Path], test_set: Path
) -> None:
    before = Registry(promoted).current()
    done = promote(promoted, runs["turned"], test_set)
    assert done.exit_code == 1
    assert "REFUSED" in done.output
    assert "site=B" in done.output
    entry = Registry(promoted).history()[-1]
    assert (entry.verdict, Registry(promoted).current()) == ("refused", before)
    found = json.loads((promoted / "evaluations" / f"{entry.evaluation}.json").read_text())
    fallen = {(cell["subset"], cell["group"]) for cell in found["cells"] if cell["word"] == "falls"}
    assert ("urine", "site=B") in fallen
    assert not any(group == "site=A" for _, group in fallen)


def test_a_dry_run_judges_and_changes_nothing(promoted: Path, runs: dict[str, Path], test_set: Path) -> None:
    length = len(Registry(promoted).history())
    done = promote(promoted, runs["drowned"], test_set, "--dry-run", "--against", runs["better"], "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["verdict"] == "refused"
    assert len(Registry(promoted).history()) == length


def test_explanations_of_both_are_measured_on_the_same_patients_and_equals_pass(
    promoted: Path, runs: dict[str, Path], test_set: Path
) -> None:
    words = ("--dry-run", "--against", runs["better"], "--limit", "calibration_error=1")
    done = promote(promoted, runs["better"], test_set, *words, "--json", lenient=False)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"]) == (0, "promoted")
    assert found["explanations"]["candidate"] == found["explanations"]["current"]
    numbers = {(one["measure"], one["modality"]): one for one in found["explanations"]["candidate"]["numbers"]}
    assert numbers["deletion", "blood"]["patients"] + numbers["deletion", "urine"]["patients"] <= 24
    assert numbers["deletion", "blood"]["interval"][0] > 0
    told = [one for one in found["findings"] if one["rule"] in ("deletion", "no less faithful", "randomized weights")]
    assert len(told) == 2 + 6 + 1
    assert all(one["holds"] for one in told)
    own = json.loads((runs["better"] / "artifact" / "metrics.json").read_text())["explanations"]
    assert {(one["measure"], one["modality"]) for one in own["numbers"]} == set(numbers)


def test_explanations_that_lose_to_chance_or_resemble_those_of_shuffled_weights_are_refused(
    promoted: Path, runs: dict[str, Path], test_set: Path
) -> None:
    words = ("--dry-run", "--limit", "calibration_error=1", "--limit", "by_chance=1e-9", "--limit", "resemblance=-1")
    done = promote(promoted, runs["better"], test_set, *words, lenient=False)
    assert done.exit_code == 1
    assert "REFUSED. randomized weights: maps of nets" in done.output
    assert "deletion: blood: without what its map ranks first" in done.output


def test_an_artifact_with_the_same_answers_and_maps_that_do_not_add_up_is_refused(
    promoted: Path, runs: dict[str, Path], test_set: Path, tmp_path: Path
) -> None:
    hasty = explained_in_haste(runs["better"] / "artifact", tmp_path / "artifact")
    words = ("--dry-run", "--against", runs["better"], "--limit", "calibration_error=1", "--json")
    done = promote(promoted, hasty, test_set, *words, lenient=False)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"]) == (1, "refused")
    assert not any(cell["word"] == "falls" for cell in found["cells"])
    broken = {one["rule"] for one in found["findings"] if one["holds"] is False}
    assert "completeness" in broken
    assert broken <= {"completeness", "no less faithful"}


def explained_in_haste(artifact: Path, copy: Path) -> Path:
    """The same model, its config asking for maps that add up to a millionth of what they explain, in sixteen points."""
    shutil.copytree(artifact, copy)
    config = json.loads((copy / "config.json").read_text())
    config["explain"] |= {"tolerance": 1e-6, "max_steps": 16}
    (copy / "config.json").write_text(json.dumps(config))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["config.json"] = hashlib.sha256((copy / "config.json").read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_what_too_few_patients_can_tell_of_is_said_to_be_unasked(
    promoted: Path, runs: dict[str, Path], test_set: Path
) -> None:
    done = promote(promoted, runs["better"], test_set, "--dry-run")
    assert "Not asked: randomized weights: " in done.output
    assert "; deletion: blood: " in done.output
    assert "10 are needed" in done.output


def test_another_test_set_must_be_meant(promoted: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    other = write_panels(tmp_path, "other.csv", n=200, seed=3, prefix="u")
    done = promote(promoted, runs["turned"], other)
    assert isinstance(done.exception, ClinimmError)
    assert "not the test set of the last candidate" in str(done.exception)


def test_patients_that_either_was_trained_on_are_no_test(promoted: Path, runs: dict[str, Path]) -> None:
    own = runs["better"].parent / "train.csv"  # the same patients as the other's
    shown = promote(promoted, runs["better"], own, "--dry-run", "--json")
    found = json.loads(shown.stdout)
    assert found["cases"] + found["left_out"] == 300
    assert found["left_out"] > 200


def test_calibration_is_asked_of_the_first_candidate_too(runs: dict[str, Path], test_set: Path, tmp_path: Path) -> None:
    done = promote(tmp_path / "new", runs["drowned"], test_set, lenient=False)
    assert done.exit_code == 1
    assert "calibration" in done.output
    assert Registry(tmp_path / "new").current() is None


def test_rollback_is_one_command(promoted: Path, tmp_path: Path) -> None:
    registry = shutil.copytree(promoted, tmp_path / "registry")
    first, second, *_ = Registry(registry).history()
    done = promote(registry, "--rollback", "--note", "wrong at night")
    assert done.exit_code == 0
    assert first.digest[:12] in done.output
    assert second.digest[:12] in done.output
    assert Registry(registry).current() == first.digest


def test_runs_are_compared_on_the_cases_that_none_has_seen(runs: dict[str, Path], test_set: Path) -> None:
    words = ["compare", str(runs["better"]), str(runs["drowned"]), str(runs["turned"]), str(test_set)]
    done = CliRunner().invoke(app, [*words, "--json", "--bootstrap", "400"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [run["cases"] for run in found["runs"]] == [300] * 3
    whole = {(one["first"], one["second"]): one for one in found["differences"] if one["subset"] == "all inputs"}
    assert len(whole) == 3
    gap = whole[str(runs["better"]), str(runs["turned"])]["auroc"]
    assert gap["value"] > 0.2
    assert gap["p"] <= gap["holm"] < 0.1
    table = CliRunner().invoke(app, [*words, "--bootstrap", "400"])
    assert "A ranks better than C by" in table.output


def test_a_run_is_not_compared_with_itself(runs: dict[str, Path], test_set: Path) -> None:
    done = CliRunner().invoke(app, ["compare", str(runs["better"]), str(runs["better"]), str(test_set)])
    assert isinstance(done.exception, ClinimmError)

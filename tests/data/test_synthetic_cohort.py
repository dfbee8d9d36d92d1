"""The cohort as files: the same bytes for the same seed, read back by the same code that reads real ones."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest

import clinimm
from clinimm.config import load
from clinimm.data.cohort import read_cohort
from clinimm.data.synthetic import read_evidence, write_cohort
from clinimm.data.synthetic.labs import SIGNS, UNITS, draw_panel
from clinimm.data.synthetic.notes import OFF, ON, write_note
from clinimm.data.synthetic.plan import QUESTIONS
from clinimm.errors import ConfigError
from clinimm.io.scan import read_scan
from clinimm.paths import shipped
from clinimm.types import Case

N = 24
TARGETS = frozenset(question.name for question in QUESTIONS)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cr"), n=N, seed=3).parent


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("ct"), n=4, seed=3, image="ct", rate=0.0).parent


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(folder: Path, name: str) -> list[Case]:
    return read_cohort(load(shipped(clinimm.__file__, "configs") / f"{name}.toml"), folder)


def words(line: str) -> str:
    """What stands in the brackets of a template."""
    return line.partition("[")[2].partition("]")[0]


def test_same_seed_same_bytes(films: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "again", n=N, seed=3)
    assert hashes(tmp_path / "again") == hashes(films)


def test_same_seed_same_bytes_for_volumes(volumes: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "again", n=4, seed=3, image="ct", rate=0.0)
    assert hashes(tmp_path / "again") == hashes(volumes)


def test_another_seed_gives_other_bytes_everywhere(films: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, n=6, seed=4)
    assert not set(hashes(tmp_path).values()) & set(hashes(films).values())


def test_a_larger_cohort_only_adds_cases(films: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, n=10, seed=3)
    few, many = hashes(tmp_path), hashes(films)
    assert {name for name in few if few[name] != many[name]} == {"manifest.csv", "evidence.json"}
    assert (films / "manifest.csv").read_text().startswith((tmp_path / "manifest.csv").read_text())
    all_evidence = read_evidence(films)
    assert all(all_evidence[case_id] == found for case_id, found in read_evidence(tmp_path).items())


def test_other_missingness_changes_only_what_is_missing(films: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, n=N, seed=3, missing="mnar", rate=0.5)
    ours, theirs = hashes(films), hashes(tmp_path)
    shared = set(ours) & set(theirs) - {"manifest.csv", "evidence.json"}
    assert len(shared) > N / 2
    assert all(ours[name] == theirs[name] for name in shared)


def test_the_quickstart_config_reads_every_case(films: Path) -> None:
    cases, evidence = read(films, "quickstart"), read_evidence(films)
    assert len(cases) == N
    for case in cases:
        found = evidence[case.case_id]
        assert set(case.inputs) == set(found.present)
        assert dict(case.targets) == {name: planted.label for name, planted in found.targets.items()}
        assert all(given.acquired_at < case.index_time for given in case.inputs.values())


def test_the_ct_config_reads_every_volume(volumes: Path) -> None:
    for case in read(volumes, "quickstart_ct"):
        scan = read_scan(case.inputs["ct"].paths, (-300.0, 1400.0))
        assert scan.pixels.shape == (64, 64, 32)
        assert scan.spacing_mm == (5.0, 5.0, 10.0)
        assert scan.flags == ()


def test_the_reader_finds_a_patch_brighter_than_the_other_lung(films: Path, volumes: Path) -> None:
    for folder, name in ((films, "cxr"), (volumes, "ct")):
        evidence = read_evidence(folder)
        for case in read(folder, "quickstart" if name == "cxr" else "quickstart_ct"):
            region = evidence[case.case_id].targets["pneumonia"].region
            if region:
                pixels = read_scan(case.inputs[name].paths, (-300.0, 1400.0) if name == "ct" else "voi").pixels
                here = region.mask(pixels.shape, scale=0.8)
                assert pixels[here].mean() > pixels[np.flip(here, 1)].mean() + 0.03


def test_evidence_points_at_the_words_that_were_written(films: Path) -> None:
    cases = {case.case_id: case for case in read(films, "quickstart")}
    said: dict[str, set[str]] = {target: set() for target in TARGETS}
    for found in read_evidence(films).values():
        for target, planted in found.targets.items():
            said[target] |= {cases[found.case_id].inputs["note"].text[start:end] for start, end in planted.spans}
    assert said["pneumonia"] <= {words(line) for line in ON["pneumonia"]}
    assert said["heart_failure"] <= {words(line) for line in ON["heart_failure"]}
    assert said["arrhythmia"] <= {words(line) for line in (*ON["arrhythmia"], *OFF["arrhythmia"])}
    assert all(said.values())


def test_evidence_is_complete_for_visible_sources_and_silent_on_the_rest(films: Path) -> None:
    for found in read_evidence(films).values():
        for planted in found.targets.values():
            assert set(planted.visible) == set(planted.sources) & set(found.present)
            assert bool(planted.region) == ("cxr" in planted.visible)
            assert bool(planted.spans) == ("note" in planted.visible)
            assert bool(planted.analytes) == ("labs" in planted.visible)


def test_films_differ_as_those_of_real_devices_do(films: Path) -> None:
    headers = [pydicom.dcmread(path) for path in sorted((films / "images").iterdir())]
    assert len({ds.file_meta.TransferSyntaxUID for ds in headers}) == 4
    assert {ds.PhotometricInterpretation for ds in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert {ds.BitsStored for ds in headers} == {10, 12, 14}
    assert len({ds.SOPInstanceUID for ds in headers}) == len(headers)


def test_slices_are_not_filed_in_the_order_of_the_body(volumes: Path) -> None:
    folder = next((volumes / "images").iterdir())
    heights = [float(pydicom.dcmread(path).ImagePositionPatient[2]) for path in sorted(folder.iterdir())]
    assert heights != sorted(heights)
    assert np.unique(np.diff(sorted(heights))) == pytest.approx([10.0])


def test_labs_are_plausible_and_signs_stand_out() -> None:
    section = load(shipped(clinimm.__file__, "configs") / "quickstart.toml").inputs["labs"]
    assert {analyte.name: analyte.unit for analyte in section.analytes} == UNITS
    panels = {
        shown: [draw_panel(np.random.default_rng(i), "FM"[i % 2], shown) for i in range(300)]
        for shown in (frozenset[str](), TARGETS)
    }
    for analyte in section.analytes:
        low, high = analyte.plausible
        values = {
            shown: [p[analyte.name] for p in each if p[analyte.name] is not None] for shown, each in panels.items()
        }
        assert all(low < value < high for each in values.values() for value in each)
        if any(analyte.name in names for names in SIGNS.values()):
            assert np.quantile(values[TARGETS], 0.2) > np.quantile(values[frozenset()], 0.8)


def test_negations_use_the_words_of_the_findings() -> None:
    notes = [write_note(np.random.default_rng(i), 60, "F", frozenset(), TARGETS).text for i in range(60)]
    for words in ("productive cough", "rigors", "orthopnea", "swollen ankles", "fever"):
        assert any(words in note for note in notes)
    assert all("spironolactone" in note.lower() and "digoxin" not in note.lower() for note in notes)


def test_the_manifest_holds_nothing_of_a_missing_input(films: Path) -> None:
    evidence = read_evidence(films)
    with (films / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            absent = {"cxr", "note", "labs"} - set(evidence[row["case_id"]].present)
            cells = [row[f"{name}_time"] for name in absent] + [row[name] for name in absent - {"labs"}]
            cells += [row[name] for name in UNITS if "labs" in absent]
            assert not any(cells)


def test_an_earlier_cohort_is_replaced_and_other_folders_are_not_touched(films: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "out", n=5, seed=9)
    write_cohort(tmp_path / "out", n=2, seed=3)
    assert len(list((tmp_path / "out" / "notes").iterdir())) <= 2
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="something other"):
        write_cohort(tmp_path / "thesis", n=2)


def test_a_run_that_was_cut_off_can_be_repeated(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path, n=2, progress=stop)
    with pytest.raises(ConfigError, match="no readable evidence"):
        read_evidence(tmp_path)
    assert write_cohort(tmp_path, n=2).is_file()


@pytest.mark.parametrize(
    "choice",
    [
        {"image": "xr"},
        {"missing": "mcr"},
        {"mechanism": "uniqe"},
        {"rate": 1.0},
        {"n": 0},
        {"seed": -1},
        {"label_noise": 0.5},
    ],
)
def test_an_unknown_choice_is_refused_before_anything_is_written(choice: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_cohort(tmp_path / "out", **choice)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()

"""A config's columns read its manifest into cases."""

from pathlib import Path

import pytest

from clinimm.config import parse
from clinimm.data.cohort import columns_of, read_cohort
from clinimm.errors import ConfigError, ManifestError
from clinimm.io.manifest import AnalyteColumn, Columns, ImageColumn, LabColumns, NoteColumn
from clinimm.types import ImageFile, Measurement, Measurements, Note

VALUES = {
    "name": "small",
    "data": {"manifest": "cases.csv", "patient_id": "patient", "attributes": ["site"], "fold_column": "fold"},
    "targets": [{"name": "severe", "column": "icu"}, "died"],
    "inputs": {
        "cxr": {"kind": "image", "column": "film", "size": [32, 32], "encoder": {"name": "resnet10"}},
        "note": {"kind": "text", "column": "note", "encoder": {"name": "bag"}},
        "labs": {
            "kind": "tabular",
            "encoder": {"name": "analytes"},
            "analytes": [{"name": "crp", "unit": "mg/L", "column": "crp_mg/L"}, {"name": "ldh", "unit": "U/L"}],
        },
    },
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "a.dcm").write_bytes(b"x")
    (tmp_path / "cases.csv").write_text(
        "case_id,patient,film,note,crp_mg/L,ldh,icu,died,site,fold\nc1,p1,a.dcm,cough,5,250,1,,north,2\n"
    )
    return tmp_path


def test_a_config_names_its_columns():
    assert columns_of(parse(VALUES, where="test")) == Columns(
        patient_id="patient",
        inputs={
            "cxr": ImageColumn("film"),
            "note": NoteColumn("note"),
            "labs": LabColumns((AnalyteColumn("crp", "mg/L", "crp_mg/L"), AnalyteColumn("ldh", "U/L", "ldh"))),
        },
        targets={"severe": "icu", "died": "died"},
        attributes=("site",),
        fold="fold",
    )


def test_a_cohort_is_read_from_its_data_folder(data_dir):
    (case,) = read_cohort(parse(VALUES, where="test"), data_dir)
    assert case.inputs == {
        "cxr": ImageFile((data_dir / "a.dcm",)),
        "note": Note("cough"),
        "labs": Measurements((Measurement("crp", 5.0, "mg/L"), Measurement("ldh", 250.0, "U/L"))),
    }
    assert case.targets == {"severe": True, "died": None}
    assert case.attributes == {"site": "north", "fold": "2"}


def test_another_manifest_may_be_read_and_need_no_labels(data_dir):
    other = data_dir / "new.csv"
    other.write_text("case_id,patient,film,note,crp_mg/L,ldh\nc9,p9,,cough,,\n")
    config = parse(VALUES, where="test")
    (case,) = read_cohort(config, data_dir, other, labelled=False)
    assert case.targets == {"severe": None, "died": None}
    with pytest.raises(ManifestError) as refused:
        read_cohort(config, data_dir, other)
    assert {fault.column for fault in refused.value.faults} == {"icu", "died", "site", "fold"}


def test_a_unit_that_is_not_ucum_is_found_before_the_manifest_is_read(data_dir):
    values = {**VALUES, "inputs": {"labs": {**VALUES["inputs"]["labs"], "analytes": [{"name": "k", "unit": "mEq/L"}]}}}
    with pytest.raises(ConfigError, match=r"inputs\.labs.*k in 'mEq/L'"):
        read_cohort(parse(values, where="test"), data_dir)

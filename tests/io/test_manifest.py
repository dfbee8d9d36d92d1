"""A manifest becomes cases, or every fault of it is told at once by row and column, never by what a cell holds."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.errors import ConfigError, Fault, ManifestError
from clinimm.io.manifest import AnalyteColumn, Columns, ImageColumn, LabColumns, NoteColumn, read_manifest
from clinimm.types import Case, ImageFile, Measurement, Measurements, Note, Status

COLUMNS = Columns(
    index_time="seen",
    inputs={
        "cxr": ImageColumn("film", "film_time", ("x0", "y0", "x1", "y1")),
        "note": NoteColumn("note"),
        "labs": LabColumns(
            (AnalyteColumn("crp", "mg/L", "crp_mg/L"), AnalyteColumn("po2", "mm[Hg]", "po2_mm[Hg]")), "labs_time"
        ),
    },
    targets={"severe": "severe"},
    attributes=("site",),
    fold="fold",
)
HEADER = "case_id,patient_id,seen,film,film_time,x0,y0,x1,y1,note,crp_mg/L,po2_mm[Hg],labs_time,severe,site,fold"
FULL = "c1,p1,2024-05-02T10:00,a.png,2024-05-02T09:00,0.1,0.2,0.9,0.8,cough,12.5,70,2024-05-02T08:00,1,north,0"
BARE = "c2,p2,,,,,,,,,,,,,,1"


def cases(folder: Path, *rows: str, columns: Columns = COLUMNS, header: str = HEADER) -> list[Case]:
    path = folder / "cases.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return read_manifest(path, columns)


def faults(folder: Path, *rows: str, columns: Columns = COLUMNS, header: str = HEADER) -> list[Fault]:
    with pytest.raises(ManifestError) as refused:
        cases(folder, *rows, columns=columns, header=header)
    return list(refused.value.faults)


def places(found: list[Fault]) -> list[tuple[str, int | None, str | None]]:
    return [(fault.code, fault.row, fault.column) for fault in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "series/2.dcm", "series/1.dcm", "series/.hidden", "b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_full_row_is_a_full_case(folder):
    (case,) = cases(folder, FULL)
    assert case == Case(
        case_id="c1",
        patient_id="p1",
        inputs={
            "cxr": ImageFile((folder / "a.png",), datetime(2024, 5, 2, 9), (0.1, 0.2, 0.9, 0.8)),  # noqa: DTZ001
            "note": Note("cough"),
            "labs": Measurements(
                (Measurement("crp", 12.5, "mg/L"), Measurement("po2", 70.0, "mm[Hg]")),
                datetime(2024, 5, 2, 8),  # noqa: DTZ001
            ),
        },
        targets={"severe": True},
        index_time=datetime(2024, 5, 2, 10),  # noqa: DTZ001
        attributes={"site": "north", "fold": "0"},
    )


def test_every_absent_input_has_a_state_and_an_unknown_target_is_none(folder):
    (case,) = cases(folder, BARE)
    assert case.inputs == {}
    assert {name: (state.status, state.reason) for name, state in case.absent.items()} == dict.fromkeys(
        ("cxr", "note", "labs"), (Status.ABSENT, "not_provided")
    )
    assert case.targets == {"severe": None}
    assert case.index_time is None


def test_one_analyte_makes_a_panel(folder):
    (case,) = cases(folder, "c1,p1,,,,,,,,,,70,,0,north,0")
    assert case.inputs["labs"] == Measurements((Measurement("po2", 70.0, "mm[Hg]"),))
    assert case.targets == {"severe": False}


def test_an_implausible_value_is_kept_for_the_model_to_refuse(folder):
    (case,) = cases(folder, "c1,p1,,,,,,,,,99999,,,,,0")
    assert case.inputs["labs"].values[0].value == 99999.0


def test_several_paths_and_a_folder_make_one_image(folder):
    (case,) = cases(folder, "c1,p1,,b.png; series,,,,,,,,,,,,0")
    assert [path.name for path in case.inputs["cxr"].paths] == ["b.png", "1.dcm", "2.dcm"]


def test_every_fault_is_told_at_once(folder):
    found = faults(
        folder,
        "c1,p1,yesterday,nowhere.png,,,,,,,,,,2,,0",
        "c1,,,../outside.png,,0.1,,,,,nan,,,,,",
        "c3,p1,,,,0.9,0.1,0.2,0.8,,\"1,5\",<5,,maybe,,1",
        "short,row",
        ",p4,2024-05-02,a.png,2024-05-03,,,,,,,,,,,2",
        "c6,p6,2024-05-02T10:00Z,a.png,2024-05-02T09:00,,,,,,,,,,,2",
    )  # fmt: skip
    assert sorted(places(found)) == sorted(
        [
            ("not_a_time", 2, "seen"),
            ("file_missing", 2, "film"),
            ("not_a_label", 2, "severe"),
            ("case_twice", 3, "case_id"),
            ("cell_empty", 3, "patient_id"),
            ("file_outside", 3, "film"),
            ("crop_incomplete", 3, "x0, y0, x1, y1"),
            ("not_a_number", 3, "crp_mg/L"),
            ("cell_empty", 3, "fold"),
            ("crop_range", 4, "x0, y0, x1, y1"),
            ("not_a_number", 4, "crp_mg/L"),
            ("not_a_number", 4, "po2_mm[Hg]"),
            ("not_a_label", 4, "severe"),
            ("patient_straddles", 4, "fold"),
            ("row_length", 5, None),
            ("cell_empty", 6, "case_id"),
            ("input_late", 6, "film_time"),
            ("time_zone", 7, "film_time"),
        ]
    )
    assert [fault.row for fault in found] == sorted(fault.row for fault in found)


def test_missing_columns_are_named_with_the_nearest_there_is(folder):
    found = faults(folder, "c1,p1", header="case_id,patientid")
    missing = {fault.column: fault.mend for fault in found}
    assert set(missing) == set(HEADER.split(",")) - {"case_id"}
    assert missing["patient_id"] == "did you mean 'patientid'?"


def test_an_optional_column_may_be_missing(folder):
    columns = Columns(targets={"severe": "severe"}, fold="fold", optional=frozenset({"severe", "fold"}))
    (case,) = cases(folder, "c1,p1", columns=columns, header="case_id,patient_id")
    assert case.targets == {"severe": None}


@pytest.mark.parametrize(
    "text", ["nan", "inf", "1_000", "1,000", "0x1f", "1e999", "\u0661", "12.5 mg/L", "true", "+-1"]
)
def test_what_only_looks_like_a_number_is_a_fault(folder, text):
    found = faults(folder, f'c1,p1,,,,,,,,,"{text}",,,,,0')
    assert places(found) == [("not_a_number", 2, "crp_mg/L")]


@pytest.mark.parametrize(
    ("text", "truth"),
    [("1", True), ("0", False), ("true", True), ("FALSE", False), (" 1 ", True), ("", None), ("1.0", True)],
)
def test_labels_are_yes_no_or_unknown(folder, text, truth):
    (case,) = cases(folder, f"c1,p1,,,,,,,,,,,,{text},,0")
    assert case.targets["severe"] is truth


def test_a_patient_may_not_straddle_the_split(folder):
    columns = Columns(split="split")
    header = "case_id,patient_id,split"
    assert len(cases(folder, "c1,p1,train", "c2,p1,train", "c3,p2,test", columns=columns, header=header)) == 3
    found = faults(folder, "c1,p1,train", "c2,p1,test", "c3,p2,testing", columns=columns, header=header)
    assert places(found) == [("patient_straddles", 3, "split"), ("split_unknown", 4, "split")]


def test_faults_hold_nothing_of_a_cell(folder):
    secret = "Zoltan"
    found = faults(
        folder,
        f"{secret},{secret},{secret},{secret},{secret},{secret},{secret},{secret},{secret},{secret},{secret},{secret},{secret},{secret},{secret},0",
        f"{secret},{secret},,,,,,,,,,,,,{secret},1",
        f"{secret},{secret}",
    )
    assert len(found) > 10
    assert secret not in str(ManifestError(found, where="cases.csv"))


def test_a_note_may_be_a_file_and_a_bad_one_spoils_its_case_alone(folder):
    (folder / "good.txt").write_text("fever", encoding="utf-8")
    (folder / "latin.txt").write_bytes("r\u00e4uspern".encode("latin-1"))
    (folder / "empty.txt").write_text(" ")
    (folder / "long.txt").write_text("a" * 500_000)
    columns = Columns(inputs={"note": NoteColumn("note", files=True)})
    rows = [f"c{n},p{n},{name}.txt" for n, name in enumerate(("good", "latin", "empty", "long"))]
    good, *bad = cases(folder, *rows, columns=columns, header="case_id,patient_id,note")
    assert good.inputs["note"] == Note("fever")
    assert [(case.absent["note"].status, case.absent["note"].reason) for case in bad] == [
        (Status.UNREADABLE, "note_not_utf8"),
        (Status.ABSENT, "note_empty"),
        (Status.REJECTED, "note_too_long"),
    ]


def test_a_note_file_that_is_not_there_is_a_fault(folder):
    columns = Columns(inputs={"note": NoteColumn("note", files=True)})
    found = faults(folder, "c1,p1,none.txt", columns=columns, header="case_id,patient_id,note")
    assert places(found) == [("file_missing", 2, "note")]


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.dcm"
    secret.write_bytes(b"x")
    (folder / "link.dcm").symlink_to(secret)
    (folder / "series" / "3.dcm").symlink_to(secret)
    (folder / "inner.dcm").symlink_to(folder / "a.png")
    assert len(cases(folder, "c1,p1,,inner.dcm,,,,,,,,,,,,0")) == 1
    for name in ("link.dcm", "series", str(secret)):
        found = faults(folder, f"c1,p1,,{name},,,,,,,,,,,,0")
        assert places(found) == [("file_outside", 2, "film")]


def test_the_data_folder_may_be_above_the_manifest(folder):
    below = folder / "tables"
    below.mkdir()
    (below / "m.csv").write_text("case_id,patient_id,film\nc1,p1,../a.png\n")
    columns = Columns(inputs={"cxr": ImageColumn("film")})
    (case,) = read_manifest(below / "m.csv", columns, root=folder)
    assert case.inputs["cxr"].paths[0].samefile(folder / "a.png")


def test_a_manifest_may_lie_apart_from_the_data_folder(folder, tmp_path_factory):
    apart = tmp_path_factory.mktemp("lists") / "m.csv"
    apart.write_text("case_id,patient_id,film\nc1,p1,a.png\n")
    columns = Columns(inputs={"cxr": ImageColumn("film")})
    (case,) = read_manifest(apart, columns, root=folder)
    assert case.inputs["cxr"].paths[0].samefile(folder / "a.png")


def test_quoted_commas_newlines_and_a_byte_order_mark_are_csv(folder):
    path = folder / "cases.csv"
    path.write_text(
        '\ufeffcase_id,patient_id,note\r\nc1,p1,"a, ""b""\r\nc"\r\n\r\nc2,p2,d\r\n', encoding="utf-8", newline=""
    )
    first, second = read_manifest(path, Columns(inputs={"note": NoteColumn("note")}))
    assert first.inputs["note"].text == 'a, "b"\nc'
    assert second.case_id == "c2"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "table_empty"),
        (b"case_id,patient_id\n", "table_empty"),
        (b"case_id,patient_id\nc1,\xff\n", "not_utf8"),
        (b'case_id,patient_id\n"c1,p1\n', "not_csv"),
        (b"case_id,patient_id,case_id\nc1,p1,c1\n", "column_twice"),
    ],
)
def test_a_broken_table_is_named(folder, raw, code):
    path = folder / "cases.csv"
    path.write_bytes(raw)
    with pytest.raises(ManifestError) as refused:
        read_manifest(path, Columns())
    assert [fault.code for fault in refused.value.faults] == [code]


def test_a_file_that_is_not_there_or_of_another_kind_is_named(folder):
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(folder / "none.csv", Columns())
    with pytest.raises(ConfigError, match=r"choose one of \.csv, \.parquet"):
        read_manifest(folder / "a.png", Columns())


def test_parquet_says_what_csv_says(folder):
    frame = polars.DataFrame(
        {
            "case_id": [1, 2],
            "patient_id": ["p1", "p2"],
            "seen": [datetime(2024, 5, 2, 10, tzinfo=UTC), None],
            "film": ["a.png", None],
            "film_time": [date(2024, 5, 1), None],
            "note": polars.Series(["cough", "fever"], dtype=polars.Categorical),
            "crp": [0.1, None],
            "severe": [True, None],
            "covid": [1.0, 0.0],
            "ignored": [[1], [2]],
        }
    )
    frame.write_parquet(folder / "cases.parquet")
    columns = Columns(
        index_time="seen",
        inputs={
            "cxr": ImageColumn("film"),
            "note": NoteColumn("note"),
            "labs": LabColumns((AnalyteColumn("crp", "mg/L", "crp"),)),
        },
        targets={"severe": "severe", "covid": "covid"},
    )
    first, second = read_manifest(folder / "cases.parquet", columns)
    assert (first.case_id, first.index_time) == ("1", datetime(2024, 5, 2, 10, tzinfo=UTC))
    assert first.inputs["labs"].values == (Measurement("crp", 0.1, "mg/L"),)
    assert first.targets == {"severe": True, "covid": True}
    assert set(second.inputs) == {"note"}
    assert second.targets == {"severe": None, "covid": False}


def test_parquet_faults_are_told_too(folder):
    polars.DataFrame(
        {"case_id": ["c1"], "patient_id": ["p1"], "crp": [float("nan")], "film": [["a.png"]]}
    ).write_parquet(folder / "cases.parquet")
    columns = Columns(inputs={"cxr": ImageColumn("film"), "labs": LabColumns((AnalyteColumn("crp", "mg/L", "crp"),))})
    with pytest.raises(ManifestError) as refused:
        read_manifest(folder / "cases.parquet", columns)
    assert places(list(refused.value.faults)) == [("column_type", None, "film"), ("not_a_number", 2, "crp")]
    (folder / "cases.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ManifestError, match="is not Parquet"):
        read_manifest(folder / "cases.parquet", columns)


def read_or_refused(path: Path, columns: Columns) -> int:
    """How many cases there are; 0 if the manifest was refused."""
    try:
        return len(read_manifest(path, columns))
    except ManifestError:
        return 0


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.lists(st.text(max_size=12), min_size=16, max_size=16), min_size=1, max_size=3))
def test_any_cells_make_cases_or_faults(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    frame = polars.DataFrame(rows, schema=HEADER.split(","), orient="row")
    frame.write_parquet(folder / "cases.parquet")
    assert read_or_refused(folder / "cases.parquet", COLUMNS) in {0, len(rows)}


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_manifest_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("any") / "cases.csv"
    path.write_bytes(b"case_id,patient_id\n" + raw)
    assert read_or_refused(path, Columns()) >= 0

"""From a stored case to the library's: each modality gets what is its own, or a reason why it gets nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clinimm.types import Analyte, ImageFile, InputState, Kind, Measurements, Modality, Note, Status
from services.blobs import Blobs
from services.cases import door
from services.cases.load import door_flags, load
from services.cases.schemas import LabIn
from services.cases.store import StoredCase, StoredImage, StoredLab

NOON = datetime(2026, 1, 17, 12, tzinfo=UTC)
MODALITIES = (
    Modality("cxr", Kind.IMAGE, (1, 64, 64)),
    Modality("ct", Kind.IMAGE, (1, 32, 32, 32)),
    Modality("note", Kind.TEXT, (96,)),
    Modality("labs", Kind.TABULAR, (2,), (Analyte("crp", "mg/L"), Analyte("wbc", "10*9/L"))),
    Modality("vitals", Kind.TABULAR, (1,), (Analyte("pulse", "/min"),)),
)


def stored(**changes: Any) -> StoredCase:
    fields: dict[str, Any] = {
        "id": "c-1", "client": "local", "reference": None, "patient_id": "p-1", "index_time": NOON, "note": None,
        "note_acquired_at": None, "inputs_hash": "0" * 64, "created_at": NOON, "images": (), "labs": (),
    }  # fmt: skip
    return StoredCase(**(fields | changes))


def image(modality: str, sha256: str | None, code: str = "") -> StoredImage:
    return StoredImage(modality, door.ACCEPTED if sha256 else door.REJECTED, code, 9, "0" * 64, sha256, False)


def lab(name: str, code: str = "", hours: float = 0) -> StoredLab:
    return StoredLab(name, "12.5", "mg/L", NOON - timedelta(hours=hours), door.ACCEPTED, code)


def test_each_modality_gets_its_own(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    films = (image("cxr", "a" * 64), image("ct", "b" * 64), image("ct", "c" * 64), image("cxr", "a" * 64))
    labs = (lab("crp", hours=2), lab("pulse"), lab("ferritin", "unused_input", hours=1))
    case = load(stored(note="Cough.\r\n", note_acquired_at=NOON, images=films, labs=labs), MODALITIES, blobs)
    assert case.inputs["cxr"] == ImageFile((blobs.path("a" * 64),))
    assert case.inputs["ct"] == ImageFile((blobs.path("b" * 64), blobs.path("c" * 64)))
    assert case.inputs["note"] == Note("Cough.", NOON)
    panel, vitals = case.inputs["labs"], case.inputs["vitals"]
    assert isinstance(panel, Measurements)
    assert isinstance(vitals, Measurements)
    assert [m.name for m in panel.values] == ["crp", "ferritin"]
    assert panel.acquired_at == NOON - timedelta(hours=1)
    assert [m.name for m in vitals.values] == ["pulse"]
    assert (case.case_id, case.patient_id, case.index_time, case.absent) == ("c-1", "p-1", NOON, {})


def test_what_was_refused_at_the_door_is_absent_with_its_reason(tmp_path: Path) -> None:
    case = load(stored(note="\n ", images=(image("cxr", None, "not_dicom"),)), MODALITIES, Blobs(tmp_path))
    assert case.inputs == {}
    assert case.absent["cxr"] == InputState(Status.REJECTED, "not_dicom", "refused as it came in: cxr")
    assert (case.absent["note"].status, case.absent["note"].reason) == (Status.REJECTED, "note_empty")
    assert "ct" not in case.absent


def test_good_film_beside_a_refused_one_is_used_and_the_refusal_flagged(tmp_path: Path) -> None:
    given = stored(images=(image("cxr", None, "not_dicom"), image("cxr", "a" * 64)), labs=(lab("crp", "superseded"),))
    assert set(load(given, MODALITIES, Blobs(tmp_path)).inputs) == {"cxr"}
    assert door_flags(given) == ["rejected:cxr", "superseded:crp"]


def test_a_panel_all_from_after_the_question_is_rejected_for_it(tmp_path: Path) -> None:
    late = (lab("crp", "after_index_time", -1), lab("wbc", "after_index_time", -2))
    case = load(stored(labs=late), MODALITIES, Blobs(tmp_path))
    assert (case.absent["labs"].status, case.absent["labs"].reason) == (Status.REJECTED, "after_index_time")
    assert "vitals" not in case.absent
    assert "labs" in load(stored(labs=(*late, lab("crp", hours=1))), MODALITIES, Blobs(tmp_path)).inputs


def test_last_value_before_the_index_time_is_used() -> None:
    labs = [
        LabIn(name="crp", value=value, unit="mg/L", collected_at=(NOON + timedelta(hours=hours)).isoformat())  # type: ignore[arg-type]
        for value, hours in ((1, -3), (2, -1), (3, 1))
    ]
    judged = door.judge_labs(labs, MODALITIES, NOON)
    assert [code for _, code in judged] == ["superseded", "", "after_index_time"]


def test_two_values_of_one_moment_are_both_kept_for_the_reader_to_judge() -> None:
    labs = [LabIn(name="crp", value=value, unit="mg/L") for value in (1, 2)]  # type: ignore[arg-type]
    assert [code for _, code in door.judge_labs(labs, MODALITIES, NOON)] == ["", ""]

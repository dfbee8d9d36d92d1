"""From a stored case to the library's: each modality gets what is its own, or a reason why it gets nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clinimm.types import Analyte, ImageFile, InputState, Kind, Measurements, Modality, Note, Status
from services.blobs import Blobs
from services.cases.content import ACCEPTED, REJECTED, settled
from services.cases.load import load
from services.cases.stored import StoredCase, StoredImage, StoredLab, StoredNote

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
        "id": "c-1", "client": "local", "reference": None, "patient_id": "p-1", "patient": {}, "index_time": NOON,
        "version": 1, "inputs_hash": "0" * 64, "created_hash": "0" * 64, "held": "", "complete": {}, "created_at": NOON,
    }  # fmt: skip
    return StoredCase(**(fields | changes))


def image(modality: str, sha256: str | None, code: str = "", position: int = 0) -> StoredImage:
    outcome = ACCEPTED if sha256 else REJECTED
    return StoredImage(position, 1, modality, outcome, code, 9, sha256 or "0" * 64, sha256, False)


def note(text: str) -> StoredNote:
    return StoredNote(0, 1, text, acquired_at=NOON)


def lab(position: int, name: str, unit: str = "mg/L", hours: float = 0, value: str = "12.5") -> StoredLab:
    moment = NOON - timedelta(hours=hours)
    return StoredLab(position, 1, name, value, unit, moment, NOON + timedelta(days=1), {"position": position})


def test_each_modality_gets_its_own(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    names = [("cxr", "a"), ("ct", "b"), ("ct", "c"), ("cxr", "a")]
    films = tuple(image(name, letter * 64, position=i) for i, (name, letter) in enumerate(names))
    labs = (lab(0, "crp", hours=2), lab(1, "pulse", "/min", value="80"), lab(2, "nonsense", hours=1))
    case = load(stored(notes=(note("Cough.\r\n"),), images=films, labs=labs), MODALITIES, blobs)
    assert case.inputs["cxr"] == ImageFile((blobs.path("a" * 64),), digests=("a" * 64,))
    assert case.inputs["ct"] == ImageFile((blobs.path("b" * 64), blobs.path("c" * 64)), digests=("b" * 64, "c" * 64))
    assert case.inputs["note"] == Note("Cough.", NOON)
    panel, vitals = case.inputs["labs"], case.inputs["vitals"]
    assert isinstance(panel, Measurements)
    assert isinstance(vitals, Measurements)
    assert [m.name for m in panel.values] == ["crp"]
    assert panel.acquired_at == NOON - timedelta(hours=2)
    assert [m.name for m in vitals.values] == ["pulse"]
    assert (case.case_id, case.patient_id, case.index_time, case.absent) == ("c-1", "p-1", NOON, {})


def test_what_was_refused_at_the_door_is_absent_with_its_reason(tmp_path: Path) -> None:
    case = load(stored(notes=(note("\n "),), images=(image("cxr", None, "not_dicom"),)), MODALITIES, Blobs(tmp_path))
    assert case.inputs == {}
    assert case.absent["cxr"] == InputState(Status.REJECTED, "not_dicom", "refused as it came in: cxr")
    assert (case.absent["note"].status, case.absent["note"].reason) == (Status.REJECTED, "note_empty")
    assert "ct" not in case.absent


def test_why_there_will_be_none_is_the_senders_word(tmp_path: Path) -> None:
    case = load(stored(complete={"ct": "not_ordered", "note": ""}), MODALITIES, Blobs(tmp_path))
    assert case.absent == {"ct": InputState(Status.ABSENT, "not_ordered")}


def test_good_film_beside_a_refused_one_is_used_and_the_refusal_flagged(tmp_path: Path) -> None:
    films = (image("cxr", None, "not_dicom"), image("cxr", "a" * 64, position=1))
    given = stored(images=films, labs=(lab(0, "crp", hours=2), lab(1, "crp", hours=1)))
    assert set(load(given, MODALITIES, Blobs(tmp_path)).inputs) == {"cxr", "labs"}
    assert list(settled(given, MODALITIES).flags) == ["rejected:cxr", "superseded:crp"]


def test_a_panel_all_from_after_the_question_is_rejected_for_it(tmp_path: Path) -> None:
    late = (lab(0, "crp", hours=-1), lab(1, "wbc", "10*9/L", hours=-2))
    case = load(stored(labs=late), MODALITIES, Blobs(tmp_path))
    assert (case.absent["labs"].status, case.absent["labs"].reason) == (Status.REJECTED, "after_index_time")
    assert "vitals" not in case.absent
    assert "labs" in load(stored(labs=(*late, lab(2, "crp", hours=1))), MODALITIES, Blobs(tmp_path)).inputs


def test_values_that_no_living_patient_has_are_named_as_the_reason(tmp_path: Path) -> None:
    case = load(stored(labs=(lab(0, "crp", value="9000000"),)), MODALITIES, Blobs(tmp_path))
    assert (case.absent["labs"].status, case.absent["labs"].reason) == (Status.REJECTED, "implausible_lab")


def test_values_too_old_for_the_question_make_the_panel_stale(tmp_path: Path) -> None:
    case = load(stored(labs=(lab(0, "crp", hours=24 * 60),)), MODALITIES, Blobs(tmp_path))
    assert (case.absent["labs"].status, case.absent["labs"].reason) == (Status.STALE, "stale")


def test_what_the_door_refused_counts_and_what_it_settled_is_not_doubted_again(
    tmp_path: Path,
) -> None:
    doubtful = StoredLab(0, 1, "crp", "0.6", "mg/dL", NOON, NOON, {"reference_range": {"low": "0", "high": "0.5"}})
    case = load(stored(labs=(doubtful, lab(1, "wbc", ""))), MODALITIES, Blobs(tmp_path))
    panel = case.inputs["labs"]
    assert isinstance(panel, Measurements)
    assert [(m.name, m.value, m.settled) for m in panel.values] == [("crp", 6.0, True)]
    assert panel.refused_before == 1

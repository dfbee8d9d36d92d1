"""Stored cases made in memory: what the pure functions of the cases slice are given."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from clinimm.identity import Identity, Sex
from clinimm.types import Analyte, Kind, Modality
from services.cases.content import ACCEPTED
from services.cases.stored import Instance, StoredAct, StoredCase, StoredImage, StoredLab, StoredNote

NOON = datetime(2026, 1, 17, 12, tzinfo=UTC)
SECRET = b"sixteen bytes or more"
MODALITIES = (
    Modality("cxr", Kind.IMAGE, (1, 32, 32)),
    Modality("note", Kind.TEXT, (48,)),
    Modality("labs", Kind.TABULAR, (2,), analytes=(Analyte("crp", "mg/L"), Analyte("wbc", "10*9/L"))),
)


def person(
    patient_id: str | None = None,
    *,
    issuer: str | None = None,
    birth_date: date | None = None,
    sex: Sex | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Whose an input says it is, as a record."""
    return Identity("sender", patient_id=patient_id, issuer=issuer, birth_date=birth_date, sex=sex, name=name).record()


def stored(**changes: Any) -> StoredCase:
    """A case at its first version, of whatever parts are given."""
    blank = StoredCase("case-1", "clinic", None, "p-1", {}, NOON, 1, "", "", "", {}, NOON)
    return replace(blank, **changes)


def film(position: int = 0, letter: str = "a", *, who: dict[str, Any] | None = None, **changes: Any) -> StoredImage:
    """A film whose hash is a letter 64 times; `facts` are its header's, `who` whose it says it is."""
    facts = changes.pop("facts", {})
    sha = letter * 64
    instance = Instance(f"1.2.{ord(letter)}", "1.2", "1.3", sha, sha, 10, False, facts, who or {})
    return replace(StoredImage(position, 1, "cxr", ACCEPTED, "", 10, sha, sha, False, instance), **changes)


def note(text: str = "Fever and cough.", position: int = 0, **changes: Any) -> StoredNote:
    return StoredNote(position, 1, text, **{"acquired_at": NOON - timedelta(hours=1), **changes})


def lab(name: str = "crp", value: str | None = "12.5", unit: str = "mg/L", position: int = 0, **sent: Any) -> StoredLab:
    """A value collected two hours before noon; `sent` is what else the sender said of it, on the wire."""
    original = {"name": name, "value": value, "unit": unit, **sent}
    return StoredLab(position, 1, name, value, unit, NOON - timedelta(hours=2), NOON, original)


def act(*, settled: tuple[str, ...] = (), excluded: tuple[str, ...] = ()) -> StoredAct:
    """What a reviewer decided."""
    decision = "exclude" if excluded else "same_patient"
    return StoredAct(0, 2, decision, "looked at both", settled, excluded, "reviewer", NOON)

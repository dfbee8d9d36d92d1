"""What a door must know of one DICOM file before it lets it in: who, which instance, what form. No pixel is decoded."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Sex = Literal["M", "F", "O"]


@dataclass(frozen=True, repr=False)
class Identity:
    """Whom the file says it shows. Has no repr, since this must reach no log and no error.

    Text holds no control characters and is bounded: 64 characters an identifier, 256 the name, which keeps DICOM's
    `^` and `=`. `birth_date` is ISO 8601. `removed` is Patient Identity Removed (0012,0062)."""

    patient_id: str | None = None
    issuer: str | None = None
    name: str | None = None
    birth_date: str | None = None
    sex: Sex | None = None
    removed: bool = False


@dataclass(frozen=True)
class Inspection:
    """One DICOM image that may be read. A UID that the file does not give is None; `transfer_syntax` is a UID.

    `laterality` is R, L, U or B; `age_years` is the age that the file states at the time of the study. `acquired_at`
    is ISO 8601, with an offset from UTC only where the file gives one. `flags` are codes of what a
    careful reader should know: `charset_fallback` (the text is not in the character set it declares, and may be
    misread), `name_altered`, `bad_patient_id`, `bad_birth_date`, and those of scan.read_scan that need no pixels."""

    sop_instance_uid: str | None
    sop_class_uid: str | None
    study_instance_uid: str | None
    series_instance_uid: str | None
    transfer_syntax: str
    dicom_modality: str | None
    rows: int
    columns: int
    frames: int
    acquired_at: str | None
    body_part: str | None = None
    laterality: str | None = None
    age_years: float | None = None
    identity: Identity = field(default_factory=Identity)
    flags: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def recorded(record: dict[str, Any]) -> Inspection:
    """The inspection that `Inspection.record` wrote. Raises TypeError, KeyError or ValueError for anything else."""
    known = {**record, "identity": Identity(**record["identity"]), "flags": tuple(record["flags"])}
    return Inspection(**known)

"""The door's look at one DICOM file: all that reading checks before it decodes, and whom the file shows."""

import re
import unicodedata
from collections.abc import Callable
from datetime import date
from pathlib import Path

from pydicom import config as pydicom_config
from pydicom.dataset import Dataset

from clinimm.errors import DamagedInput, UnsupportedInput
from clinimm.io.bounded import read_bounded
from clinimm.io.dicom import open_piece
from clinimm.io.dicom_header import UIDS, bad_uids, code_text, damage_is_named, looks_like_dicom, uid_text
from clinimm.io.dicom_pixels import check_frames
from clinimm.io.dicom_text import read_text
from clinimm.io.dicom_volume import Piece
from clinimm.io.inspection import Identity, Inspection, Sex
from clinimm.io.scan_types import Limits

LONGEST_ID, LONGEST_NAME = 64, 256  # the first is that of VR LO (PS3.5 6.2)
DAY = re.compile(r"([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})")
AGE = re.compile(r"([0-9]{3})([DWMY])")
UNITS_A_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
SEXES: dict[str | None, Sex] = {"M": "M", "F": "F", "O": "O"}
# Line ends that are no controls, and marks that turn the order of letters round.
UNSEEN = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def inspect_dicom(path: Path, limits: Limits) -> Inspection:
    """What the DICOM file at `path` is. Raises InputError with the codes of scan.read_scan, and DamagedInput `bad_uid`
    for an identifier that is no UID, which reading only flags since it passes none on."""
    data = read_bounded(path, limits.file_bytes)
    if not looks_like_dicom(data):
        raise UnsupportedInput("unknown_format", "is not DICOM", where=path.name)
    with pydicom_config.disable_value_validation(), damage_is_named("unreadable_header", "cannot be used", path.name):
        piece = open_piece(path.name, data, limits)
        check_frames(piece.instance, piece.layout)
        return _told(piece)


def _told(piece: Piece) -> Inspection:
    header, layout = piece.instance.header, piece.layout
    if bad := bad_uids(header):
        raise DamagedInput("bad_uid", f"{bad[0]} is no UID", where=piece.instance.where)
    identity, doubts = read_identity(header)
    flags = (*piece.flags, *(flag for plane in piece.planes[:1] for flag in plane.flags), *doubts)
    instance, of_class, study, series = (uid_text(header, keyword) for keyword in UIDS)
    return Inspection(
        sop_instance_uid=instance,
        sop_class_uid=of_class,
        study_instance_uid=study,
        series_instance_uid=series,
        transfer_syntax=str(piece.instance.syntax),
        dicom_modality=piece.facts["dicom_modality"],
        rows=layout.rows,
        columns=layout.columns,
        frames=layout.frames,
        acquired_at=piece.facts["acquired_at"],
        body_part=piece.facts["body_part"],
        laterality=code_text(header, "ImageLaterality") or code_text(header, "Laterality"),
        age_years=_age_years(header),
        identity=identity,
        flags=tuple(dict.fromkeys(flags)),
    )


def _age_years(header: Dataset) -> float | None:
    """The stated age (PS3.5 6.2, VR AS) in years; None where absent or of another form."""
    match = AGE.fullmatch(str(header.get("PatientAge") or "").strip(" \0"))
    return None if match is None else int(match[1]) / UNITS_A_YEAR[match[2]]


def read_identity(header: Dataset) -> tuple[Identity, tuple[str, ...]]:
    """Whom the file shows, and flags of what had to be guessed, changed or left out.

    A name is mended. An identifier never is: shortened, one patient's could become another's."""
    doubts: list[str] = []

    def text(keyword: str) -> str:
        value, is_sure = read_text(header, keyword)
        if not is_sure:
            doubts.append("charset_fallback")
        return value

    name = _mended(text("PatientName"), doubts.append)
    patient_id, issuer = text("PatientID"), text("IssuerOfPatientID")
    if any(len(one) > LONGEST_ID or one != _visible(one) for one in (patient_id, issuer)):
        patient_id = issuer = ""
        doubts.append("bad_patient_id")
    identity = Identity(
        patient_id=patient_id or None,
        issuer=issuer or None,
        name=name or None,
        birth_date=_birth_date(header, doubts.append),
        sex=SEXES.get(code_text(header, "PatientSex")),
        removed=code_text(header, "PatientIdentityRemoved") == "YES",
    )
    return identity, tuple(doubts)


def _mended(name: str, doubt: Callable[[str], None]) -> str:
    shown = _visible(name)[:LONGEST_NAME]
    if shown != name:
        doubt("name_altered")
    return shown


def _visible(text: str) -> str:
    return "".join(one for one in text if one not in UNSEEN and unicodedata.category(one) != "Cc")


def _birth_date(header: Dataset, doubt: Callable[[str], None]) -> str | None:
    """ISO 8601; None where absent, or where it is no date. The form with dots is that of ACR-NEMA."""
    stated = str(header.get("PatientBirthDate") or "").strip(" \0")
    if not stated:
        return None
    match = DAY.fullmatch(stated)
    try:
        if match is not None:
            return date(int(match[1]), int(match[3]), int(match[4])).isoformat()
    except ValueError:
        pass
    doubt("bad_birth_date")
    return None

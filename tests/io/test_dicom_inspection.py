"""What the door sees of a film: who, which instance, when; and nothing of it in a log."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset, encapsulated, save, write
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from clinimm.errors import DamagedInput
from clinimm.io.dicom_inspection import inspect_dicom, read_identity
from clinimm.io.inspection import Identity, Inspection, recorded
from clinimm.io.scan import Limits, read_scan

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def inspected(folder: Path, **described: Any) -> Inspection:
    return inspect_dicom(write(folder / "film", PIXELS, **described), Limits())


def test_a_film_is_told_whole(tmp_path: Path) -> None:
    seen = inspected(
        tmp_path,
        StudyInstanceUID="1.2.3",
        StudyDate="20240517",
        PatientBirthDate="19700102",
        PatientSex="F",
        IssuerOfPatientID="HOSPITAL",
        PatientIdentityRemoved="YES",
    )
    facts = read_scan([tmp_path / "film"]).facts
    assert (seen.sop_instance_uid, seen.series_instance_uid) == (facts["sop_instance_uid"], facts["series_uid"])
    assert (seen.study_instance_uid, seen.sop_class_uid) == ("1.2.3", "1.2.840.10008.5.1.4.1.1.2")
    assert (seen.dicom_modality, seen.acquired_at) == ("OT", "2024-05-17T00:00:00")
    assert (seen.rows, seen.columns, seen.frames, seen.flags) == (8, 8, 1, ())
    assert seen.identity == Identity("CANARY-ID", "HOSPITAL", "CANARY^NAME", "1970-01-02", "F", removed=True)
    assert recorded(seen.record()) == seen


def test_whom_a_file_shows_is_in_no_repr(tmp_path: Path) -> None:
    assert "CANARY" not in repr(inspected(tmp_path))


def test_what_a_file_does_not_say_is_none(tmp_path: Path) -> None:
    seen = inspected(tmp_path, PatientID=None, PatientName=None, SeriesInstanceUID=None, SOPInstanceUID=None)
    assert (seen.sop_instance_uid, seen.study_instance_uid, seen.series_instance_uid) == (None, None, None)
    assert seen.identity == Identity()
    assert seen.flags == ()


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("uid", ["../../../../tmp/evil", "..", "1..2", "1.2.", "1" * 65, "1.2\\1.3", "1.²"])
def test_an_identifier_that_is_no_uid_is_refused(tmp_path: Path, keyword: str, uid: str) -> None:
    made = dataset(PIXELS)
    made.add_new(keyword, "LO", uid)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = tmp_path / "film"
    made.save_as(path, enforce_file_format=False, implicit_vr=False, little_endian=True)
    with pytest.raises(DamagedInput) as refusal:
        inspect_dicom(path, Limits())
    assert refusal.value.code == "bad_uid"
    assert uid not in str(refusal.value)


@pytest.mark.parametrize(
    ("born", "told", "flags"),
    [
        ("19700102", "1970-01-02", ()),
        ("1970.01.02", "1970-01-02", ()),
        ("19701399", None, ("bad_birth_date",)),
        ("1970", None, ("bad_birth_date",)),
        ("197001021", None, ("bad_birth_date",)),
        ("", None, ()),
    ],
)
def test_a_birth_date_is_a_date_or_none(born: str, told: str | None, flags: tuple[str, ...]) -> None:
    identity, doubts = read_identity(raw(PatientBirthDate=born.encode()))
    assert (identity.birth_date, doubts) == (told, flags)


@pytest.mark.parametrize(("stated", "sex"), [("M", "M"), ("F ", "F"), ("O", "O"), ("U", None), ("f", None), ("", None)])
def test_sex_is_one_of_three_or_none(stated: str, sex: str | None) -> None:
    assert read_identity(raw(PatientSex=stated.encode()))[0].sex == sex


@pytest.mark.parametrize("bad", [b"7" * 65, b"12\x0034", b"12\r\n34"])
@pytest.mark.parametrize("keyword", ["PatientID", "IssuerOfPatientID"])
def test_an_identifier_is_never_mended(keyword: str, bad: bytes) -> None:
    """Shortened or cleaned, one patient's could become another's; without its issuer too."""
    identity, doubts = read_identity(raw(**{"PatientID": b"1234", keyword: bad}))
    assert (identity.patient_id, identity.issuer) == (None, None)
    assert doubts == ("bad_patient_id",)


@given(st.text().map(lambda text: text.encode("utf-8")))
def test_what_is_told_of_a_patient_is_bounded_and_can_be_shown(text: bytes) -> None:
    identity, doubts = read_identity(raw(SpecificCharacterSet=b"ISO_IR 192", PatientName=text, PatientID=text))
    name, patient_id = identity.name or "", identity.patient_id or ""
    assert len(name) <= 256
    assert len(patient_id) <= 64
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 or one in "\u202e\u2028" for one in name + patient_id)
    if name.encode() != text.strip(b" \0"):
        assert doubts


def raw(**values: bytes) -> Dataset:
    """A header as it is read from a file, each value still bytes."""
    ordered = sorted((tag_for_keyword(keyword) or 0, keyword) for keyword in values)
    stream = b"".join(
        (tag >> 16).to_bytes(2, "little")
        + (tag & 0xFFFF).to_bytes(2, "little")
        + dictionary_VR(tag).encode()
        + len(values[keyword]).to_bytes(2, "little")
        + values[keyword]
        for tag, keyword in ordered
    )
    return read_dataset(BytesIO(stream), False, True)


def test_a_film_of_another_size_than_declared_is_seen_without_decoding(tmp_path: Path) -> None:
    """The codestream says 64 x 64 and then nothing that could be decoded."""
    said = bytearray(write(tmp_path / "film", np.zeros((64, 64), np.uint8), JPEG2000Lossless).read_bytes())
    assert said.count(b"\xff\x4f\xff\x51") == 1
    frame = bytes(said[said.index(b"\xff\x4f\xff\x51") :])[:60] + b"\xff\x90\x00\x0a" + b"\0" * 8 + b"\xff\xd9"
    path = save(encapsulated(dataset(PIXELS), [frame]), tmp_path / "other", JPEG2000Lossless)
    with pytest.raises(DamagedInput) as refusal:
        inspect_dicom(path, Limits())
    assert refusal.value.code == "size_mismatch"

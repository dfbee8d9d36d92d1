"""The header of a note: whose it is, where it surely says so, and nothing from anything else."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinimm.identity import Identity, mismatches, of_note
from clinimm.identity.days import read_day

BORN = date(1950, 3, 1)


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (
            "Patient: John Smith\nMRN: 12345\nDOB: 1950-03-01\nSex: M\n\nHPI: fever for two days.",
            Identity("notes/0", patient_id="12345", birth_date=BORN, sex="M", name="John Smith"),
        ),
        ("MRN 12345 DOB 1950-03-01", Identity("notes/0", patient_id="12345", birth_date=BORN)),
        ("Patient-ID: P9685eb76", Identity("notes/0", patient_id="P9685eb76")),
        (
            "Name: Müller, Anna\nGeburtsdatum: 01.03.1950\nGeschlecht: weiblich",
            Identity("notes/0", birth_date=BORN, sex="F", name="Müller, Anna"),
        ),
        (
            "Patientin: Anna Müller, geb. 01.03.1950\nDiagnose: Pneumonie",
            Identity("notes/0", birth_date=BORN, name="Anna Müller"),
        ),
        (
            "CLINICAL NOTE\n**Patient Name:** Smith, John | **DOB:** 3/14/1950",
            Identity("notes/0", birth_date=date(1950, 3, 14), name="Smith, John"),
        ),
        ("| Name | Anna Smith | DOB | March 1, 1950 |", Identity("notes/0", birth_date=BORN, name="Anna Smith")),
        (
            "Patient: John Smith (MRN 12345), Gender: female, 54y",
            Identity("notes/0", patient_id="12345", sex="F", name="John Smith"),
        ),
        ("Last name: Smith  First name: Anna", Identity("notes/0", name="Smith, Anna")),
        (
            "St. Mary's Hospital\n\nDischarge summary\nPt: O'Brien, Pat; D.O.B.: 1 Mar 1950",
            Identity("notes/0", birth_date=BORN, name="O'Brien, Pat"),
        ),
        ("PATIENT: JOHN SMITH   DOB: 19500301", Identity("notes/0", birth_date=BORN, name="JOHN SMITH")),
        ("Patient: van den Berg, Piet", Identity("notes/0", name="van den Berg, Piet")),
        ("Patient name: 山田太郎", Identity("notes/0", name="山田太郎")),
        ("Patient: Smith^John^Q", Identity("notes/0", name="Smith^John^Q")),
        ("Patient Name: Anonymous\nSex: Male", Identity("notes/0", sex="M")),
        (
            "MRN: 12345\nFever since Monday. His brother John, DOB 1960-01-02, is well.",
            Identity("notes/0", patient_id="12345"),
        ),
        ("Patient: MRN: 12345", Identity("notes/0", patient_id="12345")),
        (
            "MRN: 1234\n" + "Ward of the north\n" * 15 + "DOB: 1950-03-01\n" + "x\n" * 40,
            Identity("notes/0", patient_id="1234", birth_date=BORN),
        ),
        ("word " * 12 + "\nMRN: 1234", Identity("notes/0", patient_id="1234")),
        ("\n" * 19 + "MRN: 1234\nDOB: 1950-03-01", Identity("notes/0", patient_id="1234")),
        ("MRN: 1234\nMRN: 4321\nDOB: 1950-03-01", Identity("notes/0", birth_date=BORN)),
        ("MRN: 1234\n" + "MRN: 1234 " + "x" * 300, Identity("notes/0", patient_id="1234")),
    ],
)
def test_a_header_is_read(note: str, expected: Identity) -> None:
    assert of_note(note) == expected


@pytest.mark.parametrize(
    "note",
    [
        "",
        "54-year-old man with cough.",
        "Patient: denies chest pain",
        "Patient: Denies Chest Pain",
        "PATIENT: RESTING COMFORTABLY IN BED",
        "PATIENT: COMFY TODAY",
        "Patient: Stable, Alert",
        "Patient: Alert",
        "Patient: 54 y/o male",
        "Patient: Caucasian Female",
        "Patient is John Smith's neighbor",
        "Patient: see above",
        "Patient: [REDACTED]",
        "Name: ANONYMOUS",
        "Name of drug: Metformin",
        "Drug name: Metformin",
        "Name: Metformin",
        "Name: METOPROLOL XL",
        "Name: Insulin Glargine\nDose: 10 units",
        "Brand name: Glucophage",
        "Sex: not recorded",
        "Sex: M/F",
        "Sex: Male Female",
        "Sex: M, F",
        "Sex: male patients only",
        "Patient name: Smith, Anna\nPatient name: Jones, Mary\nPatient: Miller, Jane",
        "word " * 13 + "\nMRN: 1234",
        "Sex: active with men",
        "Sexually active: yes",
        "Gender: male-to-female transgender",
        "Patient ID: 54-year-old man",
        "Patient ID: 54M",
        "Patient ID: see chart",
        "Patient ID: 03/04/2020",
        "ID: 54yo man with sepsis",
        "MRN: pending",
        "MRN: 123 456",
        "DOB: 03/04/1950",
        "DOB: 01-02-50",
        "DOB: unknown",
        "DOB: 31.02.1950",
        "Date: 1950-03-01",
        "Date of admission: 2020-03-01",
        "His brother John Smith, DOB 1950-03-01, has asthma.",
        "Mother: Jane Smith, DOB 1950-03-01",
        "Next of kin:\nName: Smith, Jane\nDOB: 1950-03-01",
        "Emergency contact\nName: Smith, Jane",
        "Donor\nMRN: 12345\nDOB: 1950-03-01",
        "Patient: cared for by daughter, MRN 12345",
        "Referring physician:\nName: Jones, Peter\nMRN: 12345",
        "Attending: Dr Peter Jones, DOB 1950-03-01",
        "Medications:\nName: Smith, Anna",
        "HPI: MRN 12345 DOB 1950-03-01",
        "Fever and cough for three days, worse at night, now with shortness of breath and sweats.\nMRN: 12345",
        "The patient with MRN 12345 was seen.",
        "\n" * 20 + "MRN: 12345",
        "DRN: 12345 and the like",
        "Pattern: Diffuse Reticular",
        "Patient: COVID",
    ],
)
def test_what_is_not_surely_a_header_names_nobody(note: str) -> None:
    assert of_note(note) is None


@given(st.text(st.sampled_from("Patient: NameDOBMRN 1950-03\n.,|\tsex mf^"), max_size=200))
def test_any_text_gives_an_identity_with_something_in_it_or_none(note: str) -> None:
    found = of_note(note, "notes/7")
    assert found is None or (found.source == "notes/7" and found != Identity("notes/7"))


@pytest.mark.slow
@given(st.dates(date(1901, 1, 1), date(2026, 1, 1)), st.from_regex(r"[A-Z]{0,2}[0-9]{4,9}", fullmatch=True))
def test_what_a_header_was_written_from_does_not_contradict_it(born: date, patient_id: str) -> None:
    asked = Identity("request", patient_id=patient_id, birth_date=born, sex="F", name="Smith^Anna^Q")
    styles = (f"{born:%Y-%m-%d}", f"{born:%d.%m.%Y}", f"{born:%d %b %Y}", f"{born:%B %d, %Y}", f"{born:%Y%m%d}")
    for day in styles:
        read = of_note(f"Patient: Anna Smith\nMRN: {patient_id}\nDOB: {day}\nSex: F")
        assert read is not None
        assert (read.patient_id, read.birth_date, read.sex, read.name) == (patient_id, born, "F", "Anna Smith")
        assert mismatches([asked, read]) == ()


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1950-03-01T10:30", BORN),
        ("1950/3/1", BORN),
        ("19500301103000", BORN),
        ("1st March 1950 (74 y)", BORN),
        ("1. März 1950", BORN),
        ("01-MAR-1950", BORN),
        ("Mar. 1, 1950", BORN),
        ("13/03/1950", date(1950, 3, 13)),
        ("03/13/1950", date(1950, 3, 13)),
        ("03-03-1950", date(1950, 3, 3)),
        ("03/04/1950", None),
        ("04.13.1950", None),
        ("1 Foo 1950", None),
        ("Foo 1, 1950", None),
        ("1850-03-01", None),
        ("1950-03-0101", None),
        ("195003011", None),
    ],
)
def test_a_day_is_read_only_where_it_is_one_day(text: str, day: date | None) -> None:
    assert read_day(text) == day

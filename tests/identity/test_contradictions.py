"""Soft contradictions: a table of notes, ages, sides and times that fit a patient or do not."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from clinimm.identity import Sex, contradictions

AT = datetime.fromisoformat("2020-06-01T12:00")
MIDNIGHT = datetime.fromisoformat("2020-06-01")

FEMALE_NOTES = (
    "Radical prostatectomy in 2015, now cough.",
    "Prostate cancer, no fever.",
    "Left testicular swelling.",
    "A 54-year-old man presents with dyspnea.",
    "Male, 50 years old, with dry cough.",
    "71 y/o retired male with fever.",
    "He has had fever for a week. His cough is worse.",
)
MALE_NOTES = (
    "G2P1, cough for two days.",
    "Currently pregnant, 24 weeks.",
    "Ovarian cancer on chemotherapy.",
    "Hysterectomy 2015.",
    "A 61-year-old obese woman with fever.",
    "She has had fever. Her cough is worse.",
    "Family history: breast cancer.\n\nUterine bleeding since Monday.",
)
ABOUT_NO_ONE_ELSE = (
    "",
    "Fever and cough.",
    "No pregnancy.",
    "Pregnancy: no.",
    "Uterus absent. Prostate not palpable.",
    "Pregnant? Ovarian mass?",
    "Denies testicular pain or vaginal bleeding.",
    "Mother had ovarian cancer, father prostate cancer.",
    "Family history of ovarian cancer and of prostate cancer.",
    "Family history: hypertension. Ovarian cancer. Prostate cancer.",
    "FAMILY HISTORY:\nOvarian cancer\nProstate cancer\n\nLungs: clear.",
    "His wife is pregnant; her husband has prostate cancer.",
    "Contact with a 54-year-old man, then with a 50-year-old woman.",
    "Must not be handled by pregnant women.",
    "Prostate / uterus: normal size.",
    "Screening for prostate and cervical dysplasia is due.",
    "Cervical spine pain after a fall.",
    "Prostaglandin infusion.",
    "Patient seen with Dr Jones, who gave his opinion.",
    "The husband reports that he found the patient. He called. His wife was pale. She was cold. Her hands, too.",
)


@pytest.mark.parametrize(
    ("sex", "note"), [*(("F", note) for note in FEMALE_NOTES), *(("M", note) for note in MALE_NOTES)]
)
def test_a_note_of_the_other_sex_is_flagged(sex: Sex, note: str) -> None:
    assert contradictions(sex=sex, note=note) == ("sex_contradicts_note",)
    assert contradictions(sex="F" if sex == "M" else "M", note=note) == ()
    assert contradictions(sex="O", note=note) == contradictions(note=note) == ()


@pytest.mark.parametrize("note", ABOUT_NO_ONE_ELSE)
@pytest.mark.parametrize("sex", ["M", "F"])
def test_what_is_denied_doubted_or_said_of_others_is_not_flagged(sex: Sex, note: str) -> None:
    assert contradictions(sex=sex, note=note) == ()


@pytest.mark.parametrize(
    "note",
    ["Seen with her sister. She has fever. Her cough is worse.", "He coughs. She has fever, her cough is worse."],
)
def test_pronouns_tell_nothing_where_they_can_be_of_another(note: str) -> None:
    assert contradictions(sex="M", note=note) == contradictions(sex="F", note=note) == ()


def test_a_noun_outweighs_pronouns() -> None:
    assert contradictions(sex="F", note="Woman, 69 years old. He has fever. He does not report pain.") == ()


@pytest.mark.parametrize(
    ("age_years", "flagged"),
    [(70.2, False), (70, False), (68.3, False), (72.2, False), (73, True), (67, True), (20, True), (None, False)],
)
def test_an_age_in_the_image_is_held_against_the_birth_date(age_years: float | None, flagged: bool) -> None:
    found = contradictions(birth_date=date(1950, 3, 1), image_acquired_at=AT, dicom_age_years=age_years)
    assert found == ("age_contradicts_image",) * flagged


@pytest.mark.parametrize(("age", "flagged"), [(0, True), (1, False), (6, False), (7, True)])
def test_the_ends_of_the_tolerance_are_within_it(age: int, flagged: bool) -> None:
    """Four years to the day: a full age may be two years under, and up to a year and two years over."""
    born = date(2016, 6, 1)
    expected = ("age_contradicts_image",) * flagged
    assert contradictions(birth_date=born, image_acquired_at=AT, note=f"A {age}-year-old patient.") == expected
    assert contradictions(birth_date=born, image_acquired_at=AT, dicom_age_years=age) == expected


@pytest.mark.parametrize(("age", "flagged"), [(120, True), (121, False), (700, False)])
def test_a_number_that_is_nobodys_age_is_none(age: int, flagged: bool) -> None:
    found = contradictions(birth_date=date(1950, 3, 1), image_acquired_at=AT, note=f"A {age}-year-old patient.")
    assert found == ("age_contradicts_image",) * flagged


@pytest.mark.parametrize(
    ("note", "flagged"),
    [
        ("A 70-year-old patient.", False),
        ("A 68-year-old patient.", False),
        ("A 54-year-old patient.", True),
        ("54 y/o with cough", True),
        ("54yo M", True),
        ("Diabetic since 20 years of age. A 70-year-old man.", False),
        ("At 20 years old he broke an arm. Now, 70 years old, cough.", False),
        ("Her 54-year-old brother is ill.", False),
        ("Lives with a 20-year-old son.", False),
        ("No age given.", False),
    ],
)
def test_an_age_in_the_note_is_held_against_the_birth_date(note: str, flagged: bool) -> None:
    expected = ("age_contradicts_image",) * flagged
    assert contradictions(birth_date=date(1950, 3, 1), image_acquired_at=AT, note=note) == expected
    assert contradictions(birth_date=date(1950, 3, 1), collected_at=[AT], note=note) == expected
    assert contradictions(birth_date=date(1950, 3, 1), note=note) == ()


def test_an_age_in_the_note_may_be_that_of_any_of_the_times() -> None:
    told = {"birth_date": date(1950, 3, 1), "note": "A 60-year-old man.", "image_acquired_at": AT}
    assert contradictions(**told, collected_at=[AT - timedelta(days=3653)]) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "note"),
    [
        ("KNEE", "Fell on the left knee."),
        ("KNEE", "Left-sided knee pain."),
        ("Knee", "Knee (left) swollen."),
        ("HAND", "Lt 5th finger crushed."),
        ("BREAST", "Lump in left upper outer breast."),
        ("FOOT", "L foot pain."),
        ("Upper Arm", "Left upper arm pain."),
        ("KNEE", "Pain in the left knee, cough, no fever."),
    ],
)
def test_the_other_side_alone_is_flagged(part: str, note: str) -> None:
    flags = {
        side: contradictions(note=note, dicom_body_part=part, image_laterality=side) for side in ("R", "L", "B", None)
    }
    assert flags == {"R": ("laterality_contradicts_image",), "L": (), "B": (), None: ()}


def test_either_side_of_note_and_image_can_be_the_other() -> None:
    told = {"note": "Fell on the right knee.", "dicom_body_part": "KNEE"}
    assert contradictions(**told, image_laterality=" l ") == ("laterality_contradicts_image",)
    assert contradictions(**told, image_laterality="R") == ()


@pytest.mark.parametrize(
    ("part", "note"),
    [
        ("CHEST", "Left knee pain; left lower lobe."),
        ("KNEE", "Left knee pain. Walks with a stick on the RIGHT."),
        ("KNEE", "Right knee pain. Leans on the LT side."),
        ("KNEE", "Lt lower lobe crackles. Knee pain."),
        ("KNEE", "Rt lower lobe crackles. Knee pain."),
        (None, "Left knee pain."),
        ("KNEE", "Left hip pain."),
        ("KNEE", "Knee pain."),
        ("KNEE", "Pain in both knees, left knee worse."),
        ("KNEE", "Left knee pain, right knee normal."),
        ("KNEE", "Left and right knee pain."),
        ("KNEE", "Left knee replacement in 2010. Now knee pain."),
        ("KNEE", "History of left knee surgery."),
        ("KNEE", "No pain in the left knee."),
        ("KNEE", "His brother has left knee pain."),
        ("KNEE", "Knee pain; the right one is swollen. Left knee for comparison."),
        ("HAND", "Left handed, hand pain."),
    ],
)
@pytest.mark.parametrize("side", ["L", "R"])
def test_no_side_or_another_part_is_not_flagged(part: str | None, note: str, side: str) -> None:
    assert contradictions(note=note, dicom_body_part=part, image_laterality=side) == ()


EAST = timezone(timedelta(hours=10))


@pytest.mark.parametrize(
    ("death_at", "collected_at", "flagged"),
    [
        (AT, AT + timedelta(hours=2), True),
        (AT, AT + timedelta(minutes=50), False),
        (AT, AT + timedelta(hours=1), False),
        (AT, AT - timedelta(days=3), False),
        (MIDNIGHT, AT, False),  # a day without a time
        (MIDNIGHT, MIDNIGHT + timedelta(hours=24, minutes=50), False),
        (MIDNIGHT, AT + timedelta(days=1), True),
        (AT.replace(tzinfo=UTC), AT.replace(tzinfo=EAST), False),
        (AT.replace(tzinfo=EAST), AT.replace(tzinfo=UTC), True),
        (AT.replace(tzinfo=UTC), AT + timedelta(hours=14), False),  # of an unknown zone
        (AT, AT.replace(tzinfo=UTC) + timedelta(hours=16), True),
    ],
)
def test_what_was_collected_after_death_is_flagged(death_at: datetime, collected_at: datetime, flagged: bool) -> None:
    expected = ("collected_after_death",) * flagged
    assert contradictions(death_at=death_at, collected_at=[collected_at]) == expected
    assert contradictions(death_at=death_at, image_acquired_at=collected_at) == expected


def test_all_contradictions_come_in_one_order() -> None:
    found = contradictions(
        sex="F",
        birth_date=date(1950, 3, 1),
        death_at=AT - timedelta(days=9),
        note="Prostate cancer. Left knee pain.",
        image_laterality="R",
        image_acquired_at=AT,
        dicom_age_years=5,
        dicom_body_part="KNEE",
    )
    parts = ("sex_contradicts_note", "age_contradicts_image", "laterality_contradicts_image", "collected_after_death")
    assert found == parts


def test_nothing_known_contradicts_nothing() -> None:
    assert contradictions() == ()

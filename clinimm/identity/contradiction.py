"""What else does not fit one patient: no ground to hold a case, but to say so beside the answer."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from clinimm.identity.note_says import ages, names_other_sex, one_sided
from clinimm.identity.person import Sex

_AGE_TOLERANCE_YEARS = 2.0
_CLOCK_TOLERANCE = timedelta(hours=1)
_ZONE_TOLERANCE = timedelta(hours=14)  # the furthest that a local time can lie from UTC
_DAYS_A_YEAR = 365.25


def contradictions(
    *,
    sex: Sex | None = None,
    birth_date: date | None = None,
    death_at: datetime | None = None,
    note: str | None = None,
    image_laterality: str | None = None,
    image_acquired_at: datetime | None = None,
    dicom_age_years: float | None = None,
    dicom_body_part: str | None = None,
    collected_at: Sequence[datetime] = (),
) -> tuple[str, ...]:
    """The codes of what contradicts itself, in this order; nothing is said where a fact is not given.

    `sex_contradicts_note`: the note tells of an organ or a state that the sex excludes, or calls the patient a man or
    a woman. `age_contradicts_image`: the image's age, or the note's at the time of image and samples, is over 2 years
    off the birth date. `laterality_contradicts_image`: a note on a paired body part names one side only, the image the
    other (`image_laterality` as DICOM has it: R or L; B and U contradict nothing). `collected_after_death`: an image or
    a sample is from more than an hour after the death; a death at midnight counts as a day without a time."""
    text = note or ""
    asked = (
        ("sex_contradicts_note", sex in ("M", "F") and names_other_sex(text, "M" if sex == "M" else "F")),
        (
            "age_contradicts_image",
            birth_date is not None
            and (
                _image_age_is_off(birth_date, image_acquired_at, dicom_age_years)
                or _note_age_is_off(birth_date, [*collected_at, *_given(image_acquired_at)], ages(text))
            ),
        ),
        ("laterality_contradicts_image", one_sided(text, dicom_body_part) == _other(image_laterality)),
        (
            "collected_after_death",
            death_at is not None and any(_after(at, death_at) for at in (*collected_at, *_given(image_acquired_at))),
        ),
    )
    return tuple(code for code, holds in asked if holds)


def _given(at: datetime | None) -> tuple[datetime, ...]:
    return () if at is None else (at,)


def _other(laterality: str | None) -> str:
    return {"L": "R", "R": "L"}.get((laterality or "").strip().upper(), "none")


def _years(birth_date: date, at: datetime) -> float:
    return (at.date() - birth_date).days / _DAYS_A_YEAR


def _image_age_is_off(birth_date: date, at: datetime | None, age_years: float | None) -> bool:
    if at is None or age_years is None:
        return False
    # A full age says that up to one more year has passed.
    return not -_AGE_TOLERANCE_YEARS <= _years(birth_date, at) - age_years <= _AGE_TOLERANCE_YEARS + 1


def _note_age_is_off(birth_date: date, moments: Sequence[datetime], told: Sequence[int]) -> bool:
    """Whether every age that the note gives is off at all these moments: a note may tell of earlier years, too."""
    if not moments or not told:
        return False
    actual = [_years(birth_date, at) for at in moments]
    low, high = min(actual) - _AGE_TOLERANCE_YEARS - 1, max(actual) + _AGE_TOLERANCE_YEARS
    return not any(low <= age <= high for age in told)


def _after(at: datetime, death_at: datetime) -> bool:
    tolerance = _CLOCK_TOLERANCE
    if death_at.time() == time():
        tolerance += timedelta(days=1)
    if (at.tzinfo is None) != (death_at.tzinfo is None):
        at, death_at, tolerance = at.replace(tzinfo=None), death_at.replace(tzinfo=None), tolerance + _ZONE_TOLERANCE
    return at - death_at > tolerance

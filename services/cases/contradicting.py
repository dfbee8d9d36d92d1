"""Soft contradictions between the inputs of a case (SAFE-05): words on its result, no reason to hold it."""

from collections.abc import Sequence
from datetime import date, datetime

from clinimm.identity import contradictions, read_sex
from services.cases.stored import StoredCase, StoredImage, StoredLab, StoredNote


def words(
    case: StoredCase, films: Sequence[StoredImage], note: StoredNote | None, labs: Sequence[StoredLab]
) -> tuple[str, ...]:
    """What does not fit one patient in what is used: `sex_contradicts_note`, `age_contradicts_image`,
    `laterality_contradicts_image`, `collected_after_death`."""
    told = [case.patient, *(film.instance.identity for film in films if film.instance is not None)]
    sex = next((read_sex(str(one["sex"])) for one in told if one.get("sex")), None)
    born = next((date.fromisoformat(str(one["birth_date"])) for one in told if one.get("birth_date")), None)
    died = case.patient.get("deceased_at")
    text = None if note is None else note.text
    collected = [lab.collected_at for lab in labs if lab.collected_at is not None]
    found: dict[str, None] = {}
    for facts in [film.instance.facts for film in films if film.instance is not None] or [{}]:
        taken = facts.get("acquired_at")
        found |= dict.fromkeys(
            contradictions(
                sex=sex,
                birth_date=born,
                death_at=None if died is None else datetime.fromisoformat(str(died)),
                note=text,
                image_laterality=facts.get("laterality"),
                image_acquired_at=None if taken is None else datetime.fromisoformat(taken),
                dicom_age_years=facts.get("age_years"),
                dicom_body_part=facts.get("body_part"),
                collected_at=collected,
            )
        )
    return tuple(found)

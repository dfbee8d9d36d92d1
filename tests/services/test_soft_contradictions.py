"""SAFE-05: what does not fit one patient, though nobody is held for it, is told of the parts that are used."""

from dataclasses import replace
from datetime import timedelta

import pytest
from small_cases import NOON, film, lab, note, person, stored

from services.cases.contradicting import words
from services.cases.stored import StoredImage

DIED = (NOON - timedelta(days=2)).isoformat()
MAN_OF_76 = {**person(sex="M"), "birth_date": "1950-03-01"}
KNEE = note("Fell on the left knee.")
TAKEN = {"acquired_at": NOON.isoformat()}


@pytest.mark.parametrize("where", ["request", "film"])
def test_a_note_of_the_other_sex_is_told(where: str) -> None:
    case = stored(patient=MAN_OF_76 if where == "request" else {})
    films = [film(instance=None), film(1, "b"), film(2, "c", who=MAN_OF_76 if where == "film" else None)]
    assert words(case, films, note("Currently pregnant."), []) == ("sex_contradicts_note",)
    assert words(case, films, note("Prostate cancer."), []) == ()
    assert words(case, films, None, []) == ()


def test_the_request_is_believed_before_a_film() -> None:
    """A film of another sex or day is a reason to hold the case, and told as such."""
    case = stored(patient=MAN_OF_76)
    other = film(who={**person(sex="F"), "birth_date": "1990-03-01"}, facts={**TAKEN, "age_years": 76})
    assert words(case, [other], note("Prostate cancer."), []) == ()


@pytest.mark.parametrize("where", ["request", "film"])
def test_an_age_that_is_not_the_patients_is_told(where: str) -> None:
    case = stored(patient=MAN_OF_76 if where == "request" else {})
    who = MAN_OF_76 if where == "film" else None
    for age, told in [(40, ("age_contradicts_image",)), (76, ()), (None, ())]:
        assert words(case, [film(who=who, facts={**TAKEN, "age_years": age})], None, []) == told
    assert words(case, [film(who=who, facts={"age_years": 40})], None, []) == ()  # taken who knows when
    at_forty = note("A 40-year-old man.")
    assert words(case, [film(who=who)], at_forty, [lab()]) == ("age_contradicts_image",)
    assert words(case, [film(who=who)], at_forty, [replace(lab(), collected_at=None)]) == ()


@pytest.mark.parametrize(("side", "told"), [("R", ("laterality_contradicts_image",)), ("L", ()), (None, ())])
def test_a_film_of_the_other_side_is_told(side: str | None, told: tuple[str, ...]) -> None:
    knee = film(facts={"laterality": side, "body_part": "KNEE"})
    assert words(stored(), [knee], KNEE, []) == told
    assert words(stored(), [film(1, "b", instance=None), film(2, "c"), knee], KNEE, []) == told
    assert words(stored(), [film(facts={"laterality": side, "body_part": "CHEST"})], KNEE, []) == ()


@pytest.mark.parametrize(
    "films", [[], [film(instance=None)], [film()]], ids=("no film", "an unread film", "a film without a time")
)
def test_what_was_collected_after_death_is_told_without_a_film_too(films: list[StoredImage]) -> None:
    dead, alive = stored(patient={"deceased_at": DIED}), stored(patient={"deceased_at": None})
    assert words(dead, films, None, [lab()]) == ("collected_after_death",)
    assert words(alive, films, None, [lab()]) == words(stored(), films, None, [lab()]) == ()
    assert words(dead, films, None, [replace(lab(), collected_at=None)]) == ()


def test_a_film_taken_after_death_is_told() -> None:
    assert words(stored(patient={"deceased_at": DIED}), [film(facts=TAKEN)], None, []) == ("collected_after_death",)


def test_each_word_is_told_once_whichever_film_says_it() -> None:
    case = stored(patient={**MAN_OF_76, "deceased_at": DIED})
    films = [
        film(0, "a", facts={"laterality": "R", "body_part": "KNEE"}),
        film(1, "b", facts=TAKEN | {"age_years": 40}),
        film(2, "c", facts=TAKEN),
    ]
    assert words(case, films, KNEE, []) == (
        "laterality_contradicts_image",
        "age_contradicts_image",
        "collected_after_death",
    )

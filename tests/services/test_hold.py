"""A case whose parts name two patients is held until a person has decided, and what the decision is remembered by."""

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from small_cases import NOON, SECRET, act, film, lab, note, person, stored

from services.cases import hold
from services.cases.stored import StoredCase

ASKED = person("p-1", birth_date=date(1950, 3, 1), sex="F", name="Smith^Anna")
OTHER = person("p-2")


def two(**parts: Any) -> StoredCase:
    """A case of p-1 with parts of someone else."""
    return stored(patient=ASKED, **parts)


def fields(case: StoredCase) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.field, one.sources) for one in hold.contradictions(case, SECRET)]


@pytest.mark.parametrize(
    ("parts", "source"),
    [
        ({"images": (film(3, who=OTHER),)}, "images/3"),
        ({"notes": (note(position=4, identity=OTHER),)}, "notes/4"),
        ({"notes": (note("MRN: 77123\n\nFever.", 5),)}, "notes/5"),
        ({"labs": (lab(position=6, patient={"id": "p-2"}),)}, "labs/6"),
    ],
)
def test_a_part_of_someone_else_holds_the_case(parts: dict[str, Any], source: str) -> None:
    assert fields(two(**parts)) == [("patient_id", (source, "request"))]
    assert hold.reason(two(**parts), SECRET) == "identity_conflict"


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"id": "p-2"}, "patient_id"),
        ({"birth_date": "1950-01-03"}, "birth_date"),
        ({"sex": "M"}, "sex"),
        ({"name": "Jones^Mary"}, "name"),
    ],
)
def test_every_field_of_a_value_is_compared(sent: dict[str, str], field: str) -> None:
    assert fields(two(labs=(lab(patient=sent),))) == [(field, ("labs/0", "request"))]


def test_the_issuer_of_a_values_id_counts() -> None:
    asked = stored(patient=person("p-1", issuer="A"))
    assert fields(replace(asked, labs=(lab(patient={"id": "p-2", "issuer": "A"}),))) != []
    assert fields(replace(asked, labs=(lab(patient={"id": "p-2", "issuer": "B"}),))) == []


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"images": (film(who=person("p-1")), film(1, "b", instance=None))},
        {"notes": (note(identity=person("p-1")), note("MRN: p-1\n\nFever.", 1))},
        {"labs": (lab(patient={"id": "p-1"}), lab(position=1), lab(position=2, patient="p-2"))},
    ],
)
def test_parts_of_one_patient_hold_nothing(parts: dict[str, Any]) -> None:
    case = stored(patient={**ASKED, "deceased_at": NOON.isoformat()}, **parts)
    assert (hold.contradictions(case, SECRET), hold.reason(case, SECRET)) == ([], "")


def test_films_that_say_the_same_contradict_together() -> None:
    films = (film(0, "a", who=OTHER), film(1, "b", who=OTHER), film(2, "c", who=person("p-1")))
    (found,) = hold.contradictions(stored(images=films), SECRET)
    assert (found.field, found.sources) == ("patient_id", ("images/0", "images/1", "images/2"))
    third = (*films, film(3, "d", who=person("p-3")))
    assert fields(stored(images=third)) == [
        ("patient_id", ("images/0", "images/1", "images/2")),
        ("patient_id", ("images/0", "images/1", "images/3")),
        ("patient_id", ("images/2", "images/3")),
    ]


def test_a_note_that_contradicts_its_own_header_names_itself_once() -> None:
    assert fields(stored(notes=(note("MRN: 77123\n\nFever.", identity=OTHER),))) == [("patient_id", ("notes/0",))]


def test_what_a_person_settled_is_told_and_holds_no_longer() -> None:
    held = two(images=(film(who=OTHER),), labs=(lab(patient={"sex": "M"}),))
    first, second = hold.contradictions(held, SECRET)
    half = replace(held, acts=(act(settled=(first.key,)),))
    assert [one.settled for one in hold.contradictions(half, SECRET)] == [True, False]
    assert hold.reason(half, SECRET) == "identity_conflict"
    whole = replace(held, acts=(act(settled=(first.key,)), act(settled=(second.key,))))
    assert [one.settled for one in hold.contradictions(whole, SECRET)] == [True, True]
    assert hold.reason(whole, SECRET) == ""
    assert hold.reason(whole, b"the secret of another service") == "identity_conflict"


def test_what_was_settled_holds_for_a_later_film_that_says_the_same_and_no_other() -> None:
    held = two(images=(film(who=OTHER),))
    (one,) = hold.contradictions(held, SECRET)
    released = replace(held, acts=(act(settled=(one.key,)),))
    assert hold.reason(replace(released, images=(*held.images, film(1, "b", who=OTHER))), SECRET) == ""
    assert hold.reason(replace(released, images=(*held.images, film(1, "b", who=person("p-3")))), SECRET) != ""


def test_what_was_excluded_is_not_compared() -> None:
    held = two(images=(film(who=OTHER),), labs=(lab(patient={"id": "p-2"}),))
    assert fields(replace(held, acts=(act(excluded=("images/0",)),))) == [("patient_id", ("labs/0", "request"))]
    assert hold.reason(replace(held, acts=(act(excluded=("images/0", "labs/0")),)), SECRET) == ""


def test_both_values_are_shown_to_who_may_see_them() -> None:
    ours, theirs = person("7", issuer="A"), person("8", issuer="A", birth_date=date(1950, 1, 3))
    case = stored(
        patient={**ours, "birth_date": "1950-03-01"},
        images=(film(who=theirs), film(1, "b", who=person(sex="F"))),
    )
    by_id, by_day = hold.contradictions(case, SECRET)
    assert hold.values(case, by_id) == {"request": "7 (A)", "images/0": "8 (A)"}
    assert hold.values(case, by_day) == {"request": "1950-03-01", "images/0": "1950-01-03"}
    plain = stored(patient=person("7"), images=(film(who=person("8")), film(1, "b", who=person("7"))))
    (found,) = hold.contradictions(plain, SECRET)
    assert hold.values(plain, found) == {"request": "7", "images/0": "8", "images/1": "7"}


def test_only_the_sources_of_a_contradiction_are_shown() -> None:
    case = two(images=(film(who=OTHER),), labs=(lab(patient={"id": "p-3"}),))
    shown = [hold.values(case, one) for one in hold.contradictions(case, SECRET)]
    assert {"images/0": "p-2", "request": "p-1"} in shown
    assert all(len(one) == 2 for one in shown)


def test_a_note_with_nothing_of_the_field_shows_its_header() -> None:
    """A note can be told of twice, by its sender and in its header; what is not given hides nothing."""
    case = two(notes=(note("MRN: 77123\n\nFever.", identity=person(sex="F")),))
    (found,) = hold.contradictions(case, SECRET)
    assert hold.values(case, found) == {"request": "p-1", "notes/0": "77123"}


def test_a_note_that_contradicts_its_own_header_shows_both() -> None:
    case = stored(notes=(note("MRN: 77123\n\nFever.", identity=person("8", issuer="A")),))
    (found,) = hold.contradictions(case, SECRET)
    assert hold.values(case, found) == {"notes/0": "8 (A) and 77123"}
    alike = two(notes=(note("MRN: p-2\n\nFever.", identity=OTHER),))
    (found,) = hold.contradictions(alike, SECRET)
    assert hold.values(alike, found) == {"request": "p-1", "notes/0": "p-2"}


def test_the_secret_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    secret = hold.read_secret(tmp_path)
    assert len(secret) == 32
    assert hold.read_secret(tmp_path) == secret
    (kept,) = tmp_path.iterdir()
    assert kept.name == "identity.key"
    assert kept.read_bytes() == secret
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert hold.read_secret(tmp_path / "other") != secret


def test_processes_that_start_at_once_have_one_secret(tmp_path: Path) -> None:
    many = 8
    start = threading.Barrier(many)

    def read(_: int) -> bytes:
        start.wait()
        return hold.read_secret(tmp_path)

    with ThreadPoolExecutor(many) as pool:
        assert len(set(pool.map(read, range(many)))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["identity.key"]

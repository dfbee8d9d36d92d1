"""What a held case asks a person: every value with who says it, and the parts in few choices."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from small_cases import NOON, SECRET, act, film, lab, note, person, stored

from services.cases import hold, question
from services.cases.question import Question, Side
from services.cases.stored import StoredCase

ASKED = person("p-1", name="Smith^Anna")
OTHER = person("p-2", name="Jones^Mary")


def asked(case: StoredCase) -> Question:
    held = replace(case, held=hold.reason(case, SECRET))
    return question.of(held, hold.contradictions(held, SECRET))


def of(**parts: Any) -> Question:
    return asked(stored(patient=ASKED, **parts))


def test_every_value_stands_beside_the_others_with_all_that_say_it() -> None:
    found = of(images=(film(0, "a", who=OTHER), film(1, "b", who=OTHER)), notes=(note("MRN: p-1\n\nFever."),))
    assert [(one.field, one.sides) for one in found.disputes] == [
        ("patient_id", (Side("p-1", ("request", "notes/0")), Side("p-2", ("images/0", "images/1")))),
        ("name", (Side("Smith^Anna", ("request",)), Side("Jones^Mary", ("images/0", "images/1")))),
    ]


def test_note_and_its_own_header_are_both_told() -> None:
    [dispute] = asked(stored(notes=(note("MRN: 77123\n\nFever.", identity=person("p-2")),))).disputes
    assert dispute.sides == (Side("p-2 and 77123", ("notes/0",)),)


def test_images_of_a_study_that_say_the_same_are_one_choice() -> None:
    ours = [film(n, "a", who=person("p-1")) for n in range(3)]
    theirs = [film(n, "b", who=OTHER) for n in range(3, 6)]
    found = of(images=(*ours, *theirs, film(6, instance=None)))
    assert [list(one.parts) for one in found.choices] == [
        ["images/0", "images/1", "images/2"],
        ["images/3", "images/4", "images/5"],
        ["images/6"],
    ]
    assert [dict(one.says).get("patient_id") for one in found.choices] == ["p-1", "p-2", None]


def test_values_that_say_nothing_are_chosen_by_when_they_were_collected() -> None:
    late = replace(lab("wbc", position=1), collected_at=NOON)
    theirs = [
        lab(position=2, patient={"id": "p-2"}),
        replace(lab(position=3, patient={"id": "p-2"}), collected_at=NOON),
    ]
    found = of(labs=(lab(), late, *theirs))
    assert [(dict(one.parts), one.at) for one in found.choices] == [
        ({"labs/0": "crp"}, NOON - timedelta(hours=2)),
        ({"labs/1": "wbc"}, NOON),
        ({"labs/2": "crp", "labs/3": "crp"}, None),
    ]


def test_what_was_left_out_is_not_offered_again_and_what_was_settled_stands_apart() -> None:
    held = stored(patient=ASKED, images=(film(0, "a", who=person("p-2")),), labs=(lab(patient={"sex": "M"}),))
    [by_id] = hold.contradictions(held, SECRET)
    decided = replace(held, acts=(act(settled=(by_id.key,)), act(excluded=("labs/0",))))
    found = asked(replace(decided, images=(*held.images, film(1, "b", who=person("p-3")))))
    assert [one.settled for one in found.disputes] == [False, True]
    assert [list(one.parts) for one in found.choices] == [["images/0"], ["images/1"]]


def test_case_that_is_not_held_asks_nothing() -> None:
    found = of(images=(film(who=person("p-1")),))
    assert (found.held, found.disputes, found.choices) == (False, (), ())


def test_no_value_is_in_what_a_log_would_show() -> None:
    found = of(images=(film(who=OTHER),))
    assert found.held
    assert not [value for value in ("Smith", "Jones", "p-2") if value in repr(found)]

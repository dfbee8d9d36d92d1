"""What a case comes to: each part has its verdict, only what is meant is used, and the hash is of the content."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cases import MODALITIES, NOON, act, film, lab, note, stored

from clinimm.io.lab_judgement import LabItem
from services.cases.content import (
    FILE_MISSING,
    Content,
    UsedLab,
    Verdict,
    image_key,
    inputs_hash,
    lab_item,
    settled,
)
from services.cases.stored import StoredCase, StoredImage, StoredLab

WHOLE = stored(
    images=(film(0, "b"), film(1, "a")),
    notes=(note(),),
    labs=(lab("wbc", "14.25", "10*9/L", 0), lab("crp", "1.25", "mg/dL", 1)),
)


def content(**parts: Any) -> Content:
    return settled(stored(**parts), MODALITIES)


def test_all_parts_of_a_sound_case_are_used() -> None:
    found = settled(WHOLE, MODALITIES)
    assert found.verdicts == {
        "notes/0": Verdict("accepted"),
        "labs/0": Verdict("accepted", "", (), "wbc"),
        "labs/1": Verdict("accepted", "", (), "crp"),
        "images/0": Verdict("accepted"),
        "images/1": Verdict("accepted"),
    }
    assert found.films == (WHOLE.images[1], WHOLE.images[0])  # by what they are, not by when they came
    assert found.note == WHOLE.notes[0]
    at = NOON - timedelta(hours=2)
    assert found.labs == (UsedLab("crp", 12.5, "mg/L", at), UsedLab("wbc", 14.25, "10*9/L", at))
    assert (found.flags, found.unused) == ((), [])


def test_a_case_of_nothing_comes_to_nothing() -> None:
    assert content() == Content()


@pytest.mark.parametrize(
    ("image", "used", "word"),
    [
        (film(outcome="already_stored"), True, ()),
        (film(outcome="quarantined", code="pixels_truncated"), False, ("quarantined:cxr",)),
        (film(outcome="rejected", code="not_dicom", sha256=None, instance=None), False, ("rejected:cxr",)),
        (film(outcome="rejected", code="not_dicom", sha256=None, modality=None), False, ("rejected:image",)),
        (film(sha256=None), False, ()),
    ],
)
def test_only_an_image_that_is_kept_is_used(image: StoredImage, used: bool, word: tuple[str, ...]) -> None:
    found = content(images=(image,))
    assert found.films == ((image,) if used else ())
    assert found.verdicts["images/0"] == Verdict(image.outcome, image.code)
    assert found.flags == word


def test_what_a_header_lets_suspect_is_told_of_its_image() -> None:
    found = content(images=(film(facts={"flags": ["burned_in_annotation"]}),))
    assert found.verdicts["images/0"].flags == ("burned_in_annotation",)


def test_what_is_another_patients_is_kept_and_counts_for_nothing() -> None:
    """Excluded parts are told as withdrawn; they neither are used nor make anything else unused."""
    apart = stored(
        images=(film(0, "a", outcome="quarantined"), film(1, "b")),
        notes=(note("Not his.", 0, acquired_at=NOON), note(position=1)),
        labs=(lab(position=0, value="90"), lab(position=1)),
        acts=(act(settled=("k",)), act(excluded=("images/0", "notes/0", "labs/0"))),
    )
    found = settled(apart, MODALITIES)
    theirs = Verdict("withdrawn", "other_patient")
    assert [found.verdicts[part] for part in ("images/0", "notes/0", "labs/0")] == [theirs] * 3
    assert (found.films, found.note, found.flags) == ((apart.images[1],), apart.notes[1], ())
    assert [one.value for one in found.labs] == [12.5]
    assert [one["part"] for one in found.unused] == ["images/0", "labs/0", "notes/0"]
    ours = replace(apart, images=apart.images[1:], notes=apart.notes[1:], labs=apart.labs[1:], acts=())
    assert inputs_hash(apart) == inputs_hash(ours)


def test_what_is_kept_and_not_used_is_listed_with_why() -> None:
    found = content(
        images=(film(outcome="rejected", code="not_dicom", sha256=None),),
        labs=(lab("feeling", "7", "1"), lab("wbc", "14", "", 1), lab("crp", "5", position=2)),
    )
    assert found.unused == [
        {"part": "labs/0", "outcome": "accepted", "code": "unused_input"},
        {"part": "labs/1", "outcome": "quarantined", "code": "unit_missing"},
        {"part": "images/0", "outcome": "rejected", "code": "not_dicom"},
    ]


def test_a_value_is_flagged_by_its_analyte_and_never_by_what_its_sender_calls_it() -> None:
    labs = (
        lab("C-Reactive Protein", "900", "mg/L", 0),
        lab("Jane Smith's value", "1", "", 1),
        lab("wbc", "14", "K/uL", 2),
        lab("wbc", "14", "10*9/L", 3),  # the same once more: nothing to tell
    )
    assert content(labs=labs).flags == ("critical_lab:crp", "unit_alias:wbc")
    unknown = lab(specimen="moon dust", position=7)
    assert content(labs=(unknown,)).flags == ("specimen_unknown:labs/7",)


def test_what_contradicts_the_patient_is_flagged_of_used_parts_alone() -> None:
    late = NOON - timedelta(days=1)
    case = stored(patient={"deceased_at": late.isoformat()}, labs=(lab(),))
    assert settled(case, MODALITIES).flags == ("collected_after_death",)
    unread = replace(case, labs=(lab(unit=""),))
    assert settled(unread, MODALITIES).flags == ("unit_missing:crp",)


def test_the_flags_of_all_kinds_come_in_one_order() -> None:
    found = content(
        patient={"sex": "M"},
        images=(film(outcome="quarantined"),),
        notes=(note("Currently pregnant, 24 weeks."), note("Later.", 1, acquired_at=NOON + timedelta(hours=1))),
        labs=(lab(unit=""),),
    )
    expected = ("after_index_time:note", "quarantined:cxr", "sex_contradicts_note", "unit_missing:crp")
    assert found.flags == expected


@pytest.mark.parametrize(
    ("times", "stale"),
    [
        ((NOON,), False),
        ((NOON + timedelta(days=30),), True),
        ((NOON + timedelta(days=30), NOON), True),  # the last one counts
        ((None, NOON + timedelta(days=30)), True),
        ((NOON.replace(tzinfo=None) + timedelta(days=30),), False),  # of an unknown zone: not comparable
        ((), False),
    ],
)
def test_values_grow_old_beside_the_last_film(times: tuple[datetime | None, ...], stale: bool) -> None:
    films = [
        film(at, letter, facts={"acquired_at": None if time is None else time.isoformat()})
        for at, (time, letter) in enumerate(zip(times, "abc", strict=False))
    ]
    unread = film(9, "z", instance=None, outcome="rejected", sha256=None)
    found = content(images=(unread, *films), labs=(lab(),))
    assert found.verdicts["labs/0"].code == ("stale" if stale else "")
    assert bool(found.labs) is not stale


def test_a_value_of_after_the_question_is_not_used() -> None:
    later = replace(lab(), collected_at=NOON + timedelta(minutes=1), received_at=NOON + timedelta(hours=1))
    assert content(labs=(later,)).verdicts["labs/0"] == Verdict("quarantined", "after_index_time", (), "crp")
    assert content(labs=(later,), index_time=None).labs != ()


def test_a_value_is_judged_by_when_it_came_in() -> None:
    """So a case says the same of it for ever."""
    early = replace(lab(), collected_at=NOON, received_at=NOON - timedelta(hours=1))
    assert content(labs=(early,), index_time=None).verdicts["labs/0"].code == "clock_skew"


def test_the_judge_is_given_all_that_was_sent() -> None:
    sent = {
        "id": "lab-7",
        "code": {"system": "http://loinc.org", "code": "1988-5"},
        "comparator": "<",
        "coded": "trace",
        "reference_range": {"low": "0", "high": "5.0"},
        "specimen": "serum",
        "issued_at": "2026-01-17T11:00:00+00:00",
        "status": "corrected",
        "comments": ["hemolyzed"],
    }
    assert lab_item(lab("CRP", "1.10", "mg/L", **sent)) == LabItem(
        name="CRP",
        source_id="lab-7",
        code="1988-5",
        system="http://loinc.org",
        value=Decimal("1.10"),
        comparator="<",
        coded="trace",
        unit="mg/L",
        limits=(Decimal("0"), Decimal("5.0")),
        specimen="serum",
        collected_at=NOON - timedelta(hours=2),
        issued_at=NOON - timedelta(hours=1),
        received_at=NOON,
        status="corrected",
        comment_codes=("hemolyzed",),
    )


def test_what_was_not_sent_is_not_made_up() -> None:
    bare = LabItem(name="CRP", unit="mg/L", collected_at=NOON - timedelta(hours=2), received_at=NOON)
    assert lab_item(lab("CRP", None)) == bare
    assert repr(lab_item(lab("CRP", None))) == repr(bare)
    upper = lab_item(lab("CRP", None, reference_range={"high": "5"}))
    assert upper.limits == (None, Decimal(5))


def changed(case: StoredCase) -> dict[str, StoredCase]:
    """The case with another content, by what is other."""
    lost = replace(case.images[0], outcome="quarantined", code=FILE_MISSING)
    said = case.notes[0]
    notes = {
        "text": replace(said, text="Fever."),
        "source": replace(said, source_id="n-1"),
        "status": replace(said, status="preliminary"),
        "acquired": replace(said, acquired_at=NOON),
        "issued": replace(said, issued_at=NOON),
        "whose": replace(said, identity={"patient_id": "p-1"}),
    }
    return {
        "patient": replace(case, patient={"patient_id": "p-1"}),
        "index time": replace(case, index_time=None),
        "later": replace(case, index_time=NOON + timedelta(hours=1)),
        "complete": replace(case, complete={"labs": ""}),
        "fewer films": replace(case, images=case.images[:1]),
        "a film's modality": replace(case, images=(replace(case.images[0], modality="ct"), case.images[1])),
        "a film's bytes": replace(case, images=(replace(case.images[0], original_sha256="f" * 64), case.images[1])),
        "a film's file": replace(case, images=(lost, case.images[1])),
        "a value": replace(case, labs=(lab(comments=["hemolyzed"]), case.labs[1])),
        **{f"a note's {name}": replace(case, notes=(other,)) for name, other in notes.items()},
    }


def test_any_other_content_has_another_hash() -> None:
    hashes = {name: inputs_hash(case) for name, case in changed(WHOLE).items()}
    hashes["as it was"] = inputs_hash(WHOLE)
    assert len(set(hashes.values())) == len(hashes)
    assert all(len(one) == 64 for one in hashes.values())


def test_the_hash_of_a_stored_case_is_that_of_every_version_of_the_code() -> None:
    """It is stored with each case and result: computed in another way, nothing that is stored could be replayed."""
    told = {"patient_id": "p-1"}
    case = stored(
        patient=told,
        complete={"labs": ""},
        images=(film(), film(1, "b", outcome="quarantined", code=FILE_MISSING)),
        notes=(note(source_id="n-1", issued_at=NOON, identity=told),),
        labs=(lab(id="a"),),
    )
    assert inputs_hash(case) == "f86ad30980a98e208dfc66199c060b5de3469e90c763c0914234e7c41c6384e8"


@given(st.permutations(["patient_id", "sex", "name"]), st.permutations(range(2)), st.permutations(range(2)))
def test_the_same_content_has_the_same_hash(names: list[str], films: list[int], labs: list[int]) -> None:
    """Whatever its parts came in, were numbered by, or had their fields named in."""
    told = {name: name for name in names}
    other = replace(
        WHOLE,
        id="case-2",
        version=9,
        created_at=NOON + timedelta(days=1),
        patient=told,
        complete=dict.fromkeys(names, ""),
        images=tuple(replace(WHOLE.images[at], position=5 - at, version=3) for at in films),
        notes=(replace(WHOLE.notes[0], identity=told),),
        labs=tuple(
            replace(WHOLE.labs[at], position=5 - at, original=dict(reversed(WHOLE.labs[at].original.items())) | told)
            for at in labs
        ),
    )
    straight = {name: name for name in sorted(names)}
    same = replace(
        WHOLE,
        patient=straight,
        complete=dict.fromkeys(sorted(names), ""),
        notes=(replace(WHOLE.notes[0], identity=straight),),
        labs=tuple(replace(one, original={**one.original, **straight}) for one in WHOLE.labs),
    )
    assert inputs_hash(other) == inputs_hash(same)


def test_the_same_bytes_of_two_modalities_are_two_images() -> None:
    assert len({image_key(film(modality=name)) for name in ("cxr", "ct", None)}) == 3
    assert image_key(film(modality=None)) == " " + "a" * 64


def test_a_value_that_is_not_used_reaches_no_model() -> None:
    labs: tuple[StoredLab, ...] = (lab("feeling", "7", "1"), lab(unit="", position=1), lab("wbc", None, position=2))
    assert content(labs=labs).labs == ()

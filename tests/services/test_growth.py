"""What a case becomes by what arrives: the same parts are no new version, and a new version says what made it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from small_cases import MODALITIES, SECRET, film, lab, note, person, stored

from clinimm.types import Kind, Modality
from services.cases.arrivals import Arrivals, Arrived
from services.cases.content import inputs_hash
from services.cases.growth import Growth, check_conflicts, grown, hashed
from services.cases.schemas import ImageRef
from services.cases.stored import Instance, StoredCase, StoredImage, StoredLab, StoredNote
from services.errors import Conflict, Issue, Refused

BLANK = stored(version=0)


def sent(part: Any) -> Any:
    """A part as it arrives: of no place and no version yet."""
    return replace(part, position=-1, version=0)


def arriving(*parts: StoredImage | StoredNote | StoredLab | ImageRef) -> Arrivals:
    def of(kind: type) -> tuple[Any, ...]:
        return tuple(part if kind is ImageRef else sent(part) for part in parts if isinstance(part, kind))

    # What an image's file is plays no part here.
    films = tuple(Arrived(image, None) for image in of(StoredImage))  # type: ignore[arg-type]
    return Arrivals(films, of(ImageRef), of(StoredNote), of(StoredLab))


def grow(case: StoredCase, *parts: Any, known: dict[str, Instance] | None = None) -> Growth:
    return grown(case, arriving(*parts), known or {}, MODALITIES, SECRET)


def instance_of(image: StoredImage) -> Instance:
    assert image.instance is not None
    return image.instance


FILM, VALUE, NOTE = film(letter="a"), lab(), note()
KEPT = instance_of(FILM)
FIRST = grow(BLANK, FILM, NOTE, VALUE).case


def test_the_first_version_is_created_even_of_nothing() -> None:
    empty = grow(BLANK)
    assert (empty.case.version, empty.parts, empty.cause) == (1, (), "created")
    assert empty.case.inputs_hash == inputs_hash(BLANK)
    made = grow(BLANK, FILM, NOTE, VALUE)
    assert (made.case.version, made.cause) == (1, "created")
    assert made.parts == (("notes/0", False), ("labs/0", False), ("images/0", False))
    assert (made.case.images, made.case.notes, made.case.labs) == ((FILM,), (NOTE,), (VALUE,))


def test_what_is_there_already_makes_no_version() -> None:
    again = grow(FIRST, FILM, NOTE, VALUE)
    assert again == Growth(FIRST, (("notes/0", True), ("labs/0", True), ("images/0", True)), "", ())
    assert grow(FIRST) == Growth(FIRST, (), "", ())


def test_what_is_new_takes_the_next_place_and_the_new_version() -> None:
    other, older = lab("wbc", "14", "10*9/L"), lab(value="9", id="a")
    made = grow(FIRST, VALUE, other, other, older)
    assert made.parts == (("labs/0", True), ("labs/1", False), ("labs/1", True), ("labs/2", False))
    assert [(one.position, one.version) for one in made.case.labs] == [(0, 1), (1, 2), (2, 2)]
    assert made.case.labs[1:] == (replace(other, position=1, version=2), replace(older, position=2, version=2))
    assert made.case.version == 2
    assert made.case.inputs_hash == inputs_hash(made.case) != FIRST.inputs_hash
    assert (made.case.images, made.case.notes) == (FIRST.images, FIRST.notes)


def test_a_part_that_came_twice_is_the_first_of_them() -> None:
    twice = replace(FIRST, labs=(VALUE, replace(VALUE, position=1)))
    assert grow(twice, VALUE).parts == (("labs/0", True),)


@pytest.mark.parametrize(
    ("before", "parts", "cause"),
    [
        (FIRST, (film(letter="b"),), "images_added:cxr"),
        (FIRST, (film(letter="b", modality="ct"),), "modality_added:ct"),
        (FIRST, (film(letter="b", modality=None),), "modality_added:image"),
        (grow(FIRST, film(letter="c", modality=None)).case, (film(letter="b", modality=None),), "images_added:image"),
        (FIRST, (note("No cough."),), "notes_added"),
        (FIRST, (lab(value="13"),), "labs_added"),
        (grow(BLANK, FILM).case, (NOTE, VALUE), "modality_added:notes,modality_added:labs"),
        (FIRST, (lab(value="13", id="a", status="corrected"),), "labs_corrected"),
        (FIRST, (lab(value="13", id="a", status="cancelled"),), "labs_cancelled"),
        (FIRST, (lab(value="13", id="a", status="entered-in-error"),), "labs_entered_in_error"),
        (FIRST, (lab(value="13", id="a", status="preliminary"),), "labs_added"),
        (FIRST, (note("No cough.", source_id="n", status="corrected"),), "notes_corrected"),
        (FIRST, (note("No cough.", source_id="n", status="cancelled"),), "notes_cancelled"),
        (FIRST, (film(letter="b"), lab(value="13"), lab(value="14"), NOTE), "labs_added,images_added:cxr"),
    ],
)  # fmt: skip
def test_a_version_says_what_made_it(before: StoredCase, parts: tuple[Any, ...], cause: str) -> None:
    assert grow(before, *parts).cause == cause


def test_a_cause_fits_its_column() -> None:
    films = [film(letter=letter, modality=letter * 64) for letter in "bcdef"]
    assert len(grow(FIRST, *films).cause) == 200


def test_a_part_of_another_patient_holds_the_new_version() -> None:
    asked = replace(FIRST, patient=person("p-1"))
    assert grow(asked, film(letter="b", who=person("p-1"))).case.held == ""
    assert grow(asked, film(letter="b", who=person("p-2"))).case.held == "identity_conflict"
    assert hashed(replace(asked, held="identity_conflict"), SECRET).held == ""


def test_an_instance_of_another_case_is_kept_once_and_says_so() -> None:
    made = grow(FIRST, film(letter="b"), film(letter="c"), known={"1.2.98": instance_of(film(letter="b"))}).case
    assert [image.outcome for image in made.images] == ["accepted", "already_stored", "accepted"]
    # What the case had before stays what it was told to be.
    later = grow(FIRST, note("No."), known={KEPT.sop_uid: KEPT}).case
    assert later.images == FIRST.images
    unread = film(letter="d", instance=None, outcome="rejected")
    assert grow(FIRST, unread, known={KEPT.sop_uid: KEPT}).case.images[1].outcome == "rejected"


@pytest.mark.parametrize("known", [{}, {KEPT.sop_uid: KEPT}], ids=("both in one request", "one kept before"))
def test_one_instance_with_two_contents_is_refused(known: dict[str, Instance]) -> None:
    other = replace(FILM, instance=replace(KEPT, original_sha256="f" * 64))
    unread, sound = film(letter="d", instance=None), film(letter="e")
    with pytest.raises(Conflict) as refused:
        grow(BLANK, unread, FILM, sound, other, known=known)
    issue = Issue("/images/3", "instance_conflict", f"SOP Instance UID {KEPT.sop_uid}")
    assert (refused.value.code, refused.value.issues) == ("instance_conflict", (issue,))
    assert "the first is kept" in str(refused.value)
    check_conflicts(arriving(unread, FILM, sound, FILM).images, known)  # the same once more is none


def test_an_image_that_is_kept_can_be_referred_to() -> None:
    kept = replace(KEPT, bytes=77, preamble_nulled=True, original_sha256="e" * 64, facts={"rows": 5})
    made = grow(BLANK, ImageRef(sop_instance_uid=kept.sop_uid), known={kept.sop_uid: kept})
    assert made.parts == (("images/0", False),)
    (image,) = made.case.images
    assert image == StoredImage(
        position=0, version=1, modality="cxr", outcome="already_stored", code="", bytes=77,
        original_sha256="e" * 64, sha256=kept.sha256, preamble_nulled=True, instance=kept,
    )  # fmt: skip


def test_every_reference_to_what_is_not_there_is_named() -> None:
    lost = replace(KEPT, sop_uid="1.9", facts={"lost": True})
    references = [
        ImageRef(sop_instance_uid="1.1"),
        ImageRef(sop_instance_uid=KEPT.sop_uid),
        ImageRef(sop_instance_uid="1.9", modality="cxr"),
        ImageRef(sop_instance_uid=KEPT.sop_uid, modality="mri"),
    ]
    with pytest.raises(Refused) as refused:
        grow(BLANK, *references, known={KEPT.sop_uid: KEPT, "1.9": lost})
    named = [(issue.pointer, issue.code) for issue in refused.value.issues]
    unknown = "unknown_reference"
    assert named == [("/images/0", unknown), ("/images/2", unknown), ("/images/3", "unknown_modality")]
    assert refused.value.code == unknown
    assert "not stored" in str(refused.value)


def test_a_reference_needs_its_modality_where_there_are_several() -> None:
    several = (*MODALITIES, Modality("ct", Kind.IMAGE, (1, 32, 32, 32)))
    with pytest.raises(Refused) as refused:
        grown(BLANK, arriving(ImageRef(sop_instance_uid=KEPT.sop_uid)), {KEPT.sop_uid: KEPT}, several, SECRET)
    assert refused.value.issues == (Issue("/images/0", "modality_needed"),)


def test_a_value_that_came_again_later_is_the_same_value() -> None:
    later = replace(VALUE, received_at=datetime(2026, 2, 1, tzinfo=UTC))
    assert grow(FIRST, later).cause == ""

"""Notes are UTF-8, bounded and clean, or refused by name; what was mended is flagged."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.errors import InputError
from clinimm.io.text import MAX_CHARACTERS, clean_note, read_note
from clinimm.types import Note


def made(call, *arguments) -> Note | str:
    """The note, or the code of its refusal."""
    try:
        return call(*arguments)
    except InputError as error:
        return error.code


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(max_size=80))
def test_cleaning_a_clean_note_changes_nothing(text):
    once = made(clean_note, text)
    if isinstance(once, str):
        assert once in {"note_empty", "note_not_utf8"}
        return
    assert clean_note(once.text).text == once.text == unicodedata.normalize("NFC", once.text)
    assert not any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in once.text)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=80))
def test_a_file_and_its_text_make_one_note(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("note") / "note.txt"
    path.write_text(text, encoding="utf-8")
    assert made(read_note, path) == made(clean_note, text)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_note_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("note") / "note.txt"
    path.write_bytes(raw)
    found = made(read_note, path)
    assert isinstance(found, Note) or found in {"note_empty", "note_not_utf8"}


def test_letters_are_composed_and_lines_end_alike():
    assert clean_note("a\u0308rger\r\nzwei\x0cdrei\rvier").text == "\u00e4rger\nzwei\ndrei\nvier"
    assert clean_note("a\r\nb").flags == ()


def test_unseen_characters_go_and_are_flagged():
    found = clean_note("no \x00ede\u202ema")
    assert (found.text, found.flags) == ("no edema", ("note_characters_removed",))


def test_letters_lost_on_the_way_are_flagged():
    assert clean_note("38\ufffdC").flags == ("note_characters_lost",)


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "note.txt"
    path.write_bytes(b"\xef\xbb\xbfcough")
    assert read_note(path).text == "cough"


@pytest.mark.parametrize("raw", ["r\u00e4uspern".encode("latin-1"), "cough".encode("utf-16"), b"\xed\xa0\x80"])
def test_other_encodings_are_refused_without_quoting(tmp_path, raw):
    path = tmp_path / "note.txt"
    path.write_bytes(raw)
    with pytest.raises(InputError) as refused:
        read_note(path)
    assert refused.value.code == "note_not_utf8"
    assert "uspern" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_lone_surrogate_is_refused():
    assert made(clean_note, "cough \ud800") == "note_not_utf8"


@pytest.mark.parametrize("text", ["", " \n\t", "\x00\u202e"])
def test_an_empty_note_is_refused(text):
    assert made(clean_note, text) == "note_empty"


def test_length_is_bounded_in_text_in_files_and_after_composition(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("\U0001f600" * MAX_CHARACTERS, encoding="utf-8")
    assert len(read_note(path).text) == MAX_CHARACTERS
    path.write_text("a" * (4 * MAX_CHARACTERS + 10))
    assert made(read_note, path) == "note_too_long"
    assert made(clean_note, "a" * (MAX_CHARACTERS + 1)) == "note_too_long"
    assert made(clean_note, "\u0958" * MAX_CHARACTERS) == "note_too_long"  # one letter, two under NFC


def test_a_file_that_is_not_there_is_named_so(tmp_path):
    assert made(read_note, tmp_path / "none.txt") == "note_missing"
    assert made(read_note, tmp_path) == "note_missing"

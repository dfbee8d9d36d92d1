"""What a sentence says of each observation: value, scope, extension, and time on hostile text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinimm.errors import ConfigError
from clinimm.findings.observations import DENIED, LEFT_OPEN, LEXICON, OBSERVATIONS, STATED
from clinimm.findings.reader import FindingReader, labels

READER = FindingReader()


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("Bilateral patchy infiltrates and ground-glass opacities.", {"Lung Opacity": 1}),
        ("No pneumothorax, pleural effusion, or edema.", {"Edema": -1, "Pneumothorax": -1, "Pleural Effusion": -1}),
        ("No effusion but a small pneumothorax.", {"Pneumothorax": 1, "Pleural Effusion": -1}),
        ("No pneumothorax, small left effusion.", {"Pneumothorax": -1, "Pleural Effusion": 1}),
        ("No edema, large effusion, or fracture.", {"Edema": -1, "Pleural Effusion": -1, "Fracture": -1}),
        ("The pneumothorax has resolved.", {"Pneumothorax": -1}),
        ("The pneumothorax has not resolved.", {"Pneumothorax": 1}),
        ("Effusion and consolidation are not seen.", {"Consolidation": -1, "Pleural Effusion": -1}),
        ("Stable cardiomegaly, pneumothorax is not seen.", {"Cardiomegaly": 1, "Pneumothorax": -1}),
        ("No change in the effusion.", {"Pleural Effusion": 1}),
        ("Not only edema but also effusion.", {"Edema": 1, "Pleural Effusion": 1}),
        ("Rule out pneumonia.", {"Pneumonia": 0}),
        ("Pneumonia was ruled out.", {"Pneumonia": -1}),
        ("Pneumonia cannot be excluded.", {"Pneumonia": 0}),
        ("Cannot exclude pneumonia.", {"Pneumonia": 0}),
        ("Atelectasis versus consolidation.", {"Consolidation": 0, "Atelectasis": 0}),
        ("Atelectasis or consolidation.", {"Consolidation": 0, "Atelectasis": 0}),
        ("Opacity, possibly pneumonia.", {"Lung Opacity": 1, "Pneumonia": 0}),
        ("No opacity suspicious for pneumonia.", {"Lung Opacity": -1, "Pneumonia": -1}),
        ("Possible pneumonia, no effusion.", {"Pneumonia": 0, "Pleural Effusion": -1}),
        ("Heart size is normal.", {"Cardiomegaly": -1}),
        ("The heart is not enlarged.", {"Cardiomegaly": -1}),
        ("The heart may be enlarged.", {"Cardiomegaly": 0}),
        ("Heart and mediastinum are normal.", {"Enlarged Cardiomediastinum": -1, "Cardiomegaly": -1}),
        ("The cardiac silhouette is unchanged.", {}),
        ("No acute cardiopulmonary process.", {"No Finding": 1}),
        ("Lungs are clear except for atelectasis.", {"Atelectasis": 1}),
        ("Body mass index 31, pericardial effusion, leg edema.", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_a_sentence_says_what_a_reader_would_say(sentence: str, found: dict[str, int]) -> None:
    assert READER.read(sentence) == found


def test_a_note_says_the_most_that_any_sentence_says() -> None:
    note = "Lungs are clear. No effusion. Possible pneumonia. Edema may be present.\n\nOn day 4: pulmonary edema."
    assert READER.read_note(note) == {"Edema": 1, "Pneumonia": 0, "Pleural Effusion": -1}
    assert READER.read_note("Lungs are clear. No effusion.") == {"No Finding": 1, "Pleural Effusion": -1}


def test_labels_follow_the_order_and_coding_of_medclip() -> None:
    assert labels({"Edema": 1, "Pneumonia": 0, "Fracture": -1}) == (0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, -1, 0)
    assert labels({"Cavitation": 1, "Edema": -1}, ("Cavitation", "Edema", "Fracture")) == (1, -1, 0)


def test_every_observation_has_words_and_every_word_an_observation() -> None:
    assert set(OBSERVATIONS) == set(LEXICON)
    assert {*DENIED, *LEFT_OPEN, *STATED} <= set(OBSERVATIONS)


def test_config_adds_and_extends_observations() -> None:
    reader = FindingReader({"Cavitation": ["cavit(y|ies|ation)"], "Edema": ["butterfly shadows?"]})
    assert reader.observations == (*OBSERVATIONS, "Cavitation")
    assert reader.read("No cavities, but butterfly shadow.") == {"Edema": 1, "Cavitation": -1}
    assert READER.read("No cavities.") == {}


def test_every_bad_pattern_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        FindingReader({"Cavitation": ["cavit(y", "good", ".*"], "Edema": [], " ": ["x+"]})
    for part in ("cavit(y", "'.*'", "'Edema' has no pattern", "without a name"):
        assert part in str(error.value)
    assert "good" not in str(error.value)


def test_without_cues_a_denied_finding_is_read_as_asserted() -> None:
    assert READER.read_phrases("No effusion, heart size normal.") == {"Cardiomegaly": -1, "Pleural Effusion": 1}


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for found in (READER.read(text), READER.read_note(text)):
        assert set(found) <= set(OBSERVATIONS)
        assert set(found.values()) <= {-1, 0, 1}


WORDS = (
    "no",
    "possible",
    "effusion",
    "pneumonia",
    "is not seen",
    "and",
    "or",
    ",",
    "but",
    "the heart",
    "normal",
    "may",
    "versus",
    "has resolved",
)


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.booleans())
def test_an_unrelated_sentence_changes_nothing(sentence: str, before: bool) -> None:
    unrelated = "The patient likes tea."
    note = f"{unrelated} {sentence}." if before else f"{sentence}. {unrelated}"
    assert READER.read_note(note) == READER.read_note(f"{sentence}.")


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_case_and_spaces_change_nothing(sentence: str) -> None:
    assert READER.read(sentence.upper().replace(" ", "  \n")) == READER.read(sentence)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["no ", "no effusion ", "heart, ", "effusion or ", "a", "1.", "is not currently ", ", small "]
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.perf_counter()
    READER.read(text)
    assert time.perf_counter() - start < 10  # a second on a busy machine; quadratic time would be minutes

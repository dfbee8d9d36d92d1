"""A note in another language than the training notes is told by their commonest words."""

import random

import pytest

from clinimm.data.language import Language, words

NOTES = [
    f"The patient was admitted with {what} for {n} days. There is no history of {other}. On examination the chest "
    f"was clear and the heart sounds were normal. The plan is to treat with antibiotics and to review in the morning."
    for n, (what, other) in enumerate(
        (a, b) for a in ("fever", "cough", "pain") for b in ("asthma", "smoking", "falls")
    )
]
GERMAN = "Der Patient wurde mit Fieber und Husten seit vier Tagen aufgenommen. Die Lunge ist beidseits belüftet."
FRENCH = "Le patient a été admis pour une fièvre depuis quatre jours, sans antécédent notable ni allergie connue."
ENGLISH = "A woman was sent in with fever and the cough that she had for two days. There is no chest pain on rest."


@pytest.fixture(scope="module")
def language() -> Language:
    return Language.fit(NOTES)


def test_other_languages_are_foreign_and_other_notes_are_not(language: Language) -> None:
    assert language.foreign(GERMAN)
    assert language.foreign(FRENCH)
    assert not language.foreign(ENGLISH)
    assert not any(language.foreign(note) for note in NOTES)
    assert language.share(GERMAN) < 0.2 < language.share(ENGLISH)


def test_a_note_too_short_to_tell_is_not_called_foreign(language: Language) -> None:
    assert not language.foreign("Fieber und Husten.")
    assert not language.foreign("38.5 120/80 96 %")
    assert language.share("38.5 120/80 96 %") == 0


def test_order_and_repeats_of_notes_do_not_matter(language: Language) -> None:
    assert Language.fit(random.Random(0).sample(NOTES * 2, 2 * len(NOTES))) == language


def test_no_word_of_one_note_alone_is_kept(language: Language) -> None:
    assert not Language.fit(["Mister Featherstonehaugh coughs", "Somebody else is well"]).common
    assert "the" in language.common


def test_it_comes_back_from_its_record(language: Language) -> None:
    assert Language.from_record(language.record()) == language


def test_nothing_learned_makes_nothing_foreign() -> None:
    assert not Language.fit([]).foreign(GERMAN)
    assert words("Ça va, 3 x ß!") == ["ça", "va", "x", "ß"]

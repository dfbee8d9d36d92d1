"""One person's name in many spellings, and two persons' names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinimm.identity.names import contradict, spellings

LETTERS = st.sampled_from("aeioubdgklmnrstäöüßéøñ山田한글жя' -^.,=")
texts = st.text(LETTERS, max_size=20)


def differ(ours: str, theirs: str) -> bool:
    return contradict(spellings(ours), spellings(theirs))


@given(texts, texts)
def test_contradiction_is_symmetric(ours: str, theirs: str) -> None:
    assert differ(ours, theirs) == differ(theirs, ours)


@given(st.text(max_size=30))
def test_no_name_contradicts_itself_in_any_script(name: str) -> None:
    assert not differ(name, name)
    assert not differ(name, name.upper())


@given(
    st.lists(st.sampled_from(("anna", "maria", "schmidt", "lopez", "q", "de")), min_size=1, max_size=5), st.randoms()
)
def test_order_and_more_words_are_no_contradiction(words: list[str], chance: object) -> None:
    more = [*words, "extra"]
    chance.shuffle(more)  # type: ignore[attr-defined]
    assert not differ(" ".join(words), " ".join(more))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Müller^Anna", "Anna Mueller"),
        ("Müller^Anna", "MULLER, ANNA"),
        ("Weiß^Jürgen", "Weiss^Juergen"),
        ("Ærø^Søren", "Aeroe^Soeren"),
        ("Ågård^Åse", "Aagaard, Aase"),
        ("Łukasz Þórsson", "Lukasz Thorsson"),
        ("Y\u0131lmaz^İpek", "YILMAZ, IPEK"),
        ("Smith^John^Q^Dr^Jr", "SMITH, JOHN"),
        ("Smith^John^^^Dr", "Dr. John Smith III"),  # HL7 has the prefix last
        ("Smith^John", "Mr J. Q. Smith"),
        ("Smith^John", "Smith"),
        ("García Márquez^Gabriel José", "Gabriel Garcia"),
        ("Schmidt-Weber^Anna", "Anna Schmidt"),
        ("Jean-Pierre Dupont", "Dupont, Jeanpierre"),
        ("O'Brien^Pat", "Pat O\u2019Brien"),
        ("O'Brien^Pat", "Obrien, Pat"),
        ("Mac Donald, Iain", "MacDonald^Iain"),
        ("de la Cruz, Juan", "Juan Delacruz"),
        ("van den Berg^Piet", "Berg, P. van den"),
        ("Le Thi Hoa", "Hoa Le"),
        ("Le^Michael^Piet", "Le-Garcia, Michael"),
        ("Tran^Van", "Van Quang Tran"),
        ("Tran^Van", "V. Tran"),
        ("García López^María", "GARCIA LOPEZ"),
        ("María^García López", "García López^María"),  # in the wrong fields
        ("Dupont^Jean^Pierre", "Jeanpierre Marie Dupont"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田太郎"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ヤマダ タロウ"),
        ("Yamada^Tarou", "山田^太郎"),  # no script in common: not comparable
        ("Wang^Wei=王^伟", "Wei Wang"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "홍길동"),
        ("Иванов^Иван^Иванович", "И. И. Иванов"),
        ("Иванов^Иван", "Ivanov^Ivan"),
        ("प्रिया शर्मा", "शर्मा^प्रिया"),
        ("علي حسن", "حسن، عَلي"),
        ("Smith^John~Jones^John", "Jones, John"),  # HL7's repetition: an earlier name
        ("J\u00ado\u00adh\u00adn Smith", "Smith^John"),  # soft hyphens part no words
        ("山田太郎", "山田"),
        ("\U00017000", "\U00017000"),  # Tangut, whose letters have no names
        ("Anna Maria Schmidt", "Anna Luise Schmidt"),  # two words in common
        ("Smith^John", ""),
        ("Smith^John", "^^^^"),
        ("Smith^John", "Unknown^Male"),
        ("Smith^John", "Patient 0012"),
    ],
)
def test_one_person_in_two_spellings(ours: str, theirs: str) -> None:
    assert not differ(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Smith^John", "Jones^Mary"),
        ("Smith^John", "Smith^Mary"),
        ("Smith^John", "Miller^John"),
        ("Smith^John", "Jones"),
        ("Dr Smith^John", "Dr Jones^Peter"),
        ("de la Cruz^Juan", "de la Vega^Pedro"),
        ("van den Berg^Piet", "van den Bos^Klaas"),
        ("Le Hoa", "Le Lan"),
        ("Le^Hoa", "Tran^Hoa"),
        ("García López^María", "García López^Lucía"),
        ("García López^María", "Lucía García López"),
        ("Wang^Wei=王^伟", "李^娜"),
        ("王伟", "王芳"),
        ("やまだ^たろう", "やまた^たろお"),
        ("김철수", "박철수"),
        ("Иванов^Иван", "Петров^Пётр"),
        ("Nobody", "Smith"),
        ("Smith S.", "Smith John"),  # an initial stands for one word, and not for one that is shared already
    ],
)
def test_two_persons(ours: str, theirs: str) -> None:
    assert differ(ours, theirs)


@pytest.mark.parametrize(
    ("name", "particles"),
    [("van Berg", ("van",)), ("van den Berg", ("van", "den")), ("Tran Van", ()), ("Le^Van", ()), ("Cruz de la", ())],
)
def test_a_particle_belongs_to_a_name_that_follows(name: str, particles: tuple[str, ...]) -> None:
    (spelling,) = spellings(name)
    assert spelling.particles == particles

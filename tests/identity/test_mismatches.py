"""Mismatches are a function of the set of identities: what contradicts, what does not, and how it is remembered."""

from datetime import date

import jaxtyping
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinimm.errors import ClinimmError, ConfigError, InputError
from clinimm.identity import Identity, Mismatch, key, mismatches, read_sex

SECRET = b"sixteen bytes or more"

NAMES = (
    "Smith^John",
    "John Smith",
    "Müller^Anna",
    "Mueller, Anna Maria",
    "王^伟",
    "Anonymous",
    "Иванов^Иван",
    "J. Smith",
)
identities = st.builds(
    Identity,
    source=st.sampled_from(("request", "images/0", "images/1", "notes/0", "labs/3")),
    patient_id=st.sampled_from((None, "", "7", "007", "ABC", "abc", "UNKNOWN")),
    issuer=st.sampled_from((None, "A", "a", "B")),
    birth_date=st.sampled_from((None, date(1900, 1, 1), date(1950, 3, 1), date(1950, 1, 3))),
    sex=st.sampled_from((None, "M", "F", "O")),
    name=st.sampled_from((None, *NAMES)),
    removed=st.booleans(),
)


def of(field: str, *values: object) -> tuple[Mismatch, ...]:
    """Mismatches of identities that have only `field`, from as many sources."""
    return mismatches(Identity(f"images/{i}", **{field: value}) for i, value in enumerate(values))  # type: ignore[arg-type]


@given(st.lists(identities, max_size=6), st.randoms())
def test_order_and_repetition_do_not_matter(told: list[Identity], chance: object) -> None:
    shuffled = [*told, *told]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert mismatches(shuffled) == mismatches(told)


@given(st.lists(identities, max_size=5), identities)
def test_one_more_identity_takes_no_mismatch_away(told: list[Identity], more: Identity) -> None:
    assert set(mismatches(told)) <= set(mismatches([*told, more]))


@given(st.lists(identities, max_size=5))
def test_every_mismatch_is_one_of_a_pair_of_identities(told: list[Identity]) -> None:
    pairs = {found for ours in told for theirs in told for found in mismatches([ours, theirs])}
    assert set(mismatches(told)) == pairs


@given(identities)
def test_no_identity_contradicts_itself(told: Identity) -> None:
    assert mismatches([told, told]) == ()


@given(identities, identities)
def test_a_removed_identity_is_not_compared(told: Identity, other: Identity) -> None:
    gone = Identity(**{**told.record(), "birth_date": told.birth_date, "removed": True})
    assert mismatches([gone, other]) == ()


@given(identities)
def test_a_record_gives_the_identity_back(told: Identity) -> None:
    assert Identity.from_record(told.record()) == told


@pytest.mark.parametrize("checked", [True, False], ids=("types checked", "as in production"))
@pytest.mark.parametrize(
    "fault",
    [
        {"birth_date": "1950-13-77"},
        {"birth_date": 5},
        {"source": 5},
        {"sex": "male"},
        {"patient_id": 7},
        {"issuer": 7},
        {"name": 7},
        {"removed": "perhaps"},
        {"extra": 1},
    ],
)
def test_a_bad_record_is_refused_without_an_echo(
    fault: dict[str, object], checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", not checked)
    with pytest.raises(InputError) as refused:
        Identity.from_record(Identity("request").record() | fault)
    assert refused.value.code == "identity_invalid"
    assert "write it with Identity.record" in str(refused.value)
    assert not any(str(value) in str(refused.value) for value in fault.values() if isinstance(value, str))
    assert refused.value.__suppress_context__ or refused.value.__context__ is None  # Python quotes what it cannot read


def test_a_repr_shows_no_patient() -> None:
    told = Identity("labs/3", patient_id="7", issuer="A", birth_date=date(1950, 3, 1), sex="F", name="Müller^Anna")
    assert repr(told) == "Identity(source='labs/3', removed=False)"


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("patient_id", ("007", "7")),
        ("patient_id", ("abc", "ABC")),
        ("birth_date", (date(1950, 3, 1), date(1950, 1, 3))),
        ("sex", ("M", "F")),
        ("name", ("Smith^John", "Jones^Mary")),
    ],
)
def test_contradictions_name_their_field_and_both_sources(field: str, values: tuple[object, object]) -> None:
    assert of(field, *values) == (Mismatch(field, ("images/0", "images/1")),)
    assert of(field, *values)[0].record() == {"field": field, "sources": ["images/0", "images/1"]}


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("patient_id", (" 007 ", "\uff10\uff10\uff17")),  # full-width digits
        *(("patient_id", ("7", word)) for word in ("", " ", "UNKNOWN", "Anonymous", "N/A", "none", "[REDACTED]", "--")),
        ("birth_date", (date(1950, 3, 1), date(1900, 1, 1))),
        ("sex", ("M", "O")),
        ("sex", ("F", None)),
        ("name", ("Smith^John", "ANONYMOUS^PATIENT")),
    ],
)
def test_what_is_not_given_or_only_written_otherwise_is_no_contradiction(
    field: str, values: tuple[object, ...]
) -> None:
    assert of(field, *values) == ()


@pytest.mark.parametrize(
    ("issuers", "compared"), [((None, None), 1), (("A", None), 1), (("A", "a "), 1), (("A", "N/A"), 1), (("A", "B"), 0)]
)
def test_ids_of_two_named_issuers_are_not_compared(issuers: tuple[str | None, str | None], compared: int) -> None:
    told = [Identity(f"labs/{i}", patient_id=str(i), issuer=issuer) for i, issuer in enumerate(issuers)]
    assert len(mismatches(told)) == compared


@pytest.mark.parametrize("issuers", [("A", None), ("A", "B"), ("A", "A")])
def test_one_id_is_one_id_whoever_is_said_to_have_given_it(issuers: tuple[str | None, str | None]) -> None:
    assert mismatches(Identity(f"labs/{i}", patient_id="7", issuer=issuer) for i, issuer in enumerate(issuers)) == ()


def test_one_source_can_contradict_itself() -> None:
    told = [Identity("images/0", patient_id="1"), Identity("images/0", patient_id="2")]
    assert mismatches(told) == (Mismatch("patient_id", ("images/0", "images/0")),)


def test_every_pair_and_field_is_told() -> None:
    told = [Identity("a", sex="M", patient_id="1"), Identity("b", sex="F"), Identity("c", sex="F", patient_id="2")]
    expected = [("patient_id", ("a", "c")), ("sex", ("a", "b")), ("sex", ("a", "c"))]
    assert [(found.field, found.sources) for found in mismatches(told)] == expected


def sole_key(told: list[Identity], secret: bytes = SECRET) -> str:
    (found,) = mismatches(told)
    return key(found, told, secret)


def test_a_key_stands_for_the_values_whoever_holds_them() -> None:
    ours, theirs = Identity("request", patient_id="1"), Identity("labs/0", patient_id="2")
    settled = sole_key([ours, theirs])
    assert len(settled) == 64
    assert sole_key([theirs, ours]) == settled
    assert sole_key([Identity("labs/0", patient_id="1"), Identity("notes/1", patient_id=" 2")]) == settled
    assert sole_key([ours, theirs], b"another secret of a service") != settled


@pytest.mark.parametrize(
    "other", [Identity("labs/0", patient_id="3"), Identity("labs/0", patient_id="2", issuer="A")], ids=("id", "issuer")
)
def test_other_values_have_another_key(other: Identity) -> None:
    ours = Identity("request", patient_id="1")
    assert sole_key([ours, other]) != sole_key([ours, Identity("labs/0", patient_id="2")])


def test_the_same_values_in_another_field_have_another_key() -> None:
    name, patient_id = (
        [Identity("a", **{field: "Q"}), Identity("b", **{field: "X"})] for field in ("name", "patient_id")
    )  # type: ignore[arg-type]
    assert sole_key(name) != sole_key(patient_id)


def test_a_source_that_changes_its_story_gets_another_key() -> None:
    told = [Identity("images/0", patient_id="1"), Identity("labs/0", patient_id="2")]
    mixed = [*told, Identity("labs/0", patient_id="3")]
    found = mismatches(told)[0]
    assert key(found, mixed, SECRET) != key(found, told, SECRET)


def test_a_short_secret_and_a_strange_mismatch_are_refused() -> None:
    told = [Identity("a", sex="M"), Identity("b", sex="F")]
    with pytest.raises(ConfigError, match="16 random bytes"):
        key(mismatches(told)[0], told, b"fifteen bytes:1")
    assert sole_key(told, b"just sixteen by.")
    with pytest.raises(ClinimmError, match="do not have this mismatch"):
        key(Mismatch("name", ("a", "b")), told, SECRET)


@pytest.mark.parametrize(
    ("word", "sex"), [("M", "M"), (" female ", "F"), ("w", "F"), ("Männlich", "M"), ("Divers", "O"), ("unknown", None)]
)
def test_words_for_sex_are_read(word: str, sex: str | None) -> None:
    assert read_sex(word) == sex

"""JSON that cannot be meant is refused; JSON that can is read as it stands."""

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import BadRequest, Refused, TooLarge
from services.http.strict_json import parse

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(VALUES)
def test_what_python_writes_is_read_back(value: object) -> None:
    assert parse(json.dumps(value).encode(), depth=50) == json.loads(json.dumps(value), parse_float=Decimal)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.binary(max_size=40) | TEXT.map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadRequest, Refused, TooLarge):
        parse(data, depth=4)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a": NaN}', "not_a_number"),
        ('{"a": -Infinity}', "not_a_number"),
        ('{"a": 1e400}', "number_out_of_range"),
        ('{"a": 9223372036854775808}', "number_out_of_range"),
        (f'{{"a": {"9" * 5000}}}', "number_out_of_range"),
        ('{"a": 1, "a": 2}', "duplicate_key"),
        (r'{"a": "\ud800"}', "lone_surrogate"),
        (r'{"\udfff": 1}', "lone_surrogate"),
        (r'{"a": "\u0000"}', "nul_character"),
    ],
)
def test_what_cannot_be_meant_is_named(text: str, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse(text.encode(), depth=4)
    assert [issue.code for issue in refusal.value.issues] == [code]


def test_every_fault_is_listed_once() -> None:
    with pytest.raises(Refused) as refusal:
        parse(rb'{"a": NaN, "b": Infinity, "b": "\u0000"}', depth=4)
    assert {issue.code for issue in refusal.value.issues} == {"not_a_number", "duplicate_key", "nul_character"}


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", '{"a": 1}'.encode("utf-16"), b'\xef\xbb\xbf{"a": 1}', b"[" * 5])
def test_what_is_not_json_in_utf_8_is_a_bad_request(data: bytes) -> None:
    with pytest.raises(BadRequest):
        parse(data, depth=4)


@pytest.mark.parametrize(("levels", "actual"), [(5, 5), (900, 900), (100_000, None)])
def test_what_is_nested_too_deep_is_counted_where_it_can_be(levels: int, actual: int | None) -> None:
    assert parse(b"[" * 4 + b"]" * 4, depth=4) == [[[[]]]]
    with pytest.raises(TooLarge) as refusal:
        parse(b"[" * levels + b"]" * levels, depth=4)
    assert (refusal.value.code, refusal.value.facts.get("limit")) == ("json_too_deep", 4)
    assert refusal.value.facts.get("actual") == actual


def test_numbers_keep_their_digits() -> None:
    assert str(parse(b"[1.10]", depth=2)[0]) == "1.10"

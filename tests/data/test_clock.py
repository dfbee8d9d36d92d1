"""One clock for every door: nothing from after the question, nothing older than allowed, no guess about zones."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinimm.data.clock import LATE, UNCOMPARABLE, Age, Clock, span
from clinimm.types import Status

NOON = datetime(2026, 1, 17, 12)  # noqa: DTZ001
NOON_UTC = NOON.replace(tzinfo=UTC)
HOURS = st.floats(-2000, 2000)


def hours_before(hours: float, question: datetime = NOON) -> datetime:
    return question - timedelta(hours=hours)


@pytest.mark.parametrize("question", [NOON, NOON_UTC])
def test_what_comes_after_the_question_is_refused_and_what_comes_at_it_is_not(question: datetime) -> None:
    clock = Clock(question)
    assert clock.stated(question + timedelta(seconds=1)).refused is LATE
    assert clock.stated(question) == Age(0.0)
    assert clock.stated(hours_before(36, question)) == Age(1.5)


def test_what_is_older_than_allowed_is_stale_and_says_how_old() -> None:
    stale = Clock(NOON, max_age_hours=24).stated(hours_before(75)).refused
    assert stale is not None
    assert (stale.status, stale.reason) == (Status.STALE, "stale")
    assert stale.detail == "3.12 days old, at most 24 hours are allowed"
    assert Clock(NOON, max_age_hours=24).stated(hours_before(24)).refused is None


@pytest.mark.parametrize("clock", [Clock(None, 24), Clock(NOON, 24)])
def test_an_age_that_is_not_known_is_not_held_against_the_input_but_named(clock: Clock) -> None:
    moment = None if clock.index_time else NOON
    assert clock.stated(moment) == Age(flags=("age_unknown",))
    assert Clock(clock.index_time).stated(moment) == Age()


def test_a_stated_time_must_be_comparable() -> None:
    assert Clock(NOON).stated(NOON_UTC).refused is UNCOMPARABLE
    assert Clock(NOON_UTC).stated(NOON).refused is UNCOMPARABLE


@pytest.mark.parametrize(
    ("hours", "refused", "flags"),
    [
        (-12.5, True, ()),  # later than the question even on the easternmost island
        (-1, False, ("time_zone_unknown",)),
        (1, False, ("time_zone_unknown",)),
        (12.5, False, ()),
        (48, False, ("time_zone_unknown",)),
        (48 + 12.5, True, ()),  # too old even on the westernmost
    ],
)
def test_a_file_without_zone_is_refused_only_where_every_zone_says_so(
    hours: float, refused: bool, flags: tuple[str, ...]
) -> None:
    shift = 2 if hours < 0 else 0  # clocks run to 14 hours east and 12 west
    age = Clock(NOON_UTC, max_age_hours=48).told(hours_before(hours - shift).isoformat())
    assert (age.refused is not None, age.flags) == (refused, flags)


@given(HOURS, st.floats(-12, 14))
def test_whatever_the_true_zone_was_no_timely_input_is_refused_and_no_late_one_is_silent(
    hours: float, offset: float
) -> None:
    """`hours` is the true age; the file tells the local time, the question the true one."""
    local = hours_before(hours) + timedelta(hours=offset)
    age = Clock(NOON_UTC).told(local.isoformat())
    if hours >= 0.01:
        assert age.refused is None
    if hours <= -0.01:
        assert age.refused is LATE or "time_zone_unknown" in age.flags


@given(HOURS, st.floats(-12, 14))
def test_the_same_holds_where_the_file_has_the_zone_and_the_question_has_none(hours: float, offset: float) -> None:
    acquired = hours_before(hours, NOON_UTC)
    question = NOON + timedelta(hours=offset)
    age = Clock(question).told(acquired.isoformat())
    if hours >= 0.01:
        assert age.refused is None
    if hours <= -0.01:
        assert age.refused is LATE or "time_zone_unknown" in age.flags


@given(HOURS, st.integers(-12, 14))
def test_a_file_with_its_zone_is_judged_as_if_stated(hours: float, offset: int) -> None:
    acquired = hours_before(hours, NOON_UTC).astimezone(timezone(timedelta(hours=offset)))
    clock = Clock(NOON_UTC, 100)
    assert clock.told(acquired.isoformat()) == clock.stated(acquired)


def test_spans_are_told_in_the_unit_that_people_use() -> None:
    assert (span(1.5), span(48), span(72)) == ("1.5 hours", "48 hours", "3 days")

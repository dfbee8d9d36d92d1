"""Drift of stored answers: told over time, tested against a reference, and never a small count to who may not know."""

from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from service_answers import content, record
from service_requests import case, post

from services.db import Database
from services.drift.measures import measures
from services.drift.series import differences, over_time
from services.drift.service import Asked, Drift, asked
from services.drift.store import Answer, Said, Seen
from services.pages.charts import HEIGHT, WIDTH, drawing
from services.results import service as results
from services.tables import CaseRow

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def answer(number: int, *, day: int = 0, missing: bool = False, probability: float = 0.3, patient: str = "") -> Answer:
    said = Said(probability, probability >= 0.5, "")
    labs = Seen("absent", 0.0, 0.0) if missing else Seen("present", 0.4, None)
    inputs = {"cxr": Seen("present", 1.0 if missing else 0.6, None), "labs": labs}
    return Answer(MONDAY + timedelta(days=day, seconds=number), patient or f"p-{number}", {"pneumonia": said}, inputs)


def test_what_changed_is_found_and_what_did_not_is_not() -> None:
    rng = np.random.default_rng(0)
    before = [answer(n, missing=n % 10 == 0, probability=float(rng.uniform(0, 1))) for n in range(150)]
    after = [answer(n + 150, missing=n % 2 == 0, probability=float(rng.uniform(0, 1))) for n in range(150)]
    found = {(one.series, one.name): one for one in differences(before, after, measures([*before, *after]), 1)}
    missing = found["Missing or not used, by input", "labs"]
    assert (missing.before, missing.after, missing.differs) == (0.1, 0.5, True)
    assert not found["Probability of pneumonia", "pneumonia"].differs
    assert not found["Missing or not used, by input", "cxr"].differs
    explained = found["Share of the explanation, by input", "cxr"]
    assert (explained.counts, explained.q) == ((0, 0), None)


def test_many_answers_of_few_patients_are_not_tested() -> None:
    before = [answer(n, patient=f"a-{n % 4}") for n in range(40)]
    after = [answer(n + 40, patient=f"b-{n % 40}", missing=True) for n in range(40)]
    assert {one.q for one in differences(before, after, measures(before), 1)} == {None}


def test_weeks_begin_on_monday_and_hold_their_answers() -> None:
    answers = [answer(0), answer(1, day=6, missing=True), answer(2, day=7, probability=0.9)]
    weeks = over_time(answers, measures(answers), "week", 1)
    assert [start.isoformat() for start in weeks.starts] == ["2026-03-02", "2026-03-09"]
    assert weeks.counts == (2, 1)
    lines = {(chart.title, line.name): line.values for chart in weeks.charts for line in chart.lines}
    assert lines["Missing or not used, by input", "labs"] == (0.5, 0.0)
    assert lines["Gate weight where used, by input", "labs"] == (0.4, 0.4)
    assert lines["Share flagged of those answered, by target", "pneumonia"] == (0.0, 1.0)
    assert lines["Probability of pneumonia", "median"] == (0.3, 0.9)
    assert len(over_time(answers, measures(answers), "day", 1).starts) == 3


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_no_small_count_can_be_reckoned_from_what_is_told(flags: list[bool]) -> None:
    answers = [answer(number, missing=flag) for number, flag in enumerate(flags)]
    told = over_time(answers, measures(answers), "week", 5)
    assert told.counts == ((len(flags),) if len(flags) >= 5 else (None,))
    for chart in told.charts:
        for line in chart.lines:
            assert len(flags) >= 5 or line.values == (None,)
    [rate] = next(line.values for line in told.charts[0].lines if line.name == "labs")
    small = 0 < sum(flags) < 5 or 0 < len(flags) - sum(flags) < 5
    assert rate == (None if small or len(flags) < 5 else sum(flags) / len(flags))


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), min_size=1, max_size=30))
def test_every_mark_lies_inside_its_chart(points: list[tuple[int, float]]) -> None:
    answers = [answer(n, day=day, probability=p) for n, (day, p) in enumerate(sorted(points))]
    told = over_time(answers, measures(answers), "day", 1)
    for chart in told.charts:
        for line in drawing(chart, told.starts).lines:
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line.dots)


@pytest.mark.parametrize("sent", [{"by": "year"}, {"first": "3"}, {"first": "x"}, {"since": "soon"}, {"until": "0"}])
def test_what_cannot_be_meant_is_named(sent: dict[str, str]) -> None:
    wanted, faults = asked(sent)
    assert (wanted, faults.keys()) == (Asked(), sent.keys())


def test_only_current_answers_of_cases_that_are_not_held_are_looked_at(
    either_api: httpx.Client, database: Database
) -> None:
    posted = [post(either_api, case(f"r{number}")).json() for number in range(3)]
    with database.write() as session:
        for shown in posted:
            results.keep(session, content(shown), record(shown["id"]), ["created"])
        results.keep(session, content(posted[0]), record(posted[0]["id"]) | {"artifact": "e" * 64}, [])
        session.execute(sa.update(CaseRow).where(CaseRow.id == posted[1]["id"]).values(held="identity_conflict"))
    room = Drift(database)
    assert (room.watch("d" * 64, Asked(), 1).total, room.watch("e" * 64, Asked(), 1).total) == (1, 1)
    assert room.watch("f" * 64, Asked(), 1).stretches.starts == ()

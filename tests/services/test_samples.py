"""Samples over real databases: drawn from what matches, kept with the chance of each, told of once reviewed."""

import httpx
import pytest
import sqlalchemy as sa
from service_answers import content, record, said
from service_requests import case, post

from clinimm.errors import ConfigError
from clinimm.types import Abstention
from services.db import Database
from services.db.migrate import take_back
from services.errors import NotFound
from services.results import service as results
from services.results.service import Content
from services.reviews import store as reviews
from services.samples.estimates import simple_rate
from services.samples.service import Samples, Wanted, wanted
from services.tables import CaseRow, EventRow
from services.worklist.filters import Filters

ALL = Filters()


@pytest.fixture
def answered(either_api: httpx.Client, database: Database) -> list[str]:
    """Eight cases: two abstain; all miss their labs; the last one is held."""
    posted = [post(either_api, case(f"r{number}")).json() for number in range(8)]
    with database.write() as session:
        for number, shown in enumerate(posted):
            told = record(shown["id"], abstained=Abstention.OOD if number < 2 else None)
            assert results.keep(session, content(shown), told, ["created"]) is not None
        session.execute(sa.update(CaseRow).where(CaseRow.id == posted[-1]["id"]).values(held="identity_conflict"))
    return [shown["id"] for shown in posted]


def test_same_seed_draws_the_same_from_what_matches_and_is_not_held(answered: list[str], database: Database) -> None:
    room = Samples(database)
    first, again = (room.get(room.new("ann", Wanted("random", 3, 7), ALL)) for _ in range(2))
    assert [one.result_id for one in first.drawn] == [one.result_id for one in again.drawn]
    assert (first.sample.population, len(first.drawn)) == (7, 3)
    assert {one.inclusion for one in first.drawn} == {3 / 7}
    whole = room.get(room.new("ann", Wanted("random", 100, 1), ALL))
    assert [one.case_id for one in whole.drawn] == answered[:-1]
    some = room.get(room.new("ann", Wanted("random", 9, 1), Filters(answer="abstained")))
    assert ([one.case_id for one in some.drawn], some.filters.answer) == (answered[:2], "abstained")
    with pytest.raises(NotFound):
        room.new("ann", Wanted("random", 3, 7), Filters(flag="none has it"))


def test_risk_makes_likelier_and_the_rate_is_told_once_all_are_reviewed(
    answered: list[str], database: Database
) -> None:
    room = Samples(database)
    sample_id = room.new("ann", Wanted("risk_weighted", 3, 2), ALL)
    found = room.get(sample_id)
    weights = {case_id: 4.0 if place < 2 else 2.0 for place, case_id in enumerate(answered[:-1])}
    assert all(one.inclusion == pytest.approx(3 * weights[one.case_id] / 18) for one in found.drawn)
    for number, one in enumerate(found.drawn):
        assert room.get(sample_id).rate is None
        with database.write() as session:
            reviews.add(session, one.case_id, said(one.result_id, "signed_off" if number else "rejected"))
    found = room.get(sample_id)
    assert found.rate is not None
    by_weight = [1 / one.inclusion for one in found.drawn]
    assert found.rate.value == pytest.approx(by_weight[0] / sum(by_weight))
    assert (room.listed()[0].reviewed, room.listed()[0].drawn) == (3, 3)


def test_result_that_can_be_reviewed_no_more_is_counted_and_left_out(answered: list[str], database: Database) -> None:
    room = Samples(database)
    sample_id = room.new("ann", Wanted("random", 7, 2), ALL)
    first, second, *others = room.get(sample_id).drawn
    with database.write() as session:
        results.keep(session, Content(first.case_id, 2, "f" * 64), record(first.case_id), ["labs_added"])
        session.execute(sa.update(CaseRow).where(CaseRow.id == second.case_id).values(held="identity_conflict"))
        for one in others:
            reviews.add(session, one.case_id, said(one.result_id, "signed_off"))
    found = room.get(sample_id)
    assert (found.lost, found.reviewed) == (2, 5)
    assert found.rate == simple_rate(0, 5, 7)


def test_draw_is_one_event_that_repeats_nothing_that_was_typed(answered: list[str], database: Database) -> None:
    sample_id = Samples(database).new("ann", Wanted("random", 3, 7), Filters(sender="local"))
    with database.read() as session:
        [event] = session.scalars(sa.select(EventRow).where(EventRow.action == "sample.drawn"))
    assert (event.actor, event.object_id) == ("ann", sample_id)
    assert event.facts == {"plan": "random", "size": 3, "population": 7, "asked": ["sender"]}


def test_sample_is_not_lost_on_the_way_back(answered: list[str], database: Database) -> None:
    Samples(database).new("ann", Wanted("random", 3, 7), ALL)
    with pytest.raises(ConfigError, match="samples: 1"):
        take_back(database, "0005")


@pytest.mark.parametrize("name", ["plan", "size", "seed"])
@pytest.mark.parametrize("sent", ["", "-1", "1.5", "1e3", "\u0663", "9" * 20])
def test_form_that_cannot_be_meant_is_told_field_by_field(name: str, sent: str) -> None:
    fields = {"plan": "random", "size": "10", "seed": "0"}
    assert wanted(fields) == (Wanted("random", 10, 0), {})
    asked, faults = wanted(fields | {name: sent})
    assert (asked, faults.keys()) == (None, {name})

"""The worklist: cases found by what their current answers, reports and reviews say, the same on both databases."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from service_answers import content, record, said
from service_requests import case, post
from sqlalchemy.orm import Session

from clinimm.types import Abstention, Status
from services.db import Database
from services.db.migrate import migrate, take_back
from services.findings import AnswerRow, FindingRow, ReadingRow
from services.reports import service as reports
from services.reports.reliability import Reliability, reliability_of
from services.reports.store import StoredReport
from services.results import service as results
from services.reviews import store as reviews
from services.tables import CaseRow
from services.worklist import store
from services.worklist.filters import NAMES, Filters, parsed
from services.worklist.matching import frequent, rare
from services.worklist.service import Worklist


def answer(session: Session, shown: Mapping[str, Any], *, model: str = "d" * 64, flags: Any = (), **facts: Any) -> str:
    told = record(shown["id"], **facts) | {"artifact": model}
    result_id = results.keep(session, content(dict(shown)), told, ["created"], more_flags=flags)
    assert result_id is not None
    return result_id


def undecided(shown: Mapping[str, Any]) -> dict[str, Any]:
    told = record(shown["id"], labs=Status.PRESENT)
    [target] = told["targets"]
    return told | {"targets": [target | {"probability": 0.3, "decision": False, "conformal_set": [False, True]}]}


@pytest.fixture
def listed(either_api: httpx.Client, database: Database) -> dict[str, str]:
    """Ids by what the cases are."""
    names = ("flagged", "silent", "undecided", "again", "held", "waiting")
    posted = {name: post(either_api, case(name)).json() for name in names}
    with database.write() as session:
        first = answer(session, posted["flagged"])
        reports.keep(
            session, StoredReport(first, "1" * 64, "2" * 64), Reliability("trusted", {"cxr": 1.0, "labs": 0.0})
        )
        answer(session, posted["silent"], labs=Status.PRESENT, abstained=Abstention.OOD)
        told = content(posted["undecided"])
        kept = results.keep(session, told, undecided(posted["undecided"]), ["created"])
        assert kept is not None
        reviews.add(session, posted["undecided"]["id"], said(kept, "rejected"))
        before = answer(session, posted["again"])
        reviews.add(session, posted["again"]["id"], said(before, "signed_off"))
        answer(session, posted["again"], model="e" * 64, flags=[results.NEEDS_REVIEW], labs=Status.PRESENT)
        answer(session, posted["held"])
        session.execute(sa.update(CaseRow).where(CaseRow.id == posted["held"]["id"]).values(held="identity_conflict"))
    return {name: one["id"] for name, one in posted.items()}


FOUND: dict[str, set[str]] = {
    "flag=missing:labs": {"flagged"},
    "missing=labs": {"flagged"},
    "flag=missing:labs,other": set(),
    "flag=needs_re-review": {"again"},
    "target=pneumonia": {"flagged", "silent", "undecided", "again"},
    "target=other": set(),
    "answer=flagged": {"flagged", "again"},
    "answer=not_flagged": {"undecided"},
    "answer=negative": {"undecided"},  # as it was called before
    "answer=abstained": {"silent"},
    "target=pneumonia&answer=undecided": {"undecided"},
    f"model={'d' * 64}": {"flagged", "silent", "undecided"},
    "sender=local&answer=abstained": {"silent"},
    "sender=other": set(),
    "reliability=trusted": {"flagged"},
    "reliability=none": {"silent", "undecided", "again"},
    "review=reviewed": {"undecided", "again"},
    "review=none": {"flagged", "silent"},
    "again=yes": {"again"},
    "again=no": {"flagged", "silent", "undecided"},
    "held=yes": {"held"},
    "held=yes&answer=flagged": set(),
    "since=2999-01-01": set(),
    "until=2999-01-01&answer=abstained": {"silent"},
    "until=2000-01-01": set(),
    "": {"flagged", "silent", "undecided", "again", "held", "waiting"},
}


def test_each_filter_finds_what_it_says_by_both_queries(listed: dict[str, str], database: Database) -> None:
    for query, expected in FOUND.items():
        filters, faults = parsed(dict(part.split("=") for part in query.split("&") if part))
        assert faults == {}
        with database.read() as session:
            for form in (rare, frequent):
                ids = [row.id for row in session.execute(form(filters))]
                assert sorted(ids) == sorted(listed[name] for name in expected), (query, form)
            assert store.count(session, filters) == len(expected)


def test_line_tells_the_current_answer_and_nothing_of_a_held_case(listed: dict[str, str], database: Database) -> None:
    lines = {line.id: line for line in Worklist(database).page(Filters(), None, 50).lines}
    assert [line.id for line in lines.values()] == list(listed.values())[::-1]
    held, waiting, again = (lines[listed[name]] for name in ("held", "waiting", "again"))
    assert (held.state, held.reason, held.answer) == ("held", "identity_conflict", None)
    assert (waiting.state, waiting.answer) == ("pending", None)
    assert again.answer is not None
    assert (again.answer.model, again.answer.reviewed, again.answer.again) == ("e" * 64, True, True)
    flagged = lines[listed["flagged"]].answer
    assert flagged is not None
    assert (flagged.findings[0].probability, flagged.findings[0].decision) == (0.81, True)
    assert (flagged.inputs, flagged.reliability) == ({"cxr": "present", "labs": "absent"}, "trusted")


def test_pages_join_without_gap_or_repeat(listed: dict[str, str], database: Database) -> None:
    room, seen, cursor = Worklist(database), list[str](), None
    while True:
        page = room.page(Filters(), cursor, 4)
        seen += [line.id for line in page.lines]
        if (cursor := page.next) is None:
            break
    assert seen == list(listed.values())[::-1]


def test_choices_are_what_there_is_each_once(listed: dict[str, str], database: Database) -> None:
    choices = Worklist(database).choices()
    assert choices.flags == ["abstained:ood", "missing:labs", results.NEEDS_REVIEW]
    assert (choices.models, choices.senders) == (["d" * 64, "e" * 64], ["local"])


@pytest.mark.slow
def test_migration_fills_what_the_stores_write(listed: dict[str, str], database: Database) -> None:
    before = short(database)
    take_back(database, "0005")
    migrate(database)
    after = short(database)
    assert after[1] == before[1]
    assert [row[:-1] for row in after[0]] == [row[:-1] for row in before[0]]
    assert [row[-1] for row in after[0]] == ["unknown" if row[-1] else "" for row in before[0]]
    assert [row[:-1] for row in after[2]] == [row[:-1] for row in before[2]]  # shares are in reports alone


def short(database: Database) -> list[list[tuple[Any, ...]]]:
    answers = (AnswerRow.result_id, AnswerRow.case_id, AnswerRow.model, AnswerRow.current, AnswerRow.created_at)
    names = ("target", "probability", "threshold", "decision", "undecided", "abstained")
    findings = (FindingRow.result_id, *(getattr(FindingRow, name) for name in names))
    readings = (ReadingRow.result_id, ReadingRow.input, ReadingRow.status, ReadingRow.weight, ReadingRow.share)
    with database.read() as session:
        return [
            [tuple(row) for row in session.execute(sa.select(*columns).order_by(*columns[:2]))]
            for columns in ((*answers, AnswerRow.reliability), findings, readings)
        ]


def test_explanations_are_trusted_only_if_each_is_and_shares_sum_to_one() -> None:
    first = {"trusted": True, "shapley": {"cxr": 3.0, "labs": -1.0}}
    second = {"trusted": False, "shapley": {"cxr": 0.0, "labs": 2.0}}
    assert reliability_of({"explanations": []}).word == "unexplained"
    assert reliability_of({"explanations": [first]}) == Reliability("trusted", {"cxr": 0.75, "labs": 0.25})
    assert reliability_of({"explanations": [first, second]}) == Reliability(
        "not_reliable", {"cxr": 0.375, "labs": 0.625}
    )
    nothing = {"trusted": True, "shapley": {"cxr": 0.0, "labs": None}}
    assert reliability_of({"explanations": [nothing]}).shares == {}


@given(st.dictionaries(st.sampled_from([*NAMES, "other"]), st.text(max_size=300)))
def test_whatever_is_sent_is_a_filter_or_a_fault(sent: dict[str, str]) -> None:
    filters, faults = parsed(sent)
    assert not filters.given.keys() & faults.keys()
    assert parsed(filters.given) == (filters, {})
    assert {name for name in NAMES if sent.get(name, "").strip()} == filters.given.keys() | faults.keys()


@pytest.mark.parametrize(
    ("sent", "at_fault"),
    [
        ({"since": "01.02.2026"}, {"since"}),
        ({"since": "2026-02-30"}, {"since"}),
        ({"since": "2026-02-02", "until": "2026-02-01"}, {"until"}),
        ({"since": "2026-02-02", "until": "2026-02-02"}, set()),
        ({"answer": "maybe", "held": "no"}, {"answer"}),
        ({"flag": ",".join("abcdefghijk")}, {"flag"}),
    ],
)
def test_filter_that_cannot_be_meant_is_named(sent: dict[str, str], at_fault: set[str]) -> None:
    assert parsed(sent)[1].keys() == at_fault

"""Whoever reads, or is refused, leaves one event, and sees nothing without it."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from service_processes import running_api
from service_requests import case, film, post

from services import audit
from services.app import PAGES, ROUTERS, sights
from services.audit.verify import verify
from services.audit.witness import Sight, Witness
from services.auth import add_client
from services.cases.hold import read_secret
from services.db import Database
from services.settings import Settings
from services.tables import EventRow

PATIENT = "p-1"


@pytest.fixture
def of_api(settings: Settings) -> Iterator[Database]:
    """The database of `api`."""
    database = Database(settings.url)
    yield database
    database.close()


def events(database: Database, after: int = 0) -> list[EventRow]:
    with database.read() as session:
        return list(session.scalars(sa.select(EventRow).where(EventRow.seq > after).order_by(EventRow.seq)))


def test_every_route_that_reads_has_a_name_for_it() -> None:
    reading = {route.name for router in (*ROUTERS, *PAGES) for route in router.routes if route.methods & {"GET"}}  # type: ignore[attr-defined]
    recorded_by_itself = {"get_identity"}
    assert reading - recorded_by_itself - set(sights.OPERATION) == sights.READ.keys() - {
        "validate_case",
        "page_draft_review",
        "page_draft_withdrawal",
        "page_draft_reconciliation",
    }


def test_who_reads_a_case_leaves_one_event_that_names_no_patient(
    either_api: httpx.Client, database: Database, tmp_path: Path
) -> None:
    made = post(either_api, case(), [("image", film())])
    start = events(database)[-1].seq
    paths = [made.headers["location"], *(made.json()["links"][name] for name in ("self", "timeline", "results"))]
    for path in paths:
        assert either_api.get(path, headers={"X-Request-Id": "r-1"}).status_code == 200
    told = events(database, start)
    assert [one.action for one in told] == ["job.read", "case.read", "timeline.read", "results.read"]
    patient = audit.token(read_secret(tmp_path), PATIENT)
    assert [(one.object_id, one.patient) for one in told[1:]] == [(made.json()["id"], patient)] * 3
    assert {(one.actor, one.role, one.source, one.outcome, one.request_id) for one in told} == {
        ("local", "local", "127.0.0.1", "done", "r-1")
    }
    assert all(one.case_id is None for one in told)  # the timeline is of what was done to a case
    assert PATIENT not in patient


def test_a_search_tells_what_was_asked_how_many_were_shown_and_whose(
    either_api: httpx.Client, database: Database
) -> None:
    for number in range(3):
        post(either_api, case(f"order-{number}", patient={"id": f"p-{number % 2}"}))
    start = events(database)[-1].seq
    assert len(either_api.get("/v1/cases", params={"limit": 2}).json()["cases"]) == 2
    assert either_api.get("/v1/cases", params={"reference": "Smith"}).json()["cases"] == []
    page, none = events(database, start)
    assert (page.action, page.facts["asked"], page.facts["count"]) == ("cases.listed", ["limit"], 2)
    assert len(page.facts["patients"]) == 2
    assert none.facts == {"asked": ["reference"], "count": 0}


def test_who_is_refused_leaves_one_event_with_the_code_and_nothing_that_was_sent(
    settings: Settings, of_api: Database, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    token = add_client(tokens, "pacs")
    with running_api(settings.model_copy(update={"tokens_file": tokens})) as api:
        ours = {"Authorization": f"Bearer {token}"}
        made = post(api, case(), headers=ours).json()["links"]["self"]
        start = events(of_api)[-1].seq
        api.get(made)
        api.get(f"{made}/identity", headers=ours)
        api.get("/v1/cases/Canary^Smith", headers=ours)
        api.get("/Canary^Smith", headers=ours)
        post(api, case(index_time="Canary^Smith"), headers=ours)
    told = events(of_api, start)
    assert [(one.actor, one.facts["status"], one.facts["code"], one.object_id) for one in told] == [
        ("", 401, "unauthorized", "/v1/cases/{case_id}"),
        ("pacs", 403, "role_not_allowed", "/v1/cases/{case_id}/identity"),
        ("pacs", 404, "case_not_found", "/v1/cases/{case_id}"),
        ("", 404, "not_found", "unmatched"),
        ("pacs", 422, "bad_case", "/v1/cases"),
    ]
    assert {(one.action, one.outcome) for one in told} == {("request.refused", "refused")}
    assert told[0].patient == told[1].patient != ""
    assert not any(re.search("canary|smith", str(vars(one)), re.IGNORECASE) for one in told)


def test_what_was_done_once_is_told_once_and_its_repetition_as_such(
    either_api: httpx.Client, database: Database
) -> None:
    made = post(either_api, case(), key="k")
    either_api.put(
        f"{made.json()['links']['self']}/modalities/labs", json={"complete": True}, headers={"If-Match": "*"}
    )
    post(either_api, case(), key="k")
    post(either_api, case(), key="another")
    told = [one.action for one in events(database)]
    assert told == ["case.created", "case.added", "request.repeated", "request.repeated"]


def test_asking_how_the_service_is_leaves_no_event(either_api: httpx.Client, database: Database) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        either_api.get(path)
    assert events(database) == []


def test_what_cannot_be_told_of_is_not_shown(api: httpx.Client, of_api: Database) -> None:
    made = post(api, case()).json()["links"]["self"]
    with of_api.engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TRIGGER no_more BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
        )
    answer = api.get(made)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert api.get("/v1/cases/unknown").status_code == 404  # a refusal is given in any case
    with of_api.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER no_more"))
    assert api.get(made).status_code == 200


@pytest.mark.slow
def test_many_who_read_and_write_at_once_leave_one_chain(either_api: httpx.Client, database: Database) -> None:
    made = post(either_api, case()).json()["links"]["self"]

    def ask(number: int) -> int:
        if number % 8 == 0:
            return post(either_api, case(f"order-{number}")).status_code
        return either_api.get(made).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(64))) == {200, 202}
    verdict = verify(database, [], None)
    assert (verdict.findings, verdict.seq) == ((), 65)


def test_without_any_room_events_wait_in_memory_and_are_written_once_there_is_some(of_api: Database) -> None:
    gave_up: list[str] = []
    witness = Witness(of_api, lambda: gave_up.append("reserve"))
    with of_api.engine.begin() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar_one()
    sa.event.listen(
        of_api.engine, "checkout", lambda c, *_: c.execute(f"PRAGMA max_page_count={pages if gave_up else 1 << 30}")
    )
    large = {"asked": ["x" * 4000] * 4}
    gave_up.append("full from here")
    full = [witness.tell(Sight("pacs", "cases.listed", "/v1/cases", audit.DONE, facts=large)) for _ in range(3)]
    assert [one.exception(30) for one in full] == [None] * 3
    assert len(gave_up) > 1
    assert events(of_api) == []
    gave_up.clear()
    witness.tell(Sight("pacs", "case.read", "c-1", audit.DONE)).result(30)
    witness.close()
    assert [one.action for one in events(of_api)] == ["cases.listed"] * 3 + ["case.read"]
    assert verify(of_api, [], None).findings == ()


def test_what_a_client_asks_for_is_on_record_and_only_what_can_be_told(
    either_api: httpx.Client, database: Database
) -> None:
    made = post(either_api, case())
    start = events(database)[-1].seq
    path = made.headers["location"]
    assert either_api.get(path, headers={"X-Purpose-Of-Use": "HRESCH"}).status_code == 200
    refused = either_api.get(path, headers={"X-Purpose-Of-Use": "curiosity about p-1"})
    assert (refused.status_code, refused.json()["code"]) == (400, "unknown_purpose")
    assert "TREAT" in refused.json()["detail"]
    assert PATIENT not in refused.text
    twice = either_api.get(path, headers=[("X-Purpose-Of-Use", "TREAT"), ("X-Purpose-Of-Use", "HRESCH")])
    assert twice.status_code == 400
    assert [one.facts.get("purpose") for one in events(database, start)] == ["HRESCH", None, None]

"""No table is forgotten: each is bound by events, made again from what is, or named as working state; and whatever is
kept is kept with an event."""

import httpx
import pytest
import sqlalchemy as sa
from service_processes import running_api
from service_requests import case, post

from services import audit
from services.audit.seals import KINDS
from services.blobs import Blobs
from services.cases.hold import known_secret
from services.db import Database
from services.db.base import Base
from services.evidence import WORKING
from services.evidence.finding import Bond
from services.evidence.rows import Evidence
from services.jobs import state
from services.settings import Settings
from services.tables import EventRow, JobRow, KeyRow


def events(database: Database) -> list[EventRow]:
    with database.read() as session:
        return list(session.scalars(sa.select(EventRow).order_by(EventRow.seq)))


def verified(database: Database, settings: Settings) -> tuple[list[str], Bond]:
    """What is found, and how many rows are bound."""
    bond = Bond(known_secret(settings.data))
    return [str(one) for one in Evidence(database, Blobs(settings.data / "blobs"), bond).findings()], bond


@pytest.fixture
def database(settings: Settings) -> Database:
    return Database(settings.url)


def test_every_table_is_evidence_or_said_to_be_working_state() -> None:
    bound = {kind.table.name for kind in KINDS.values()}
    working = {table for table, columns in WORKING.items() if columns == "*"}
    tables = set(Base.metadata.tables)
    assert bound | working | {EventRow.__tablename__} == tables
    assert not bound & working
    for table, column in WORKING.items():
        assert column == "*" or column in Base.metadata.tables[table].columns


def test_answer_to_a_post_without_effect_has_one_event_that_binds_it(api: httpx.Client, database: Database) -> None:
    first = post(api, case("a")).json()["id"]
    before = len(events(database))
    assert post(api, case("a")).json()["id"] == first
    [event] = events(database)[before:]
    assert (event.action, event.object_id, event.outcome, event.case_id) == ("request.repeated", first, "done", None)
    assert event.patient
    assert [name.partition("/")[0] for name in event.facts["seals"]] == ["keys"]


def test_work_that_comes_to_nothing_is_done_by_an_event_of_its_own(api: httpx.Client, database: Database) -> None:
    post(api, case("a"))
    with database.write() as session:
        [job_id] = session.scalars(sa.select(JobRow.id))
        state.finish(session, job_id)
    event = events(database)[-1]
    assert (event.actor, event.action, event.object_id) == ("system", "job.done", job_id)


def test_row_that_comes_without_an_event_gets_its_own(database: Database) -> None:
    audit.keyed(database, b"0" * 32)
    with database.write() as session:
        audit.bind(session, "jobs/j-1", {"id": "j-1"}, of_case="c-1")
    [event] = events(database)
    assert (event.action, event.object_id, event.case_id) == ("row.stored", "jobs/j-1", "c-1")


def test_keys_and_jobs_that_an_earlier_version_kept_are_counted_and_others_named(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_api(settings) as api, monkeypatch.context() as patch:
        patch.setattr(audit, "bind", lambda *_, **__: None)  # as the version before this one
        post(api, case("old"))
    found, bond = verified(database, settings)
    assert (found, bond.unbound) == ([], 2)
    with running_api(settings) as api:
        post(api, case("new"))
    found, bond = verified(database, settings)
    assert (found, bond.unbound) == ([], 2)
    with database.write() as session:
        [*_, last] = session.scalars(sa.select(KeyRow).order_by(KeyRow.created_at))
        told = {name.name: getattr(last, name.name) for name in KeyRow.__table__.columns}
        session.add(KeyRow(**told | {"key": "foreign"}))
    [line] = verified(database, settings)[0]
    assert line.startswith("row_unknown\tkeys/")

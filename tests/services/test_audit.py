"""Events are written with what they tell of, once, and read in the order they happened."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services import audit
from services.db import Database
from services.logs import of_request


@pytest.fixture
def own_database(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_sqlite, tmp_path / "clinimm.db")
    database = Database(f"sqlite:///{tmp_path / 'clinimm.db'}")
    yield database
    database.close()


def told(database: Database, case_id: str) -> list[tuple[str, str, str, str, object]]:
    with database.read() as session:
        events = audit.timeline(session, case_id)
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    return [(one.actor, one.action, one.object_id, one.request_id, one.facts) for one in events]


def test_the_timeline_of_a_case_is_its_own_events_in_their_order(own_database: Database) -> None:
    before = datetime.now(UTC)
    with own_database.write() as session:
        with of_request("r-1"):
            audit.record(session, "clinic", "case.created", "c-1", of_case="c-1", version=1, parts=["labs/0"])
            audit.record(session, "clinic", "case.created", "c-2", of_case="c-2")
        audit.record(session, audit.OPERATOR, "model.promoted", "m-1")
    with own_database.write() as session:
        audit.record(session, audit.SYSTEM, "result.stored", "res-1", of_case="c-1")
    assert told(own_database, "c-1") == [
        ("clinic", "case.created", "c-1", "r-1", {"version": 1, "parts": ["labs/0"]}),
        ("system", "result.stored", "res-1", "", {}),
    ]
    assert told(own_database, "c-2") == [("clinic", "case.created", "c-2", "r-1", {})]
    assert told(own_database, "m-1") == []
    with own_database.read() as session:
        assert all(before <= event.time <= datetime.now(UTC) for event in audit.timeline(session, "c-1"))


def test_what_is_undone_was_never_told(own_database: Database) -> None:
    def fail() -> None:
        with own_database.write() as session:
            audit.record(session, "clinic", "case.created", "c-1", of_case="c-1")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert told(own_database, "c-1") == []


def test_the_last_request_is_the_last_that_did_something_to_the_case(own_database: Database) -> None:
    with own_database.write() as session:
        assert audit.last_request(session, "c-1") == ""
        for request, case_id in [("r-1", "c-1"), ("r-2", "c-1"), ("r-3", "c-2"), ("", "c-1")]:
            with of_request(request):
                audit.record(session, "clinic", "case.added", case_id, of_case=case_id)
        audit.record(session, audit.SYSTEM, "result.stored", "res-9", of_case="c-3")
    with own_database.read() as session:
        assert [audit.last_request(session, one) for one in ("c-1", "c-2", "c-3")] == ["r-2", "r-3", ""]

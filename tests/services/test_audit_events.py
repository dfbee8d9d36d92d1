"""Events in a real database: one chain whoever writes, which nobody changes unseen."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from services import audit
from services.audit.heads import HEADS, Signer
from services.audit.notary import Notary
from services.audit.verify import verify
from services.blobs import Blobs
from services.cli import cli
from services.db import Database
from services.tables import EventRow

WRITERS, EACH = 32, 6
Tamper = Callable[[sa.Connection], object]


def wrote(database: Database, number: int) -> None:
    with database.write() as session:
        audit.record(session, "local", "case.asked_again", f"case-{number}", of_case=f"case-{number}", version=1)
        audit.record(session, "local", "job.retried", f"job-{number}")


def test_many_writers_make_one_chain_of_what_was_committed(database: Database, database_url: str) -> None:
    """Half of them as in another process: with nothing shared but the database."""
    together, other = threading.Barrier(WRITERS), Database(database_url)

    def work(writer: int) -> int:
        rng, kept = random.Random(writer), 0
        together.wait()
        for turn in range(EACH):
            try:
                with (database, other)[writer % 2].write() as session:
                    audit.record(session, f"writer-{writer}", "did", f"{writer}/{turn}", turn=turn)
                    if rng.random() < 0.3:
                        raise RuntimeError
                kept += 1
            except RuntimeError:
                pass
        return kept

    with ThreadPoolExecutor(WRITERS) as pool:
        kept = sum(pool.map(work, range(WRITERS)))
    other.close()
    verdict = verify(database, [], None)
    assert (verdict.findings, verdict.seq) == ((), kept)


@pytest.mark.parametrize("statement", ["UPDATE events SET actor = 'another'", "DELETE FROM events"])
def test_database_lets_no_event_be_changed_or_taken_out(database: Database, statement: str) -> None:
    wrote(database, 1)
    with pytest.raises(sa.exc.DBAPIError), database.write() as session:
        session.execute(sa.text(statement))
    assert verify(database, [], None).seq == 2


def swap(connection: sa.Connection) -> None:
    for old, new in ((3, 1003), (4, 3), (1003, 4)):
        connection.execute(sa.update(EventRow).where(EventRow.seq == old).values(seq=new))


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "changed": (lambda on: on.execute(sa.text("UPDATE events SET actor = 'locak' WHERE seq = 4")), "event_changed\t4"),
    "deleted": (lambda on: on.execute(sa.text("DELETE FROM events WHERE seq IN (4, 5)")), "events_deleted\t4-5"),
    "cut": (lambda on: on.execute(sa.text("DELETE FROM events WHERE seq > 6")), "tail_cut\t7-8"),
    "swapped": (swap, "events_swapped\t3-4"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_command_names_what_was_done(database_url: str, database: Database, tmp_path: Path, name: str) -> None:
    for number in range(4):
        wrote(database, number)
    Notary(database, Signer(tmp_path / "heads")).close()
    Blobs(tmp_path / "blobs")
    asked = ["audit", "verify", "--data", str(tmp_path), "--database-url", database_url]
    sound = CliRunner().invoke(cli, asked)
    assert (sound.exit_code, sound.output.split()[:2]) == (0, ["events", "8"])
    tamper, told = TAMPERED[name]
    with database.engine.begin() as connection:
        _disarm(connection)
        tamper(connection)
    found = CliRunner().invoke(cli, asked)
    assert (found.exit_code, found.output.splitlines()[0]) == (1, told)


def _disarm(connection: sa.Connection) -> None:
    """As who owns the database can."""
    if connection.dialect.name == "sqlite":
        for act in ("update", "delete"):
            connection.execute(sa.text(f"DROP TRIGGER events_no_{act}"))
    else:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))


def test_ends_are_signed_when_something_happened_and_not_again(database: Database, tmp_path: Path) -> None:
    notary = Notary(database, Signer(tmp_path), seconds=3600)
    assert notary.turn() is None
    wrote(database, 1)
    first = notary.turn()
    assert first is not None
    assert first.seq == 2
    wrote(database, 2)
    assert notary.turn() is None  # not yet time
    notary.close()
    notary.close()
    assert len((tmp_path / HEADS).read_text().splitlines()) == 2

"""Whatever is done to a stored row or file is found, and named."""

import shutil
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from service_processes import new_database
from service_requests import case, cohort_film, damaged_film, film, post
from typer.testing import CliRunner
from ward import CRP, Ward, add, open_ward

from clinimm.errors import ConfigError
from clinimm.report.canonical import digest, parsed
from services import fsck
from services.audit.heads import Signer
from services.audit.notary import Notary
from services.audit.seals import KINDS, named
from services.audit.verify import verify
from services.cases.hold import read_secret
from services.cli import cli
from services.db import Database
from services.db.lying import columns, lying, plain
from services.evidence import WORKING
from services.evidence.finding import Bond
from services.evidence.rows import Evidence
from services.jobs import state
from services.jobs.letters import retry
from services.samples.service import Samples, Wanted
from services.tables import CaseRow, EventRow, JobRow, ReportRow, ResultRow
from services.worklist.filters import Filters

pytestmark = pytest.mark.slow

Place = tuple[str, str, int]  # a table's kind, a column, which of its rows


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ward(
    request: pytest.FixtureRequest, tiny_artifact: Path, tiny_cohort: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ward]:
    """What cases leave: one that grew after its answer, was signed off, asked for again and whose film another one
    shares; one that was held and reconciled, with a film that cannot be read; one that is held; one that failed for
    good, and one that did and was tried again; one whose note was corrected, posted again under another key. And a
    sample of them."""
    data = tmp_path_factory.mktemp("evidence")
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), data / "clinimm.db")
        url = f"sqlite:///{data / 'clinimm.db'}"
    else:
        url = new_database(request.getfixturevalue("postgres_url"), "evidence", "clinimm_template")
    with open_ward(url, tiny_artifact, data) as ward:
        case_id = str(post(ward.api, case(labs=None), [("image", cohort_film(tiny_cohort))]).json()["id"])
        ward.work()
        signed = {"verdict": "signed_off", "reason": "seen"}
        path = f"/v1/cases/{case_id}/results/1/reviews"
        assert ward.api.post(path, json=signed, headers={"Idempotency-Key": "s"}).status_code == 201
        add(ward.api, case_id, {"labs": [CRP]})
        other = [("image", cohort_film(tiny_cohort)), ("image", damaged_film(2)), ("image", film(3, patient="p-2"))]
        where = post(ward.api, case("other"), other).headers["location"]
        decision = {"decision": "exclude", "exclude": ["images/2"], "reason": "misfiled"}
        headers = {"Idempotency-Key": "d", "If-Match": "*"}
        assert ward.api.post(f"{where}/reconciliations", json=decision, headers=headers).status_code == 202
        ward.work()
        assert ward.api.post(f"/v1/cases/{case_id}/results", headers={"Idempotency-Key": "a"}).status_code == 200
        post(ward.api, case("held"), [("image", film(4, patient="p-2"))])
        for reference in ("failed", "failed-once"):
            post(ward.api, case(reference))
        once = [bury(ward, reference) for reference in ("failed", "failed-once")][-1]
        assert retry(ward.database, once) == [once]
        corrected = post(ward.api, case("corrected")).json()["id"]
        assert add(ward.api, corrected, {"note": NOTE}).status_code == 202
        mended = NOTE | {"status": "corrected", "text": "No effusion."}
        assert add(ward.api, corrected, {"note": mended}).status_code == 202
        assert post(ward.api, case("corrected")).json()["id"] == corrected
        ward.work()
        Samples(ward.database).new("ann", Wanted("random", 2, 7), Filters())
        yield ward


NOTE = {"id": "N-1", "text": "Effusion.", "status": "final", "acquired_at": "2026-01-17T08:00:00Z"}


def bury(ward: Ward, reference: str) -> str:
    """Gives up the diagnosis of a case; the id of the job."""
    of_case = sa.select(CaseRow.id).where(CaseRow.reference == reference)
    with ward.database.write() as session:
        job_id = session.scalars(sa.select(JobRow.id).where(JobRow.subject.in_(of_case))).one()
        assert state.bury(session, job_id, "attempts_exhausted")
    return job_id


def evidence(ward: Ward, *, deep: bool = False) -> Evidence:
    blobs = ward.worker.blobs
    return Evidence(ward.database, blobs, Bond(read_secret(blobs.root.parent)), deep=deep)


def told(ward: Ward, **how: bool) -> set[str]:
    return {str(one) for one in evidence(ward, **how).findings()}


def rows(database: Database, kind: str) -> list[dict[str, Any]]:
    """As they lie, in a settled order."""
    table = KINDS[kind].table
    with database.read() as session, lying(session):
        found = session.execute(sa.select(*columns(table)).order_by(*table.primary_key.columns)).mappings()
        return [plain(table, row) for row in found]


@contextmanager
def unguarded(database: Database) -> Iterator[sa.Connection]:
    """As who owns the database, whom no key and no trigger stops."""
    with database.engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        yield connection
        connection.commit()
        reset = "PRAGMA foreign_keys=ON" if database.is_sqlite else "SET session_replication_role = DEFAULT"
        connection.exec_driver_sql(reset)
        connection.commit()


@contextmanager
def changed(database: Database, place: Place, bit: int) -> Iterator[str]:
    """With one bit of a stored value turned; the name that its row had."""
    kind, column, number = place
    table = KINDS[kind].table
    row = rows(database, kind)[number]
    one = named(kind, row)
    values = [row[name.name] for name in table.primary_key.columns]
    key = " AND ".join(f'"{name.name}" = :k{at}' for at, name in enumerate(table.primary_key.columns))
    keys = {f"k{at}": value for at, value in enumerate(values)}
    with unguarded(database) as connection:
        before = read(connection, table, column, key, keys)
        after = turned(table.columns[column].type, before, bit, whole=database.is_sqlite)
        at = write(connection, table, column, key, keys, after)
    yield f"{one.case_id}/{one.name}".lstrip("/")
    with unguarded(database) as connection:
        write(connection, table, column, f"{ADDRESS[database.is_sqlite]} = :at", {"at": at}, before)


ADDRESS = {True: "rowid", False: "CAST(ctid AS text)"}


def read(connection: sa.Connection, table: sa.Table, column: str, key: str, keys: dict[str, Any]) -> Any:
    """A JSON document as its text; on SQLite all text as its bytes."""
    told = f'"{column}"'
    if connection.dialect.name == "sqlite":
        told = f"CASE typeof({told}) WHEN 'text' THEN CAST({told} AS BLOB) ELSE {told} END"
    elif isinstance(table.columns[column].type, sa.JSON):
        told = f"CAST({told} AS text)"
    return connection.execute(sa.text(f"SELECT {told} FROM {table.name} WHERE {key}"), keys).scalar_one()


def write(connection: sa.Connection, table: sa.Table, column: str, key: str, keys: dict[str, Any], value: Any) -> Any:
    """Where the row is then."""
    sqlite, kind = connection.dialect.name == "sqlite", table.columns[column].type
    text = sqlite and isinstance(value, bytes) and not isinstance(kind, sa.LargeBinary)
    told = "CAST(:v AS text)" if text else ":v" if sqlite else f"CAST(:v AS {kind.compile(connection.dialect)})"
    address = ADDRESS[sqlite]
    statement = sa.text(f'UPDATE {table.name} SET "{column}" = {told} WHERE {key} RETURNING {address}')
    return connection.execute(statement, keys | {"v": value}).scalar_one()


def turned(kind: Any, value: Any, bit: int, *, whole: bool) -> Any:
    """The value with one bit turned; one that PostgreSQL takes for a value of its type, if not any on the `whole`."""
    if value is None:
        return START if isinstance(kind, sa.types.TypeDecorator) and not whole else b"1" if whole else "1"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ 1 << 6 + bit % 8  # not one of the lowest: another row may have that number
    if isinstance(value, float):
        return struct.unpack(
            "<d", (int.from_bytes(struct.pack("<d", value), "little") ^ 1 << bit % 52).to_bytes(8, "little")
        )[0]
    if isinstance(value, bytes | memoryview):
        data = bytearray(value) or bytearray(b"0")
        data[bit // 8 % len(data)] ^= 1 << bit % 8
        return bytes(data)
    if isinstance(value, str):
        return letter_changed(value, bit, quoted=isinstance(kind, sa.JSON))
    return value + timedelta(microseconds=1)


def letter_changed(text: str, number: int, *, quoted: bool) -> str:
    """With another letter or digit in one place, within quotes if a document must stay one."""
    inside = [i for i, letter in enumerate(text) if letter.isalnum() and (not quoted or text[:i].count('"') % 2)]
    if not inside:
        return text + "0" if not quoted else '{"a": 0}'
    at = inside[number % len(inside)]
    return text[:at] + ("b" if text[at] == "a" else "a") + text[at + 1 :]


def places(database: Database) -> list[Place]:
    """Every column of every table that is evidence, of every row."""
    return [
        (kind, column.name, number)
        for kind, one in KINDS.items()
        for number in range(len(rows(database, kind)))
        for column in one.table.columns
        if column.name != WORKING.get(one.table.name)
    ]


def test_nothing_is_found_where_nothing_was_done(ward: Ward) -> None:
    seen = evidence(ward, deep=True)
    assert list(seen.findings()) == []
    assert seen.bond.unbound == 0
    assert seen.bond.bound == sum(len(rows(ward.database, kind)) for kind in KINDS)
    assert all(rows(ward.database, kind) for kind in KINDS)


def test_one_changed_value_in_any_column_of_any_table_is_named(ward: Ward) -> None:
    seen = set[tuple[str, str]]()
    for place in places(ward.database):
        if place[:2] in seen:
            continue
        seen.add(place[:2])
        with changed(ward.database, place, bit=8 * len(seen)) as name:
            found = told(ward)
        assert any(name in line.split("\t")[1] for line in found), (place, name, found)
    assert told(ward) == set()


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_turned_bit_of_any_stored_value_is_named(ward: Ward, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(places(ward.database)))
    try:
        with changed(ward.database, place, data.draw(st.integers(0, 40_000))) as name:
            found = told(ward)
    except sa.exc.IntegrityError:
        reject()  # another row has that key: the database does not take it
    assert any(name in line.split("\t")[1] for line in found), found
    assert told(ward) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_was_taken_out_and_one_that_was_put_in_are_named(ward: Ward, kind: str) -> None:
    table, row = KINDS[kind].table, rows(ward.database, kind)[0]
    one = named(kind, row)
    name = f"{one.case_id}/{one.name}".lstrip("/")
    key = sa.and_(*(table.columns[column.name] == row[column.name] for column in table.primary_key.columns))
    last = list(table.primary_key.columns)[-1]
    with unguarded(ward.database) as connection:
        before = dict(connection.execute(sa.select(table).where(key)).mappings().one())
        connection.execute(sa.delete(table).where(key))
    gone = told(ward)
    with unguarded(ward.database) as connection:
        connection.execute(sa.insert(table).values(before))
    assert any(line.startswith(("row_missing", "row_changed")) and name in line for line in gone), gone
    other = before | {last.name: 77 if isinstance(before[last.name], int) else "other"}
    other |= OTHERS.get(kind, {})
    with unguarded(ward.database) as connection:
        connection.execute(sa.insert(table).values(other))
    extra = told(ward)
    with unguarded(ward.database) as connection:
        connection.execute(sa.delete(table).where(table.columns[last.name] == other[last.name]))
    assert any(line.startswith(("row_unknown", "row_changed")) for line in extra), extra
    assert told(ward) == set()


def test_a_job_that_no_event_brought_to_its_state_is_named(ward: Ward) -> None:
    jobs = rows(ward.database, "jobs")
    assert {job["state"] for job in jobs} == {"done", "dead"}
    for job in jobs:
        for other in {"queued", "done", "dead"} - {job["state"]}:
            found = with_columns(ward, JobRow.id == job["id"], state=other)
            assert found == {f"row_changed\t{job['subject'][:36]}/jobs/{job['id']}"}
    assert told(ward) == set()


def with_columns(ward: Ward, job: sa.ColumnElement[bool], **values: str) -> set[str]:
    """What is told while a job has these values."""
    table = JobRow.__table__
    with ward.database.write() as session:
        before = session.execute(sa.select(*(table.c[name] for name in values)).where(job)).mappings().one()
        session.execute(sa.update(table).where(job).values(values))
    found = told(ward)
    with ward.database.write() as session:
        session.execute(sa.update(table).where(job).values(dict(before)))
    return found


OTHERS: dict[str, dict[str, Any]] = {
    "case": {"id": "0" * 36, "created_hash": "0" * 64},
    "results": {"version": 77, "inputs_hash": "0" * 64},
    "points": {"result_id": "other"},
    "samples": {"id": "other"},
}
START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_report_that_took_anothers_place_is_named(ward: Ward) -> None:
    first, second = rows(ward.database, "reports")[:2]
    with unguarded(ward.database) as connection:
        exchange(connection, first["result_id"], second["record_sha256"])
    found = told(ward, deep=True)
    with unguarded(ward.database) as connection:
        exchange(connection, first["result_id"], first["record_sha256"])
    assert found == {f"row_changed\t{named('reports', first).case_id}/{named('reports', first).name}"}


def exchange(connection: sa.Connection, result_id: str, record: str) -> None:
    connection.execute(sa.update(ReportRow).where(ReportRow.result_id == result_id).values(record_sha256=record))


def test_one_turned_bit_of_any_file_is_named_with_what_it_is_of(ward: Ward) -> None:
    blobs = ward.worker.blobs
    names = [name for some in blobs.names() for name in some]
    assert len(names) == 4 + 2 * len(rows(ward.database, "reports"))
    for number, name in enumerate(sorted(names)):
        path = blobs.path(name)
        whole = path.read_bytes()
        place = number * 977 % len(whole)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << number % 8]) + whole[place + 1 :])
        [found] = told(ward, deep=True)
        assert found.startswith(f"file_damaged\t{name}\t")
        path.unlink()
        [found] = told(ward)
        assert found.startswith(f"file_missing\t{name}\t")
        path.write_bytes(whole)


def test_aud_07_the_event_of_a_result_binds_all_that_it_hangs_on(ward: Ward) -> None:
    with ward.database.read() as session:
        event = session.scalars(sa.select(EventRow).where(EventRow.action == "result.stored")).first()
        assert event is not None
        result = session.get_one(ResultRow, event.object_id)
        report = session.get_one(ReportRow, event.object_id)
    record = parsed(ward.worker.blobs.read(report.record_sha256))
    assert event.facts["inputs_hash"] == result.inputs_hash
    assert event.facts["model"] == record["model"]["digest"]
    assert event.facts["config_sha256"] == record["model"]["config_sha256"]
    assert event.facts["code"] == {name: record["generator"][name] for name in ("clinimm", "code_sha256")}
    assert event.facts["settings"] == record["settings"]
    assert event.facts["record_sha256"] == digest(result.record)


def test_command_names_what_was_done_to_rows_and_files(ward: Ward) -> None:
    data = ward.worker.blobs.root.parent
    Notary(ward.database, Signer(data / "heads")).close()
    asked = ["audit", "verify", "--data", str(data), "--database-url", ward.database.url]
    sound = CliRunner().invoke(cli, asked)
    assert sound.exit_code == 0, sound.output
    assert [line.split("\t")[0] for line in sound.output.splitlines()] == ["events", "rows"]
    with changed(ward.database, ("labs", "value", 0), 0) as name:
        found = CliRunner().invoke(cli, [*asked, "--quick"])
    assert (found.exit_code, found.output.splitlines()[0]) == (1, f"row_changed\t{name}")
    key = data / "identity.key"
    secret = key.read_bytes()
    key.unlink()
    assert isinstance(CliRunner().invoke(cli, asked).exception, ConfigError)
    assert not key.exists()
    key.write_bytes(secret)


def test_what_comes_in_while_it_is_looked_at_is_no_finding(ward: Ward) -> None:
    with ThreadPoolExecutor(1) as pool:
        posting = [pool.submit(post, ward.api, case(f"meanwhile-{number}")) for number in range(25)]
        while not all(one.done() for one in posting):
            assert told(ward) == set()
            assert verify(ward.database, [], None).findings == ()
    assert {one.result().status_code for one in posting} == {202}


@pytest.mark.parametrize(
    ("column", "value"), [("facts", b'{"a": 1'), ("facts", b"\xff"), ("time", b"noon"), ("actor", b"\xc3(")]
)
def test_an_event_that_can_no_longer_be_read_is_named(ward: Ward, column: str, value: bytes) -> None:
    if not ward.database.is_sqlite:
        pytest.skip("PostgreSQL keeps nothing that it cannot read")
    with unguarded(ward.database) as connection:
        trigger = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = 'events_no_update'"
        ).scalar_one()
        connection.exec_driver_sql("DROP TRIGGER events_no_update")
        before = connection.exec_driver_sql(f"SELECT {column} FROM events WHERE seq = 3").scalar_one()
        change = f"UPDATE events SET {column} = CAST(? AS text) WHERE seq = 3"
        connection.exec_driver_sql(change, (value,))
    found = verify(ward.database, [], None).findings
    told(ward)
    with unguarded(ward.database) as connection:
        connection.exec_driver_sql(change, (before.encode(),))
        connection.exec_driver_sql(trigger)
    assert [str(one) for one in found] == ["event_changed\t3"]


def test_a_film_that_is_known_to_be_gone_is_no_finding(ward: Ward, tmp_path: Path) -> None:
    """Last in this file, since the cases go on without it."""
    blobs = ward.worker.blobs
    [unreadable] = [row for row in rows(ward.database, "images") if row["outcome"] == "quarantined"]
    path = blobs.path(unreadable["sha256"])
    path.rename(tmp_path / "film")
    assert len(told(ward)) == 1
    fsck.repair(ward.database, blobs, fsck.check(ward.database, blobs), blobs.root.parent)
    assert told(ward) == set()
    shutil.move(tmp_path / "film", path)
    assert told(ward) == set()

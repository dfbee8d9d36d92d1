"""What a restore of database and files from different instants leaves is found, told by id, and mended."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from service_answers import content, record
from service_processes import running_api
from service_requests import case, film, post
from typer.testing import CliRunner

from clinimm.errors import ConfigError
from services import fsck
from services.blobs import Blobs
from services.cases import store
from services.cli import cli
from services.db import Database
from services.fsck import Finding
from services.jobs import state
from services.jobs.queue import Queue
from services.reports import service as reports
from services.reports.store import StoredReport
from services.results import service as results
from services.settings import Settings
from services.tables import DueRow, JobRow, ReportRow, ResultRow

CANARY = "CANARY"  # the films of the tests are of this name


@pytest.fixture
def settings(database_url: str, described_model: Path, tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, artifact=described_model, allow_unpromoted=True, database_url=database_url)


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    with running_api(settings) as client:
        yield client


@pytest.fixture
def blobs(settings: Settings) -> Blobs:
    return Blobs(settings.data / "blobs")


def posted(api: httpx.Client, name: str, *seeds: int) -> str:
    return str(post(api, case(name), [("image", film(seed)) for seed in seeds]).json()["id"])


def found(database: Database, blobs: Blobs, **how: bool) -> list[Finding]:
    return fsck.check(database, blobs, older_than=0, **how)


def mended(database: Database, blobs: Blobs, **how: bool) -> list[str]:
    """The kinds that were found, and that a repair left nothing of."""
    findings = found(database, blobs, **how)
    fsck.repair(database, blobs, findings, blobs.root.parent)
    assert found(database, blobs, **how) == []
    return [one.kind for one in findings]


def file_of(api: httpx.Client, case_id: str, image: int = 0) -> str:
    images = [part for part in api.get(f"/v1/cases/{case_id}").json()["parts"] if part["part"].startswith("images/")]
    return str(images[image]["sha256"])


def answer(database: Database, blobs: Blobs, api: httpx.Client, case_id: str) -> str:
    """Gives a case its answer and report, as a worker's transactions do; the result's id."""
    shown = api.get(f"/v1/cases/{case_id}").json()
    queue = Queue(database, limit=9)
    page = StoredReport(f"{case_id}-1", blobs.put(case_id.encode()), blobs.put(b"page of " + case_id.encode()))
    with database.write() as session:
        result_id = results.keep(session, content(shown), record(case_id), ["created"])
        assert result_id == page.result_id
        for job in session.scalars(sa.select(JobRow.id).where(JobRow.subject == case_id)):
            state.finish(session, job)
        explain = queue.enqueue(session, "explain", result_id, "d" * 64)
        reports.keep(session, page)
        state.finish(session, explain)
    queue.close()
    return result_id


def test_nothing_is_found_where_all_is_well(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    posted(api, "waiting", 1, 2)
    answer(database, blobs, api, posted(api, "answered", 2, 3))
    assert post(api, case("held"), [("image", film(4, patient="somebody else"))]).status_code == 409
    failed = posted(api, "failed", 5)
    with database.write() as session:
        state.bury(session, session.scalars(sa.select(JobRow.id).where(JobRow.subject == failed)).one(), "x")
    assert found(database, blobs, deep=True) == []


def test_case_goes_on_without_the_film_that_is_gone(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    first, second = posted(api, "a", 1, 2), posted(api, "b", 1)
    untouched = posted(api, "c", 3)
    before = api.get(f"/v1/cases/{first}").json()
    name = file_of(api, first)
    blobs.path(name).unlink()
    assert [(one.kind, one.name, set(one.of)) for one in found(database, blobs)] == [
        ("file_missing", name, {first, second})
    ]
    mended(database, blobs)
    after = api.get(f"/v1/cases/{first}").json()
    outcomes = [(part["outcome"], part["code"]) for part in after["parts"] if part["part"].startswith("images/")]
    assert outcomes == [("quarantined", "file_missing"), ("accepted", "")]
    assert (after["version"], after["state"]) == (2, "pending")
    assert after["inputs_hash"] != before["inputs_hash"]
    with database.read() as session:
        assert set(store.waiting(session)) == {first, second}
        assert store.causes(session, first, 1, 2) == ["file_missing:cxr"]
    assert api.get(f"/v1/cases/{untouched}").json()["version"] == 1
    refused = post(api, case("d", images=[{"sop_instance_uid": after["parts"][-2]["sop_instance_uid"]}]))
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_reference")


def test_film_that_comes_back_is_used_again(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    case_id = posted(api, "a", 1, 2)
    before = api.get(f"/v1/cases/{case_id}").json()
    blobs.path(file_of(api, case_id)).unlink()
    mended(database, blobs)
    assert blobs.put(film(1)) == file_of(api, case_id)
    assert mended(database, blobs) == ["file_returned"]
    after = api.get(f"/v1/cases/{case_id}").json()
    assert (after["version"], after["inputs_hash"]) == (3, before["inputs_hash"])
    assert after["parts"] == before["parts"]


def sent_again(api: httpx.Client, case_id: str, seed: int, inputs: bytes = b"{}") -> dict[str, Any]:
    parts = [
        ("inputs", (None, inputs, "application/json")),
        ("image", ("f.dcm", film(seed), "application/dicom")),
    ]
    answer = api.post(f"/v1/cases/{case_id}/inputs", files=parts, headers={"Idempotency-Key": uuid.uuid4().hex})
    assert answer.status_code in (200, 202), answer.text
    return dict(answer.json())


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")], ids=["gone", "changed"])
def test_film_sent_again_gives_the_file_back_without_a_new_version(
    damage: Callable[[Path], object], api: httpx.Client, database: Database, blobs: Blobs
) -> None:
    case_id = posted(api, "a", 1, 2)
    before = api.get(f"/v1/cases/{case_id}").json()
    damage(blobs.path(file_of(api, case_id)))
    assert sent_again(api, case_id, 1)["version"] == 1
    assert blobs.read(file_of(api, case_id)) == film(1)
    assert found(database, blobs, deep=True) == []
    assert api.get(f"/v1/cases/{case_id}").json() == before


@pytest.mark.slow
def test_film_sent_again_after_a_repair_is_used_again(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    first, second = posted(api, "a", 1, 2), posted(api, "b", 1)
    before = api.get(f"/v1/cases/{first}").json()
    blobs.path(file_of(api, first)).unlink()
    mended(database, blobs)
    told = sent_again(api, first, 1)
    after = api.get(f"/v1/cases/{first}").json()
    assert (told["version"], after["version"], after["inputs_hash"]) == (3, 3, before["inputs_hash"])
    assert after["parts"] == before["parts"]
    with database.read() as session:
        assert store.causes(session, first, 2) == ["file_returned:cxr"]
        assert store.waiting(session, [first]) == {first: 3}
    uid = after["parts"][-2]["sop_instance_uid"]
    assert post(api, case("c", images=[{"sop_instance_uid": uid}])).status_code == 202
    assert mended(database, blobs) == ["file_returned"]  # of the other case, to which nobody sent it
    assert api.get(f"/v1/cases/{second}").json()["version"] == 3


@pytest.mark.slow
def test_film_that_comes_with_more_is_told_of_first(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    case_id = posted(api, "a", 1, 2)
    blobs.path(file_of(api, case_id)).unlink()
    mended(database, blobs)
    labs = b'{"labs": [{"name": "crp", "value": 7, "unit": "mg/L", "collected_at": "2026-01-17T07:00:00Z"}]}'
    assert sent_again(api, case_id, 1, labs)["version"] == 3
    with database.read() as session:
        assert store.causes(session, case_id, 2) == ["file_returned:cxr,labs_added"]


def test_case_posted_again_has_its_film_again(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    case_id = posted(api, "a", 1, 2)
    blobs.path(file_of(api, case_id)).unlink()
    mended(database, blobs)
    assert posted(api, "a", 1, 2) == case_id
    assert api.get(f"/v1/cases/{case_id}").json()["version"] == 3
    assert found(database, blobs, deep=True) == []


@pytest.mark.slow
def test_film_that_was_lost_can_be_referred_to_once_a_new_case_brings_it(
    api: httpx.Client, database: Database, blobs: Blobs
) -> None:
    first = posted(api, "a", 1, 2)
    blobs.path(file_of(api, first)).unlink()
    mended(database, blobs)
    second = posted(api, "b", 1)
    shown = api.get(f"/v1/cases/{second}").json()
    uid = shown["parts"][-1]["sop_instance_uid"]
    assert post(api, case("c", images=[{"sop_instance_uid": uid}])).status_code == 202
    assert mended(database, blobs) == ["file_returned"]
    assert api.get(f"/v1/cases/{second}").json() == shown


def test_changed_bytes_are_found_by_reading_them(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    case_id = posted(api, "a", 1, 2)
    name = file_of(api, case_id)
    blobs.path(name).write_bytes(b"other")
    assert found(database, blobs) == []
    assert mended(database, blobs, deep=True) == ["file_damaged"]
    assert (blobs.root / "lost+found" / name).read_bytes() == b"other"
    assert api.get(f"/v1/cases/{case_id}").json()["parts"][-2]["code"] == "file_missing"


def test_lost_report_is_made_anew(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    result_id = answer(database, blobs, api, posted(api, "a", 1))
    with database.read() as session:
        blobs.path(session.get_one(ReportRow, result_id).page_sha256).unlink()
    findings = found(database, blobs)
    assert [(one.kind, one.of) for one in findings] == [("file_missing", (result_id,))]
    fsck.repair(database, blobs, findings, blobs.root.parent)
    with database.read() as session:
        assert session.get(ReportRow, result_id) is None
        [job] = session.scalars(sa.select(JobRow).where(JobRow.kind == "explain"))
        assert (job.subject, job.state) == (result_id, state.QUEUED)
    assert [one.kind for one in found(database, blobs)] == ["file_unnamed"]  # the record, which is made again


def test_work_that_nobody_would_do_is_owed_again(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    names = ("without workflow", "without job", "not owed", "done in vain")
    cases = {name: posted(api, name) for name in names}
    reported = answer(database, blobs, api, posted(api, "no report"))
    workflows = "workflow_status" if database.is_sqlite else "dbos.workflow_status"
    with database.write() as session:
        jobs = {
            name: session.scalars(sa.select(JobRow.id).where(JobRow.subject == cases[name])).one() for name in names
        }
        for name in ("without workflow", "not owed"):
            gone = sa.text(f"DELETE FROM {workflows} WHERE workflow_uuid = :id")
            session.execute(gone, {"id": jobs[name]})
        for name in ("without job", "not owed"):
            session.execute(sa.delete(JobRow).where(JobRow.id == jobs[name]))
        state.finish(session, jobs["done in vain"])
        session.execute(sa.delete(ReportRow))
        session.execute(sa.delete(JobRow).where(JobRow.subject == reported))
    assert [
        (one.kind, one.name) for one in found(database, blobs) if not one.kind.startswith(("file", "workflow"))
    ] == [
        ("job_without_workflow", jobs["without workflow"]),
        ("report_not_owed", reported),
        *(("case_not_owed", cases[name]) for name in ("without job", "not owed", "done in vain")),
    ]
    assert "workflow_without_job" in mended(database, blobs)
    with database.read() as session:
        assert {job.subject for job in state.listed(session, state.QUEUED)} == {
            cases["without workflow"],
            cases["done in vain"],
            reported,
        }
        assert set(session.scalars(sa.select(DueRow.case_id))) == {cases["without job"], cases["not owed"]}


def test_loss_of_everything_is_taken_for_a_wrong_folder(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    case_id = posted(api, "a", 1)
    blobs.path(file_of(api, case_id)).unlink()
    with pytest.raises(ConfigError, match="every file is gone"):
        fsck.repair(database, blobs, found(database, blobs), blobs.root.parent)
    assert api.get(f"/v1/cases/{case_id}").json()["version"] == 1


def test_command_tells_by_exit_code_and_by_id_alone(api: httpx.Client, settings: Settings, blobs: Blobs) -> None:
    place = ["fsck", "--data", str(settings.data), "--database-url", settings.url]
    case_id = posted(api, "a", 1, 2)
    assert CliRunner().invoke(cli, place).exit_code == 0
    blobs.path(file_of(api, case_id)).unlink()
    unnamed = blobs.put(b"unnamed")
    told = CliRunner().invoke(cli, place)
    assert (told.exit_code, told.output) == (1, f"file_missing\t{file_of(api, case_id)}\t{case_id}\n")  # one is young
    every = CliRunner().invoke(cli, [*place, "--all", "--repair"])
    assert (every.exit_code, every.output.splitlines()[1:]) == (1, [f"file_unnamed\t{unnamed}", "repaired: 2"])
    assert CANARY not in told.output + every.output
    assert CliRunner().invoke(cli, [*place, "--all", "--deep"]).exit_code == 0
    for wrong in (["--data", str(settings.data / "nowhere")], ["--database-url", "sqlite:////nowhere/x.db"]):
        assert isinstance(CliRunner().invoke(cli, [*place, *wrong]).exception, ConfigError)


def test_result_row_is_left_alone(api: httpx.Client, database: Database, blobs: Blobs) -> None:
    result_id = answer(database, blobs, api, posted(api, "a", 1, 2))
    blobs.path(file_of(api, result_id[:36])).unlink()
    mended(database, blobs)
    with database.read() as session:
        assert session.scalars(sa.select(ResultRow.id)).all() == [result_id]

"""Results and reports: one for each set of inputs and model, found by their flags, given out as they were kept."""

import contextlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from service_answers import content, record
from service_processes import running_api
from service_requests import case, post
from sqlalchemy.exc import IntegrityError

from clinimm.types import Abstention, Status
from services.blobs import Blobs
from services.db import Database
from services.jobs import state
from services.reports import service as reports
from services.reports.store import StoredReport
from services.results import service as results
from services.settings import Settings
from services.tables import EventRow, FlagRow, JobRow, ResultRow


def answered(database: Database, api: httpx.Client, reference: str, **facts: Any) -> tuple[str, str]:
    """(case id, result id) of a posted case that is given an answer, as a worker's transaction does."""
    shown = post(api, case(reference)).json()
    with database.write() as session:
        result_id = results.keep(session, content(shown), record(shown["id"], **facts), ["created"])
        job = session.scalars(sa.select(JobRow).where(JobRow.subject == shown["id"])).one()
        state.finish(session, job.id)
    assert result_id is not None
    return shown["id"], result_id


def test_second_answer_to_the_same_inputs_by_the_same_model_is_not_kept(
    either_api: httpx.Client, database: Database
) -> None:
    case_id, _ = answered(database, either_api, "a")
    shown = either_api.get(f"/v1/cases/{case_id}").json()
    with database.write() as session:
        assert results.keep(session, content(shown), record(case_id), []) is None
        assert session.scalar(sa.select(sa.func.count()).select_from(ResultRow)) == 1
    with pytest.raises(IntegrityError):
        add_copy(database)


def add_copy(database: Database) -> None:
    """The one result once more, under another id and version."""
    with database.write() as session:
        row = session.scalars(sa.select(ResultRow)).one()
        copy = {column.key: getattr(row, column.key) for column in sa.inspect(ResultRow).columns}
        session.add(ResultRow(**copy | {"id": "another", "version": 2}))


def test_another_model_gives_the_next_version(either_api: httpx.Client, database: Database) -> None:
    case_id, _ = answered(database, either_api, "a")
    shown = either_api.get(f"/v1/cases/{case_id}").json()
    with database.write() as session:
        results.keep(session, content(shown), record(case_id) | {"artifact": "e" * 64}, [])
    found = either_api.get(f"/v1/cases/{case_id}/results").json()["results"]
    assert [(result["version"], result["model"][0]) for result in found] == [(2, "e"), (1, "d")]
    assert [(result["cause"], result["status"]) for result in found] == [
        ("model_changed", "current"),
        ("created", "superseded"),
    ]
    assert (found[0]["supersedes"], found[1]["superseded_by"]) == (1, 2)
    assert either_api.get(f"/v1/cases/{case_id}/results/1").json() == found[1]


def test_result_undone_leaves_neither_flags_nor_event(either_api: httpx.Client, database: Database) -> None:
    shown = post(either_api, case()).json()
    with contextlib.suppress(RuntimeError), database.write() as session:
        results.keep(session, content(shown), record(shown["id"]), ["created"])
        raise RuntimeError
    with database.read() as session:
        assert session.scalars(sa.select(FlagRow)).all() == []
        assert session.scalars(sa.select(EventRow.action)).all() == ["case.created"]


def test_result_is_told_with_weights_states_flags_and_links(api: httpx.Client, settings: Settings) -> None:
    case_id, result_id = answered(Database(settings.url), api, "a")
    answer = api.get(f"/v1/cases/{case_id}/results")
    [found] = answer.json()["results"]
    assert (answer.json()["state"], found["id"]) == ("done", result_id)
    assert found["targets"][0]["probability"] == 0.81
    assert found["weights"] == {"cxr": 1.0, "labs": 0.0}
    absent = {"status": "absent", "reason": "not_provided", "detail": "", "flags": [], "quality": {}, "outlier": None}
    assert found["inputs"]["labs"] == absent
    assert found["inputs"]["cxr"]["quality"] == {"sharpness": 0.4}
    assert (found["missing"], found["flags"]) == (["labs"], ["missing:labs"])
    assert api.get(found["links"]["self"]).json() == found


def test_abstained_target_is_null_and_can_be_found(api: httpx.Client, settings: Settings) -> None:
    case_id, _ = answered(Database(settings.url), api, "a", abstained=Abstention.NO_USABLE_INPUT)
    target = api.get(f"/v1/cases/{case_id}/results").json()["results"][0]["targets"][0]
    assert (target["probability"], target["decision"], target["abstained"]) == (None, None, "no_usable_input")
    found = api.get("/v1/cases", params={"flag": "abstained:no_usable_input"}).json()["cases"]
    assert [line["id"] for line in found] == [case_id]


def test_pending_case_says_so_and_when_to_ask_again(api: httpx.Client) -> None:
    case_id = post(api, case()).json()["id"]
    answer = api.get(f"/v1/cases/{case_id}/results")
    assert (answer.json()["state"], answer.json()["results"]) == ("pending", [])
    assert answer.headers["retry-after"] == "1"
    report = api.get(f"/v1/cases/{case_id}/report")
    assert (report.status_code, report.json()["code"]) == (409, "report_pending")
    assert int(report.headers["retry-after"]) > 0


def test_failed_case_says_why(api: httpx.Client, settings: Settings) -> None:
    case_id = post(api, case()).json()["id"]
    with Database(settings.url).write() as session:
        job = session.scalars(sa.select(JobRow)).one()
        state.bury(session, job.id, "attempts_exhausted")
    found = api.get(f"/v1/cases/{case_id}/results").json()
    assert (found["state"], found["reason"]) == ("failed", "attempts_exhausted")
    assert api.get(f"/v1/cases/{case_id}/report").json()["code"] == "report_failed"


def test_attempts_are_counted_and_bounded(either_api: httpx.Client, database: Database) -> None:
    post(either_api, case())
    with database.write() as session:
        job_id = session.scalars(sa.select(JobRow.id)).one()
        begun = [state.begin(session, job_id) for _ in range(6)]
    assert begun == [True] * state.MAX_ATTEMPTS + [False] * (6 - state.MAX_ATTEMPTS)


def test_unchanged_document_is_not_sent_twice(api: httpx.Client, settings: Settings) -> None:
    case_id, _ = answered(Database(settings.url), api, "a")
    for path in (f"/v1/cases/{case_id}", f"/v1/cases/{case_id}/results", "/v1/models", "/v1/cases"):
        first = api.get(path)
        again = api.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert api.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_lists_page_stably_while_cases_arrive(either_api: httpx.Client) -> None:
    sent = [post(either_api, case(f"r{i}")).json()["id"] for i in range(5)]
    first = either_api.get("/v1/cases", params={"limit": 2})
    post(either_api, case("late"))
    second = either_api.get("/v1/cases", params={"limit": 2, "cursor": first.json()["next"]}).json()
    third = either_api.get("/v1/cases", params={"limit": 2, "cursor": second["next"]}).json()
    pages = [first.json(), second, third]
    assert [line["id"] for page in pages for line in page["cases"]] == sent[::-1]
    assert third["next"] is None
    assert either_api.get(first.links["next"]["url"]).json() == second


def test_flag_finds_the_cases_that_have_it(either_api: httpx.Client, database: Database) -> None:
    with_labs, _ = answered(database, either_api, "a", labs=Status.PRESENT)
    without = [answered(database, either_api, name)[0] for name in ("b", "c")]
    page = either_api.get("/v1/cases", params={"flag": "missing:labs", "limit": 1})
    rest = either_api.get("/v1/cases", params={"flag": "missing:labs", "cursor": page.json()["next"]}).json()
    found = [*page.json()["cases"], *rest["cases"]]
    assert [line["id"] for line in found] == without[::-1]
    assert with_labs not in {line["id"] for line in found}
    assert {tuple(line["flags"]) for line in found} == {("missing:labs",)}
    assert "flag=missing%3Alabs" in page.links["next"]["url"]


@pytest.fixture
def reported(settings: Settings) -> tuple[Settings, Blobs]:
    return settings, Blobs(settings.data / "blobs")


def test_report_is_given_as_asked_under_a_policy_that_runs_nothing(reported: tuple[Settings, Blobs]) -> None:
    settings, blobs = reported
    database = Database(settings.url)
    with running_api(settings) as api:
        case_id, result_id = answered(database, api, "a")
        kept = StoredReport(result_id, blobs.put(json.dumps({"note": "<script>"}).encode()), blobs.put(b"<p>page</p>"))
        for _ in range(2):
            with database.write() as session:
                reports.keep(session, kept)
        path = f"/v1/cases/{case_id}/report"
        assert api.get(path).json() == {"note": "<script>"}
        browser = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
        for page in (api.get(path, headers=browser), api.get(path, params={"format": "html"})):
            assert (page.text, page.headers["content-type"]) == ("<p>page</p>", "text/html; charset=utf-8")
            assert page.headers["content-security-policy"].startswith("default-src 'none'; img-src data:;")
            assert page.headers["x-content-type-options"] == "nosniff"
            assert page.headers["cache-control"] == "no-store"
        assert api.get(path, headers={"Accept": "image/png"}).status_code == 406
    database.close()


def test_report_that_was_tampered_with_is_not_given(reported: tuple[Settings, Blobs]) -> None:
    settings, blobs = reported
    database = Database(settings.url)
    with running_api(settings) as api:
        case_id, result_id = answered(database, api, "a")
        kept = StoredReport(result_id, blobs.put(b"{}"), blobs.put(b"<p>page</p>"))
        with database.write() as session:
            reports.keep(session, kept)
        Path(blobs.path(kept.page_sha256)).write_bytes(b"<p>forged</p>")
        answer = api.get(f"/v1/cases/{case_id}/report", params={"format": "html"})
    database.close()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "forged" not in answer.text


@pytest.mark.slow
def test_report_on_paper_is_drawn_from_the_kept_record_each_time_the_same(reported: tuple[Settings, Blobs]) -> None:
    settings, blobs = reported
    database = Database(settings.url)
    old = json.loads((Path(__file__).parents[1] / "golden" / "report-1.json").read_text(encoding="utf-8"))
    with running_api(settings) as api:
        case_id, result_id = answered(database, api, "a")
        with database.write() as session:
            kept = StoredReport(result_id, blobs.put(json.dumps(old).encode()), blobs.put(b"<p>page</p>"))
            reports.keep(session, kept)
        path = f"/v1/cases/{case_id}/report"
        paper = api.get(path, headers={"Accept": "application/pdf"}, timeout=120)
        if paper.status_code == 503:
            assert paper.json()["code"] == "pdf_unavailable"
            pytest.skip(paper.json()["detail"])
        assert paper.headers["content-type"] == "application/pdf"
        assert paper.content.startswith(b"%PDF-")
        again = {"If-None-Match": paper.headers["etag"]}
        assert api.get(path, params={"format": "pdf"}, headers=again, timeout=120).status_code == 304
    database.close()


def test_record_that_cannot_be_drawn_on_paper_is_said_to_be_so_and_not_quoted(reported: tuple[Settings, Blobs]) -> None:
    settings, blobs = reported
    database = Database(settings.url)
    with running_api(settings) as api:
        case_id, result_id = answered(database, api, "a")
        with database.write() as session:
            reports.keep(session, StoredReport(result_id, blobs.put(b'{"note": "CANARY"}'), blobs.put(b"<p>page</p>")))
        answer = api.get(f"/v1/cases/{case_id}/report", params={"format": "pdf"}, timeout=120)
    database.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "pdf_unavailable")
    assert "CANARY" not in answer.text


def test_schema_of_records_is_published(either_api: httpx.Client) -> None:
    answer = either_api.get("/v1/report-schema")
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json()["$id"] == "urn:clinimm:report:2"
    assert either_api.get("/v1/report-schema", headers={"Accept": "text/html"}).status_code == 406

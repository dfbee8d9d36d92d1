"""Posting cases: each is taken whole, once, and durably owed its diagnosis."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from service_processes import running_api
from service_requests import case, film, post, request_of

from services.blobs import Blobs
from services.db import Database
from services.http.multipart import BATCH
from services.jobs import state
from services.settings import Settings
from services.tables import CaseRow, EventRow, ImageRow, JobRow, LabRow


def outcomes(answer: httpx.Response) -> dict[str, tuple[str, str]]:
    return {part["part"]: (part["outcome"], part["code"]) for part in answer.json()["parts"]}


def test_case_is_accepted_with_location_etag_and_an_outcome_for_every_part(either_api: httpx.Client) -> None:
    answer = post(either_api, case(), [("image", film())])
    assert answer.status_code == 202
    assert answer.headers["location"].startswith(f"/v1/jobs/diagnose:{answer.json()['id']}:1:")
    assert answer.headers["content-location"] == f"/v1/cases/{answer.json()['id']}"
    assert answer.headers["etag"].startswith('"')
    assert answer.headers["cache-control"] == "no-store"
    assert outcomes(answer) == dict.fromkeys(["notes/0", "labs/0", "labs/1", "images/0"], ("accepted", ""))
    again = either_api.get(answer.headers["content-location"])
    assert again.json() == answer.json()
    assert again.headers["etag"] == answer.headers["etag"]


def test_rows_files_job_and_event_are_there_when_it_is_acknowledged(
    either_api: httpx.Client, database: Database, tmp_path: Path
) -> None:
    answer = post(either_api, case(), [("image", film())])
    with database.read() as session:
        row = session.scalars(sa.select(CaseRow)).one()
        image = session.scalars(sa.select(ImageRow)).one()
        labs = session.scalars(sa.select(LabRow).order_by(LabRow.position)).all()
        job = session.scalars(sa.select(JobRow)).one()
        event = session.scalars(sa.select(EventRow)).one()
    assert row.id == answer.json()["id"]
    assert Blobs(tmp_path / "blobs").read(str(image.sha256)) == film()
    assert [(lab.name, lab.value) for lab in labs] == [("crp", "84.5"), ("wbc", "14.25")]
    assert (job.subject, job.state) == (row.id, state.QUEUED)
    assert (event.action, event.object_id, event.actor) == ("case.created", row.id, "local")
    assert not list((tmp_path / "blobs" / "incoming").iterdir())


def test_number_is_kept_digit_by_digit(api: httpx.Client, settings: Settings) -> None:
    body = b'{"patient":{"id":"p"},"labs":[{"name":"crp","value":1.10,"unit":"mg/L"}]}'
    assert post(api, body).status_code == 202
    with Database(settings.url).read() as session:
        assert session.scalars(sa.select(LabRow.value)).one() == "1.10"


def test_same_key_and_content_gets_the_first_answer_again(either_api: httpx.Client) -> None:
    first = post(either_api, case(), [("image", film())], key="k-1")
    again = post(either_api, case(), [("image", film())], key="k-1")
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["etag"] == first.headers["etag"]


def test_same_key_with_other_content_is_refused(either_api: httpx.Client) -> None:
    post(either_api, case(), key="k-1")
    answer = post(either_api, case("another"), key="k-1")
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")


def test_same_content_under_another_key_is_the_same_case(either_api: httpx.Client, database: Database) -> None:
    first = post(either_api, case(), [("image", film(1)), ("image", film(2))])
    again = post(either_api, case(), [("image", film(2)), ("image", film(1))])
    assert again.json()["id"] == first.json()["id"]
    assert {outcome for outcome, _ in outcomes(again).values()} == {"already_stored"}
    assert (again.json()["version"], again.status_code) == (1, 202)
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(JobRow)) == 1


def test_film_that_is_known_is_told_as_stored_and_kept_once(api: httpx.Client, settings: Settings) -> None:
    post(api, case("a"), [("image", film(1))])
    answer = post(api, case("b"), [("image", film(1)), ("image", film(2)), ("image", film(2))])
    images = [(part["part"], part["outcome"]) for part in answer.json()["parts"] if part["part"].startswith("images")]
    assert images == [("images/0", "already_stored"), ("images/1", "accepted"), ("images/1", "already_stored")]
    kept = [path for path in (settings.data / "blobs").glob("??/*") if path.is_file()]
    assert len(kept) == 2


def test_bad_part_hides_no_good_one(api: httpx.Client) -> None:
    labs = [
        {"name": "crp", "value": 12},
        {"name": "wbc", "value": 9, "unit": "mg/L"},
        {"name": "ferritin", "value": 9, "unit": "ug/L"},
        {"name": "potassium", "value": 45, "unit": "mmol/L"},
        {"name": "ldh", "value": 200, "unit": "U/L", "collected_at": "2026-01-17T10:00:01Z"},
        {"name": "creatinine", "value": 80, "unit": "umol/L", "collected_at": "2026-01-16T10:00:00Z"},
        {"name": "creatinine", "value": 90, "unit": "umol/L", "collected_at": "2026-01-17T09:00:00Z"},
    ]
    images = [("image:nope", film(1)), ("image", b"GIF89a" * 60), ("image:cxr", film(2))]
    assert outcomes(post(api, case(note={"text": " \n"}, labs=labs), images)) == {
        "notes/0": ("quarantined", "note_empty"),
        "labs/0": ("quarantined", "unit_missing"),
        "labs/1": ("quarantined", "unit_incompatible"),
        "labs/2": ("accepted", "unused_input"),
        "labs/3": ("quarantined", "implausible_lab"),
        "labs/4": ("quarantined", "after_index_time"),
        "labs/5": ("superseded", "superseded"),
        "labs/6": ("accepted", ""),
        "images/0": ("rejected", "unknown_modality"),
        "images/1": ("rejected", "not_dicom"),
        "images/2": ("accepted", ""),
    }


def test_preamble_is_nulled_and_both_hashes_are_told(api: httpx.Client, settings: Settings) -> None:
    hostile = film(preamble=b"MZ".ljust(128, b"x"))
    part = post(api, case(), [("image", hostile)]).json()["parts"][-1]
    assert part["sha256"] != part["original_sha256"]
    assert Blobs(settings.data / "blobs").read(part["sha256"]) == film()


def test_key_is_needed(api: httpx.Client) -> None:
    for key in (None, "with space"):
        answer = post(api, case(), key=key)
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")


def test_many_clients_with_one_study_end_with_one_case(either_api: httpx.Client, database: Database) -> None:
    images = [("image", film(seed)) for seed in range(3)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda i: post(either_api, case(), images, key=f"client-{i}"), range(12)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    with database.read() as session:
        counts = [session.scalar(sa.select(sa.func.count()).select_from(t)) for t in (CaseRow, JobRow, ImageRow)]
    assert counts == [1, 1, 3]


def test_full_queue_is_told_with_retry_after(settings: Settings) -> None:
    with running_api(settings.model_copy(update={"queue_limit": 1})) as api:
        assert post(api, case("a"), key="k").status_code == 202
        answer = post(api, case("b"))
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
        assert int(answer.headers["retry-after"]) > 0
        assert post(api, case("a"), key="k").status_code == 202


def test_key_is_remembered_by_the_next_process(settings: Settings) -> None:
    answers = []
    for _ in range(2):
        with running_api(settings) as api:
            answers.append(post(api, case(), [("image", film())], key="k"))
    assert answers[0].content == answers[1].content


def test_client_that_hangs_up_leaves_nothing(api: httpx.Client, settings: Settings) -> None:
    request = request_of(api, case(), [("image", film(size=1000))])
    head = f"POST /v1/cases HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: {len(request.read())}\r\n"
    head += f"Content-Type: {request.headers['content-type']}\r\n\r\n"
    with socket.create_connection((api.base_url.host, api.base_url.port)) as connection:
        connection.sendall(head.encode() + request.read()[: BATCH + 100_000])
        incoming = settings.data / "blobs" / "incoming"
        _until(lambda: any(incoming.iterdir()))
    _until(lambda: not any(incoming.iterdir()))
    assert api.get("/v1/cases").json()["cases"] == []


def _until(reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_aborted_upload_leaves_nothing(api: httpx.Client, settings: Settings, cut: float) -> None:
    body = api.build_request("POST", "/v1/cases", files=[("case", (None, b"{}")), ("image", ("f", film(size=300)))])
    content = body.read()
    headers = {"Content-Type": body.headers["content-type"], "Idempotency-Key": "k"}
    answer = api.post("/v1/cases", content=content[: int(len(content) * cut)], headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_multipart")
    assert not [path for path in (settings.data / "blobs").rglob("*") if path.is_file()]

"""Errors: the right status, every fault listed, nothing that was sent told back."""

import errno
import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_processes import new_database, running_api
from service_requests import case, film, post
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from services.app.problems import as_service_error
from services.settings import Settings

CANARY = "CANARY-7f3a"


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "trace_id", "issues"} <= set(problem)
    assert problem["status"] == status
    assert problem["trace_id"] == answer.headers["x-request-id"]
    assert CANARY not in answer.text
    return dict(problem)


def test_every_fault_of_a_case_is_listed_and_none_echoed(door: httpx.Client) -> None:
    broken = {
        CANARY: {CANARY: 1},
        "patient": {"id": 5, CANARY: CANARY},
        "index_time": "2026-01-17T10:00:00",
        "note": {"text": [CANARY], "acquired_at": CANARY},
        "labs": [{"name": "crp", "value": CANARY, "unti": "mg/L"}, {"name": CANARY, "value": True}, {"value": 1}],
    }
    problem = check_problem(post(door, broken), 422, "bad_case")
    assert {(issue["pointer"], issue["code"]) for issue in problem["issues"]} == {
        ("", "extra_forbidden"),
        ("/patient", "extra_forbidden"),
        ("/patient/id", "string_type"),
        ("/index_time", "not_a_time"),
        ("/note/text", "string_type"),
        ("/note/acquired_at", "not_a_time"),
        ("/labs/0/value", "not_a_number"),
        ("/labs/0", "extra_forbidden"),
        ("/labs/1/value", "not_a_number"),
    }


@pytest.mark.parametrize("word", ["NaN", "Infinity", "1e400", '"12"', "true", "null", "[1]"])
def test_value_that_is_no_number_is_refused(door: httpx.Client, word: str) -> None:
    body = f'{{"patient":{{"id":"p"}},"labs":[{{"name":"crp","value":{word},"unit":"mg/L"}}]}}'
    assert post(door, body.encode()).status_code == 422


def test_text_that_no_database_keeps_is_refused(door: httpx.Client) -> None:
    body = rb'{"patient":{"id":"p"},"note":{"text":"a\u0000b \ud800"}}'
    problem = check_problem(post(door, body), 422, "bad_json_values")
    assert {issue["code"] for issue in problem["issues"]} == {"nul_character", "lone_surrogate"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", f"/v1/cases/{CANARY}", 404, "case_not_found"),
        ("GET", "/v1/cases/00000000-0000-0000-0000-000000000000", 404, "case_not_found"),
        ("GET", "/v1/cases/00000000-0000-0000-0000-000000000000/results", 404, "case_not_found"),
        ("GET", "/v1/cases/00000000-0000-0000-0000-000000000000/report", 404, "case_not_found"),
        ("GET", "/v1/cases/%00/results", 404, "case_not_found"),
        ("GET", "/v1/cases/00000000-0000-0000-0000-000000000000/results/0", 404, "result_not_found"),
        ("GET", f"/v1/cases?limit={CANARY}", 422, "bad_parameters"),
        ("GET", "/v1/cases?limit=0", 422, "bad_parameters"),
        ("GET", "/v1/cases?limit=201", 422, "bad_parameters"),
        ("GET", "/v1/cases?flag=%20", 422, "bad_parameters"),
        ("GET", f"/v1/jobs/{CANARY}", 404, "job_not_found"),
        ("GET", f"/v1/cases?cursor={CANARY}", 422, "bad_cursor"),
        ("GET", "/v1/cases/00000000-0000-0000-0000-000000000000/report?format=docx", 422, "bad_parameters"),
        ("DELETE", "/v1/cases", 405, "method_not_allowed"),
    ],
)
def test_status_of_a_wrong_request(door: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    check_problem(door.request(method, path), status, code)


def test_every_method_of_a_path_is_allowed_by_name(door: httpx.Client) -> None:
    assert door.put("/v1/cases").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert door.get("/v1/cases/x/inputs").headers["allow"] == "OPTIONS, POST"
    assert door.get("/v1/cases/x/modalities/cxr").headers["allow"] == "OPTIONS, PUT"
    assert door.post("/v1/capabilities").headers["allow"] == "GET, HEAD, OPTIONS"
    for path in ("/v1/cases", "/v1/cases/x/modalities/cxr"):
        options = door.options(path)
        assert (options.status_code, options.content) == (204, b"")
        assert options.headers["allow"] == door.delete(path).headers["allow"]


def test_head_is_get_without_its_body(door: httpx.Client) -> None:
    for path in ("/v1/cases", "/v1/capabilities", "/v1/nope", "/healthz"):
        got, head = door.get(path), door.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert {**head.headers, "x-request-id": "", "date": ""} == {**got.headers, "x-request-id": "", "date": ""}


def test_answer_that_cannot_be_had_is_406(door: httpx.Client) -> None:
    for path in ("/v1/cases", "/v1/models"):
        check_problem(door.get(path, headers={"Accept": "text/csv"}), 406, "not_acceptable")
        check_problem(door.get(path, headers={"Accept": "application/json;q=0"}), 406, "not_acceptable")
        assert door.get(path, headers={"Accept": "text/csv, application/*;q=0.1"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "application/json"}, 400, "bad_json"),
        ({"Content-Type": "application/json; charset=utf-16"}, 415, "charset_unsupported"),
        ({"Content-Type": "text/plain"}, 415, "media_type_unsupported"),
        ({"Content-Type": "multipart/form-data"}, 400, "bad_multipart"),
        ({"Content-Type": f"multipart/form-data; boundary={'b' * 300}"}, 400, "bad_multipart"),
        ({"Content-Type": "multipart/form-data; boundary=b; charset=utf-16"}, 415, "charset_unsupported"),
        ({"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}, 415, "encoding_unsupported"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, 400, "bad_multipart"),
    ],
)
def test_body_of_another_form_is_refused(door: httpx.Client, headers: dict[str, str], status: int, code: str) -> None:
    answer = door.post("/v1/cases", content=CANARY.encode(), headers={"Idempotency-Key": "k", **headers})
    check_problem(answer, status, code)


def test_parts_are_named_and_the_case_comes_once(door: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    body = json.dumps(case()).encode()
    assert door.post("/v1/cases", files=[("image", ("f", film()))], headers=key).json()["code"] == "case_part_missing"
    twice = door.post("/v1/cases", files=[("case", (None, body))] * 2, headers=key)
    assert twice.json()["code"] == "case_part_repeated"
    problem = check_problem(
        door.post("/v1/cases", files=[("case", (None, body)), (CANARY, (None, b""))], headers=key), 422, "unknown_part"
    )
    assert problem["issues"] == [{"pointer": "/parts/1", "code": "unknown_part", "detail": ""}]


def test_database_that_is_away_is_503_and_comes_back(postgres_url: str, described_model: Path, tmp_path: Path) -> None:
    name = f"away_{uuid.uuid4().hex[:8]}"
    settings = Settings(
        data=tmp_path,
        artifact=described_model,
        allow_unpromoted=True,
        database_url=new_database(postgres_url, name, "clinimm_template"),
    )
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with running_api(settings) as api, server.connect() as operator:
        assert post(api, case()).status_code == 202
        operator.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        operator.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
        answer = post(api, case("b"), key="k")
        check_problem(answer, 503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert api.get("/readyz").status_code == 503
        assert api.get("/healthz").status_code == 200
        operator.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        assert post(api, case("b"), key="k").status_code == 202
    server.dispose()


def test_no_room_left_is_507(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'small.db'}")
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (x)"))
        connection.execute(text("PRAGMA max_page_count = 1"))
        with pytest.raises(OperationalError) as full:
            connection.execute(text("INSERT INTO t VALUES (zeroblob(100000))"))
    engine.dispose()
    for error in (full.value, OSError(errno.ENOSPC, CANARY)):
        refusal = as_service_error(error)
        assert (refusal.status, refusal.code) == (507, "storage_full")
        assert CANARY not in str(refusal)

"""What every route owes its caller: conditions, forms, and header fields; and the ways that inputs may come in."""

import json
import uuid
from typing import Any

import httpx
import pytest
from service_requests import case, film, post

NO_CASE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def operations(door: httpx.Client) -> list[tuple[str, str, dict[str, Any]]]:
    """Every (method, path, operation) of the document, a case that is there for its id."""
    case_id = post(door, case("there"), [("image", film())]).json()["id"]
    places = {"{case_id}": case_id, "{version}": "1", "{modality}": "labs", "{job_id}": "none"}
    found = []
    for template, methods in door.get("/openapi.json").json()["paths"].items():
        path = template
        for name, value in places.items():
            path = path.replace(name, value)
        found += [(method.upper(), path, operation) for method, operation in methods.items()]
    return found


def asked(door: httpx.Client, method: str, path: str, body: bytes = b"{}", **headers: str) -> httpx.Response:
    known = {"Idempotency-Key": uuid.uuid4().hex, "If-Match": "*", "Content-Type": "application/json"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if method in ("POST", "PUT") else None
    return door.request(method, path, content=content, headers=known | given)


def test_every_body_is_asked_for_plain_and_in_a_media_type_that_is_read(
    door: httpx.Client, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    with_body = [(method, path) for method, path, operation in operations if "requestBody" in operation]
    assert len(with_body) == 8
    for method, path in with_body:
        for encoding in ("gzip", "br", "deflate", "identity, gzip"):
            answer = asked(door, method, path, Content_Encoding=encoding)
            assert (answer.status_code, answer.json()["code"]) == (415, "encoding_unsupported")
        answer = asked(door, method, path, Content_Type="text/xml")
        assert (answer.status_code, answer.json()["code"]) == (415, "media_type_unsupported")
        answer = asked(door, method, path, Content_Type="application/json; charset=utf-16")
        assert (answer.status_code, answer.json()["code"]) == (415, "charset_unsupported")


def test_every_answer_is_named_and_kept_in_no_cache(
    door: httpx.Client, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    for method, path, _ in operations:
        for answer in (asked(door, method, path), asked(door, method, path, body=b"[")):
            assert answer.status_code < 500 or path == "/readyz"
            assert len(answer.headers["x-request-id"]) == 32
            assert path in ("/healthz", "/metrics") or answer.headers["cache-control"] == "no-store", (method, path)
    for path in (f"/v1/cases/{NO_CASE}", "/nope"):
        assert door.delete(path).headers["cache-control"] == "no-store"


def test_every_document_comes_in_the_form_that_is_asked_for_and_once(
    door: httpx.Client, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    for method, path, operation in operations:
        if not path.startswith("/v1/") or "requestBody" in operation:
            continue
        answer = asked(door, method, path)
        if answer.status_code != 200:
            continue
        refused = asked(door, method, path, Accept="application/fhir+json")
        assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
        if method == "GET":
            again = asked(door, method, path, If_None_Match=answer.headers["etag"])
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])


def test_note_may_be_a_part_of_its_own(door: httpx.Client) -> None:
    files = [
        ("case", (None, json.dumps(case("note part", note=None, labs=None)))),
        ("note", ("note.txt", "Fieber seit gestern, kein Ödem.".encode(), "text/plain")),
        ("image", ("film.dcm", film(21), "application/dicom")),
    ]
    answer = door.post("/v1/cases", files=files, headers={"Idempotency-Key": uuid.uuid4().hex})
    assert answer.status_code == 202
    told = [(part["part"], part["outcome"]) for part in answer.json()["parts"]]
    assert told == [("notes/0", "accepted"), ("images/0", "accepted")]


def test_case_may_be_json_that_refers_to_what_is_stored(door: httpx.Client) -> None:
    stored = post(door, case("stored"), [("image", film(22))]).json()["parts"][-1]
    references = [{"sop_instance_uid": stored["sop_instance_uid"], "modality": "cxr"}]
    answer = asked(door, "POST", "/v1/cases", json.dumps(case("referring", images=references)).encode())
    assert answer.status_code == 202
    part = answer.json()["parts"][-1]
    assert (part["outcome"], part["sha256"], part["modality"]) == ("already_stored", stored["sha256"], "cxr")
    assert answer.json()["studies"][0]["instances"] == 1
    references = [{"sop_instance_uid": "1.2.3"}, *references, {"sop_instance_uid": "1.2.4", "modality": "nope"}]
    refused = asked(door, "POST", "/v1/cases", json.dumps(case("dangling", images=references)).encode())
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_reference")
    issues = [(issue["pointer"], issue["code"]) for issue in refused.json()["issues"]]
    assert issues == [("/images/0", "unknown_reference"), ("/images/2", "unknown_modality")]


def test_modality_is_marked_complete_by_who_has_seen_the_case(door: httpx.Client) -> None:
    case_id = post(door, case("marked", labs=None)).json()["id"]
    path = f"/v1/cases/{case_id}/modalities/labs"
    seen = door.get(f"/v1/cases/{case_id}").headers["etag"]
    said = b'{"complete": true, "absent_reason": "not_ordered"}'
    blind = door.put(path, content=said, headers={"Content-Type": "application/json"})
    assert (blind.status_code, blind.json()["code"]) == (428, "if_match_missing")
    marked = asked(door, "PUT", path, said, If_Match=seen)
    assert (marked.status_code, marked.json()["complete"], marked.json()["version"]) == (200, ["labs"], 2)
    assert marked.json() == door.get(f"/v1/cases/{case_id}").json()
    assert marked.headers["etag"] == door.get(f"/v1/cases/{case_id}").headers["etag"]
    late = asked(door, "PUT", path, said, If_Match=seen)
    assert (late.status_code, late.json()["code"]) == (412, "version_stale")
    again = asked(door, "PUT", path, said, If_Match=marked.headers["etag"])
    assert (again.status_code, again.json()["version"]) == (200, 2)
    taken_back = asked(door, "PUT", path, b'{"complete": false}', If_Match=marked.headers["etag"])
    assert (taken_back.json()["complete"], taken_back.json()["version"]) == ([], 3)
    for name, status in (("mri", 404), ("a%2fb", 404)):
        assert asked(door, "PUT", f"/v1/cases/{case_id}/modalities/{name}", said).status_code == status
    assert asked(door, "PUT", f"/v1/cases/{NO_CASE}/modalities/labs", said).json()["code"] == "case_not_found"


def test_inputs_may_be_added_on_condition_of_the_version_that_was_seen(door: httpx.Client) -> None:
    created = post(door, case("added", labs=None))
    path = f"/v1/cases/{created.json()['id']}/inputs"
    labs = json.dumps({"labs": case()["labs"]}).encode()
    added = asked(door, "POST", path, labs, If_Match=created.headers["etag"])
    assert (added.status_code, added.json()["version"]) == (202, 2)
    late = asked(door, "POST", path, b'{"labs": []}', If_Match=created.headers["etag"])
    assert (late.status_code, late.json()["code"]) == (412, "version_stale")


def test_key_is_asked_for_by_every_post_that_creates(
    door: httpx.Client, operations: list[tuple[str, str, dict[str, Any]]]
) -> None:
    posts = [path for method, path, _ in operations if method == "POST" and not path.endswith(":validate")]
    assert len(posts) == 6
    for path in posts:
        answer = door.post(path, content=b"{}", headers={"Content-Type": "application/json", "If-Match": "*"})
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")

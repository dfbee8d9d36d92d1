"""Every limit holds to the one: what is just within it is taken, one more is refused, and both numbers are told."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from dicom_files import content, dataset
from numpy import uint16, zeros
from service_processes import running_api
from service_requests import film, post, request_of

from services.faults import FAULTS
from services.settings import Limits, Settings

LIMITS = Limits(
    request_bytes=20_000,
    header_bytes=800,
    key_chars=40,
    parts=4,
    part_bytes=15_000,
    images=2,
    image_pixels=48 * 48,
    image_frames=2,
    case_bytes=2_000,
    small_json_bytes=500,
    json_depth=4,
    note_chars=50,
    labs=3,
)
PERSON = {"patient": {"id": "p-1"}}


@pytest.fixture(scope="module")
def door(
    migrated_sqlite: Path, described_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    data = tmp_path_factory.mktemp("limits")
    (data / "clinimm.db").write_bytes(migrated_sqlite.read_bytes())
    with running_api(Settings(data=data, artifact=described_model, allow_unpromoted=True, limits=LIMITS)) as client:
        yield client


def of_request(door: httpx.Client, size: int) -> httpx.Response:
    empty = len(request_of(door, PERSON, [("image", b""), ("image", b"")]).read())
    images = [("image", b"x" * 10_000), ("image", b"y" * (size - empty - 10_000))]
    return door.send(request_of(door, PERSON, images))


def of_headers(door: httpx.Client, size: int) -> httpx.Response:
    def told(filler: int) -> httpx.Request:
        return request_of(door, PERSON, headers={"X-Filler": "f" * filler, "Content-Length": "9999"})

    request = told(0)
    body = request.read()
    request.headers["Content-Length"] = str(len(body))
    here = sum(len(name) + len(value) + 4 for name, value in request.headers.raw)
    request.headers["X-Filler"] = "f" * (size - here)
    return door.send(request)


def of_key(door: httpx.Client, size: int) -> httpx.Response:
    return post(door, PERSON, key=uuid.uuid4().hex.ljust(size, "k"))


def of_parts(door: httpx.Client, count: int) -> httpx.Response:
    """The case, a note, two images, and any more parts of no name that is known."""
    names = ["case", "note", "image", "image", "more"][:count]
    files = [(name, (None, json.dumps(PERSON) if name == "case" else "Fever.")) for name in names]
    return door.post("/v1/cases", files=files, headers={"Idempotency-Key": uuid.uuid4().hex})


def of_part(door: httpx.Client, size: int) -> httpx.Response:
    return post(door, PERSON, [("image", b"x" * size)])


def of_images(door: httpx.Client, count: int) -> httpx.Response:
    return post(door, PERSON, [("image", b"x" * (200 + i)) for i in range(count)])


def of_references(door: httpx.Client, count: int) -> httpx.Response:
    """To an image that is stored."""
    stored = post(door, PERSON, [("image", film())]).json()["parts"][0]["sop_instance_uid"]
    return post(door, PERSON | {"images": [{"sop_instance_uid": stored}] * count})


def of_pixels(door: httpx.Client, pixels: int) -> httpx.Response:
    return post(door, PERSON, [("image", content(dataset(zeros((1, pixels), uint16), PatientID="p-1")))])


def of_frames(door: httpx.Client, frames: int) -> httpx.Response:
    return post(door, PERSON, [("image", content(dataset(zeros((frames, 4, 4), uint16), PatientID="p-1")))])


def of_case(door: httpx.Client, size: int) -> httpx.Response:
    return post(door, json.dumps(PERSON).ljust(size).encode())


def of_json_body(door: httpx.Client, size: int) -> httpx.Response:
    return sent_as_json(door, json.dumps(PERSON).ljust(size).encode())


def sent_as_json(door: httpx.Client, body: bytes) -> httpx.Response:
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
    return door.post("/v1/cases", content=body, headers=headers)


def of_small_json(door: httpx.Client, size: int) -> httpx.Response:
    case_id = post(door, PERSON).json()["id"]
    body = b'{"complete": true}'.ljust(size)
    headers = {"If-Match": "*", "Content-Type": "application/json"}
    return door.put(f"/v1/cases/{case_id}/modalities/cxr", content=body, headers=headers)


def of_depth(door: httpx.Client, levels: int) -> httpx.Response:
    """Within the limit this is no case, yet is read as JSON."""
    return sent_as_json(door, b'{"x":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}")


def of_note(door: httpx.Client, chars: int) -> httpx.Response:
    return post(door, PERSON | {"note": {"text": "ä" * chars}})


def of_note_part(door: httpx.Client, chars: int) -> httpx.Response:
    files = [("case", (None, json.dumps(PERSON))), ("note", (None, "ä" * chars))]
    return door.post("/v1/cases", files=files, headers={"Idempotency-Key": uuid.uuid4().hex})


def of_labs(door: httpx.Client, count: int) -> httpx.Response:
    return post(door, PERSON | {"labs": [{"name": "crp", "value": 1, "unit": "mg/L"}] * count})


Probe = Callable[[httpx.Client, int], httpx.Response]
PROBES: list[tuple[str, Probe, str]] = [
    ("request_bytes", of_request, "request_too_large"),
    ("header_bytes", of_headers, "headers_too_large"),
    ("key_chars", of_key, "idempotency_key_too_long"),
    ("parts", of_parts, "too_many_parts"),
    ("part_bytes", of_part, "part_too_large"),
    ("images", of_images, "too_many_images"),
    ("images", of_references, "too_many_images"),
    ("image_pixels", of_pixels, "too_many_pixels"),
    ("image_frames", of_frames, "too_many_frames"),
    ("case_bytes", of_case, "document_too_large"),
    ("case_bytes", of_json_body, "document_too_large"),
    ("small_json_bytes", of_small_json, "document_too_large"),
    ("json_depth", of_depth, "json_too_deep"),
    ("note_chars", of_note, "note_too_long"),
    ("note_chars", of_note_part, "note_too_long"),
    ("labs", of_labs, "too_many_labs"),
]


@pytest.mark.parametrize(("limit", "probe", "code"), PROBES, ids=[probe.__name__ for _, probe, _ in PROBES])
def test_limit_holds_to_the_one(door: httpx.Client, limit: str, probe: Probe, code: str) -> None:
    most = getattr(LIMITS, limit)
    within = probe(door, most)
    assert (within.status_code, within.json().get("code")) in ((202, None), (200, None), (422, "bad_case"))
    problem = probe(door, most + 1)
    assert problem.headers["content-type"] == "application/problem+json"
    told = problem.json()
    assert (told["code"], told["limit"], told["actual"]) == (code, most, most + 1)
    assert problem.status_code == told["status"] == FAULTS[code].status


def test_every_limit_has_a_probe_and_is_told(door: httpx.Client) -> None:
    assert {limit for limit, *_ in PROBES} == set(Limits.model_fields)
    assert door.get("/v1/capabilities").json()["limits"] == LIMITS.model_dump()
    document = door.get("/openapi.json").json()["info"]["description"]
    for name, field in Limits.model_fields.items():
        assert f"| {name} | {getattr(LIMITS, name)} | {field.description} |" in document


def test_note_of_more_bytes_than_its_characters_can_have_is_not_waited_for(door: httpx.Client) -> None:
    told = of_note_part(door, 10 * LIMITS.note_chars).json()
    assert (told["code"], told["limit"], "actual" in told) == ("note_too_long", LIMITS.note_chars, False)

"""Inputs that were made to do harm, or broken on the way, each sent to one service that must outlive them all.

Of each: the status and the code that it gets, in bounded time and without a word of what was sent; nothing of it stays;
and the next case is taken as if nothing had been."""

import io
import logging
import re
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from dicom_files import write
from nasty_inputs import ACCEPTED, CANARY, CASE, CHUNKED, PERSON, REFUSED, TOLD, WHOLE, chunked, message, multipart, odd
from pydicom.uid import (
    JPEGExtended12Bit,
)
from raw_http import connected, form, framed, head, part
from service_processes import running_api
from service_requests import case, film, post

from services.db import Database
from services.faults import FAULTS
from services.logs import configure
from services.settings import Settings
from services.tables import Base, EventRow, LabRow, NoteRow


class Door:
    """The service that all of them are sent to, what it keeps, and what it logs."""

    def __init__(self, client: httpx.Client, settings: Settings, log: io.StringIO) -> None:
        self.client, self.log, self.blobs = client, log, settings.data / "blobs"
        self.database = Database(settings.url)

    def kept(self) -> tuple[dict[str, int], set[Path]]:
        """How many rows each table has, but that of events, and which files there are."""
        with self.database.read() as session:
            tables = [table for table in Base.metadata.sorted_tables if table.name != EventRow.__tablename__]
            rows = {table.name: session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables}
        return rows, {path for path in self.blobs.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def door(migrated_sqlite: Path, described_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    data = tmp_path_factory.mktemp("nasty")
    (data / "clinimm.db").write_bytes(migrated_sqlite.read_bytes())
    root, log = logging.getLogger(), io.StringIO()
    before = (root.handlers, root.level)
    configure("DEBUG", log)
    settings = Settings(data=data, artifact=described_model, allow_unpromoted=True, patience_seconds=2, uploads=4)
    with running_api(settings) as client:
        client.timeout = httpx.Timeout(20)
        yield Door(client, settings, log)
    root.handlers, root.level = before


def check_outlived(door: Door) -> None:
    """The next case is taken, and nothing of any other was logged."""
    fresh = post(door.client, case(uuid.uuid4().hex), [("image", film(uuid.uuid4().int % 1_000_000))])
    assert fresh.status_code == 202
    assert CANARY not in door.log.getvalue()
    assert "Traceback" not in door.log.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_nasty_input_is_refused_and_leaves_nothing(door: Door, name: str) -> None:
    send, status, code = REFUSED[name]
    before = door.kept()
    reply = send(door.client)
    assert (reply.status, reply.document.get("code", "")) == (status, code)
    assert not code or FAULTS[code].status == status
    assert CANARY not in reply.text
    assert door.kept() == before
    check_outlived(door)


@pytest.mark.parametrize("name", TOLD)
def test_nasty_film_hides_nothing_and_is_told(door: Door, name: str) -> None:
    make, outcome, code = TOLD[name]
    good = film(uuid.uuid4().int % 1_000_000)
    reply = image_beside(door.client, good, make())
    assert reply.status_code == 202
    told = {one["part"]: (one["outcome"], one["code"]) for one in reply.json()["parts"]}
    assert told == {"images/0": (ACCEPTED, ""), "images/1": (outcome, code)}
    assert not code or FAULTS[code].status in (413, 415, 422)
    assert "evil" not in reply.text
    check_outlived(door)


def image_beside(client: httpx.Client, good: bytes, nasty: bytes) -> httpx.Response:
    return post(client, {"patient": {"id": "p-1"}, "reference": uuid.uuid4().hex}, [("image", good), ("image", nasty)])


def test_jpeg_of_twelve_bits_is_taken(door: Door, tmp_path: Path) -> None:
    grey = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    path = write(tmp_path / "film", grey, JPEGExtended12Bit, stored=12, PatientID="p-1", PatientName="")
    answer = image_beside(door.client, film(11), path.read_bytes())
    assert [(one["outcome"], one["code"]) for one in answer.json()["parts"]] == [(ACCEPTED, "")] * 2


def test_text_in_no_known_character_set_is_flagged(door: Door) -> None:
    nasty = odd(SOPInstanceUID="1.2.3.4", SpecificCharacterSet="ISO 2022 IR 999", PatientName="M\xfcller")
    [part] = post(door.client, PERSON | {"reference": "charset"}, [("image", nasty)]).json()["parts"]
    assert (part["outcome"], part["flags"].count("charset_fallback")) == (ACCEPTED, 1)


def test_instance_with_other_content_is_a_conflict_that_names_it_and_keeps_the_first(door: Door) -> None:
    first = film(13)
    other = first[:-4] + b"\1\2\3\4"
    stored = post(door.client, PERSON | {"reference": "first"}, [("image", first)]).json()["parts"][-1]
    before = door.kept()
    answer = post(door.client, PERSON | {"reference": "other"}, [("image", other)])
    uid = stored["sop_instance_uid"]
    told = answer.json()
    assert (answer.status_code, told["code"]) == (409, "instance_conflict")
    assert told["issues"] == [
        {"pointer": "/images/0", "code": "instance_conflict", "detail": f"SOP Instance UID {uid}"}
    ]
    assert door.kept() == before
    with door.database.read() as session:
        event = session.scalars(sa.select(EventRow).order_by(EventRow.seq.desc()).limit(1)).one()
    assert (event.action, event.object_id, event.facts["instances"]) == ("instance.conflict", uid, [uid])
    again = post(door.client, PERSON | {"reference": "again"}, [("image", first)]).json()["parts"][-1]
    assert (again["outcome"], again["sha256"]) == ("already_stored", stored["sha256"])
    check_outlived(door)


def test_instance_that_comes_twice_in_a_request_is_kept_once(door: Door) -> None:
    twice = [("image", film(14)), ("image", film(14))]
    parts = post(door.client, PERSON | {"reference": "twice"}, twice).json()["parts"]
    assert [(one["part"], one["outcome"]) for one in parts] == [("images/0", ACCEPTED), ("images/0", "already_stored")]
    both = [("image", film(15)), ("image", film(15)[:-4] + b"\1\2\3\4")]
    assert post(door.client, PERSON | {"reference": "both"}, both).json()["code"] == "instance_conflict"


INJECTED = [
    "'; DROP TABLE cases; --",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0,\"+1\"",
    "{{7*7}}${7*7}%(name)s%n%x",
    "$(touch /tmp/evil)`id`",
    "../../../../etc/passwd",
    "C:\\..\\NUL.dcm",
    "*)(uid=*))(|(uid=*",
    "\u202egnp.exe\u2066\u200b\u200d\ufeff",
    "Zoë \U0001f9ec 王小東 \ufdfa",
    "%0d%0aSet-Cookie:x=1",
]


@pytest.mark.parametrize("text", INJECTED)
def test_text_of_any_kind_is_kept_verbatim_and_logged_nowhere(door: Door, text: str) -> None:
    marked = f"{text} {uuid.uuid4().hex}"
    person = {"id": marked}
    sent = {
        "reference": marked,
        "patient": person,
        "note": {"text": marked, "id": marked},
        "labs": [{"name": marked[:100], "value": 1, "unit": text[:64], "coded": marked, "comments": [marked]}],
    }
    answer = post(door.client, sent)
    assert answer.status_code == 202
    assert (answer.json()["reference"], answer.json()["patient"]) == (marked, person)
    with door.database.read() as session:
        [note] = session.scalars(sa.select(NoteRow).where(NoteRow.case_id == answer.json()["id"]))
        [lab] = session.scalars(sa.select(LabRow).where(LabRow.case_id == answer.json()["id"]))
    assert (note.text, note.source_id, lab.original["comments"]) == (marked, marked, [marked])
    listed = door.client.get("/v1/cases", params={"reference": marked}).json()["cases"]
    assert [one["id"] for one in listed] == [answer.json()["id"]]
    assert marked not in door.log.getvalue()
    assert post(door.client, sent | {"labs": [{"name": marked}]}).text.count(marked) == 0
    check_outlived(door)


@pytest.mark.parametrize(
    "disposition",
    [
        b'form-data; name="image"; filename="../../../../tmp/evil.dcm"',
        b'form-data; name="image"; filename="a%0d%0aX-Evil: 1"',
        b'form-data; name="image"; filename="a\r\nX-Evil: 1"',
        b'form-data; name="image"; filename="x"; filename*=utf-8\'\'..%2f..%2fevil',
        b'form-data; name="image"; filename="\x00\xff; name=case"',
    ],
)
def test_file_name_is_never_used(door: Door, disposition: bytes) -> None:
    seed = uuid.uuid4().int % 1_000_000
    before = door.kept()[1]
    reply = multipart(part("case", CASE), part("image", film(seed), disposition=disposition))(door.client)
    assert reply.status in (202, 400)
    fresh = {path.relative_to(door.blobs).as_posix() for path in door.kept()[1] - before}
    assert len(fresh) == (reply.status == 202)
    assert all(re.fullmatch(r"([0-9a-f]{2})/\1[0-9a-f]{62}", name) for name in fresh)
    check_outlived(door)


def test_chunks_with_trailers_are_taken_and_the_trailers_are_not(door: Door) -> None:
    end = b"0\r\nIdempotency-Key: evil\r\nX-Trailer: " + CANARY.encode() + b"\r\n\r\n"
    reply = message(CHUNKED, chunked(WHOLE, end))(door.client)
    assert reply.status == 202
    check_outlived(door)


@pytest.mark.slow
def test_clients_that_stall_lock_nobody_out(door: Door) -> None:
    """More of them than may upload at once: each is told that it is too slow, and its place is free again."""
    before = door.kept()
    with ExitStack() as stack:
        stalled = [stack.enter_context(connected(door.client)) for _ in range(5)]
        for number, connection in enumerate(stalled):
            fields = framed(WHOLE) if number else []
            connection.sendall(head(uuid.uuid4().hex, *fields) + (b"\r\n\r\n" + WHOLE[:50] if number else b"\r\nX-"))
        full = _until_taken(door.client)
        told = {connection.recv(1 << 16).split(b" ", 2)[1] for connection in stalled[1:]}
    assert {b"408"} <= told <= {b"408", b"503"}
    assert full.status_code == 202
    assert {name: count - before[0][name] for name, count in door.kept()[0].items() if name == "cases"} == {"cases": 1}
    check_outlived(door)


def _until_taken(client: httpx.Client) -> httpx.Response:
    """The answer to a case, asked again as Retry-After says."""
    for _ in range(20):
        answer = post(client, PERSON | {"reference": uuid.uuid4().hex})
        if answer.status_code != 503:
            return answer
        time.sleep(float(answer.headers["retry-after"]))
    return answer


def test_client_that_hangs_up_leaves_nothing(door: Door) -> None:
    before = door.kept()
    whole = form([part("case", CASE), part("image", film(16, size=300))])
    with connected(door.client) as connection:
        connection.sendall(head(uuid.uuid4().hex, *framed(whole)) + b"\r\n\r\n" + whole[:100_000])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a farewell
    for _ in range(250):
        if door.kept() == before:
            break
        time.sleep(0.02)
    assert door.kept() == before
    check_outlived(door)

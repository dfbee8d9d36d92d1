"""What a case would come to: the answer of `/v1/cases:validate` is the one that a post of the same then gets."""

import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from nasty_inputs import REFUSED, TOLD
from service_processes import running_api
from service_requests import Image, case, film, post, request_of

from services.db import Database
from services.jobs import state
from services.settings import Settings
from services.tables import Base, CaseRow, EventRow, JobRow

PREVIEW = "/v1/cases:validate"
SAID = ("code", "status", "issues", "limit", "actual")


@pytest.fixture(scope="module")
def settings_of_door(
    migrated_sqlite: Path, described_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    data = tmp_path_factory.mktemp("preview")
    shutil.copy(migrated_sqlite, data / "clinimm.db")
    return Settings(data=data, artifact=described_model, allow_unpromoted=True)


@pytest.fixture(scope="module")
def door(settings_of_door: Settings) -> Iterator[httpx.Client]:
    with running_api(settings_of_door) as client:
        yield client


def kept(settings: Settings) -> tuple[list[int | None], set[Path]]:
    """Rows of every table but that of events, and files."""
    database = Database(settings.url)
    with database.read() as session:
        tables = [table for table in Base.metadata.sorted_tables if table.name != EventRow.__tablename__]
        counts = [session.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables]
    database.close()
    return counts, {path for path in (settings.data / "blobs").rglob("*") if path.is_file()}


def previewed(client: httpx.Client, content: dict[str, Any] | bytes, images: Sequence[Image] = ()) -> httpx.Response:
    request = request_of(client, content, images, key=None)
    return client.post(PREVIEW, content=request.read(), headers=request.headers)


def check_same(preview: httpx.Response, real: httpx.Response) -> None:
    said, done = preview.json(), real.json()
    if preview.status_code == 200:
        assert (said["status"], said["parts"]) == (real.status_code, done["parts"])
    else:
        assert [said.get(name) for name in SAID] == [done.get(name) for name in SAID]


LABS = [
    {"name": "crp", "value": 12},
    {"name": "wbc", "value": 9, "unit": "mg/L"},
    {"name": "potassium", "value": 45, "unit": "mmol/L"},
    {"name": "ldh", "value": 200, "unit": "U/L", "collected_at": "2026-01-17T10:00:01Z"},
    {"name": "creatinine", "value": 80, "unit": "umol/L", "collected_at": "2026-01-16T10:00:00Z"},
    {"name": "creatinine", "value": 90, "unit": "umol/L", "collected_at": "2026-01-17T09:00:00Z"},
]
CONTENTS: dict[str, tuple[dict[str, Any], list[Image]]] = {
    "a whole case": (case("whole"), [("image", film(1))]),
    "doubtful labs and an empty note": (case("doubtful", labs=LABS, note={"text": " "}), []),
    "a film of no known modality": (case("modality"), [("image:nope", film(2)), ("image:cxr", film(3))]),
    "a film that is stored": (case("stored"), [("image", film(1)), ("image", film(1))]),
    "a reference": (case("reference", images=[{"sop_instance_uid": "$stored"}]), []),
    "a reference to nothing": (case("nothing", images=[{"sop_instance_uid": "1.2.3"}]), []),
    "a film of another patient": (case("other"), [("image", film(4, patient="p-2"))]),
    "a film that was changed": (case("changed"), [("image", film(1)[:-2] + b"zz")]),
    "a lab without a name": (case("nameless", labs=[{"value": 1}]), []),
    "too many labs": (case("labs", labs=[{"name": "crp", "value": 1}] * 501), []),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_preview_is_what_a_post_then_gets(door: httpx.Client, settings_of_door: Settings, name: str) -> None:
    content, images = CONTENTS[name]
    stored = post(door, case("first"), [("image", film(1))]).json()["parts"][-1]["sop_instance_uid"]
    content = content | {"images": [{"sop_instance_uid": stored}]} if name == "a reference" else content
    before = kept(settings_of_door)
    preview = previewed(door, content, images)
    assert kept(settings_of_door) == before
    check_same(preview, post(door, content, images))
    check_same(previewed(door, content, images), post(door, content, images))


@pytest.mark.parametrize("name", [name for name, (_, _, code) in REFUSED.items() if code])
def test_preview_of_a_nasty_input_is_its_refusal(door: httpx.Client, settings_of_door: Settings, name: str) -> None:
    send, status, code = REFUSED[name]
    before = kept(settings_of_door)
    preview, real = send(door, PREVIEW.encode()), send(door)
    assert (preview.status, preview.document["code"]) == (real.status, real.document["code"]) == (status, code)
    assert preview.document["issues"] == real.document["issues"]
    assert kept(settings_of_door) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", TOLD)
def test_preview_of_a_nasty_film_is_its_outcome(door: httpx.Client, name: str) -> None:
    make, outcome, code = TOLD[name]
    images = [("image", make())]
    content = {"patient": {"id": "p-1"}, "reference": uuid.uuid4().hex}
    preview = previewed(door, content, images)
    assert [(one["outcome"], one["code"]) for one in preview.json()["parts"]] == [(outcome, code)]
    check_same(preview, post(door, content, images))


def test_preview_of_a_case_that_is_answered_says_200(door: httpx.Client, settings_of_door: Settings) -> None:
    case_id = post(door, case("answered")).json()["id"]
    database = Database(settings_of_door.url)
    with database.write() as session:
        session.execute(sa.update(JobRow).where(JobRow.subject == case_id).values(state=state.DONE))
        assert session.scalar(sa.select(CaseRow.version).where(CaseRow.id == case_id)) == 1
    database.close()
    preview, real = previewed(door, case("answered")), post(door, case("answered"))
    assert (preview.json()["status"], real.status_code) == (200, 200)
    check_same(preview, real)

"""Many who change one case at once: each sees the one before, and no version is skipped, lost or made twice."""

import io
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydicom import dcmread
from service_processes import running_api
from service_requests import case, film, post

from services.cases import store as cases
from services.db import Database
from services.results import store as results
from services.settings import Settings
from services.tables import CaseRow, EventRow, InstanceRow, JobRow, LabRow, VersionRow

LABS = "labs"


@pytest.fixture
def two_apis(database_url: str, described_model: Path, tmp_path: Path) -> Iterator[list[httpx.Client]]:
    """Two APIs over one database and folder, which share nothing else, as two processes do."""
    settings = Settings(data=tmp_path, artifact=described_model, allow_unpromoted=True, database_url=database_url)
    with ExitStack() as stack:
        yield [stack.enter_context(running_api(settings)) for _ in range(2)]


def test_case_that_one_process_changes_is_read_by_no_other_to_change_it(
    either_api: httpx.Client, database: Database
) -> None:
    case_id = post(either_api, case()).json()["id"]
    other = Database(database.url)

    def by_cases() -> int:
        with other.write() as session:
            found = cases.get(session, case_id, lock=True)
            assert found is not None
            return found.version

    def by_results() -> int:
        with other.write() as session:
            return results.lock(session, case_id)[0]

    with ThreadPoolExecutor(2) as pool:
        with database.write() as session:
            assert results.lock(session, case_id)[0] == 1
            waiting = [pool.submit(read) for read in (by_cases, by_results)]
            time.sleep(0.3)
            assert not any(one.done() for one in waiting)
            session.execute(sa.update(CaseRow).values(version=7))
        assert [one.result() for one in waiting] == [7, 7]
    other.close()


@pytest.mark.slow
def test_fifty_changes_at_once_lose_nothing_and_skip_no_version(
    two_apis: list[httpx.Client], database: Database
) -> None:
    """Half of them add a value under a key of their own, half say in turn that a modality is complete and is not."""
    case_id = post(two_apis[0], case(labs=None)).json()["id"]
    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(lambda i: changed(two_apis[i % 2], case_id, i), range(50)))
    assert sorted(made) == list(range(2, 52))
    with database.read() as session:
        assert session.scalars(sa.select(VersionRow.version).order_by(VersionRow.version)).all() == list(range(1, 52))
        values = set(session.scalars(sa.select(LabRow.value)))
        grown = sa.select(EventRow.facts).where(EventRow.case_id == case_id).order_by(EventRow.seq)
        events = [facts["version"] for facts in session.scalars(grown)]
    assert values == {str(number) for number in range(0, 50, 2)}
    assert events == list(range(1, 52))


def changed(api: httpx.Client, case_id: str, number: int) -> int:
    """The version that this change made, as a client makes it: read, say what was read, and again if it is stale."""
    key = uuid.uuid4().hex
    while True:
        seen = api.get(f"/v1/cases/{case_id}")
        headers = {"If-Match": seen.headers["etag"], "Idempotency-Key": key}
        if number % 2 == 0:
            lab = {"name": "crp", "id": str(number), "value": number, "unit": "mg/L"}
            answer = api.post(f"/v1/cases/{case_id}/inputs", json={"labs": [lab]}, headers=headers)
        else:
            said: dict[str, Any] = {"complete": LABS not in seen.json()["complete"]}
            answer = api.put(f"/v1/cases/{case_id}/modalities/{LABS}", json=said, headers=headers)
        if answer.status_code in (200, 202):
            return int(answer.json()["version"])
        assert (answer.status_code, answer.json()["code"]) == (412, "version_stale")


@pytest.mark.slow
def test_twenty_clients_with_one_study_make_one_case_of_it(two_apis: list[httpx.Client], database: Database) -> None:
    """Five times each, under keys of their own: 2 series of 50 instances, kept once and diagnosed once."""
    study = [("image", in_series(film(number), number % 2)) for number in range(50)]
    with ThreadPoolExecutor(20) as pool:
        clients = range(20)
        answers = [one for five in pool.map(lambda i: five_times(two_apis[i % 2], study), clients) for one in five]
    assert len(answers) == 100
    assert len({answer.json()["id"] for answer in answers}) == 1
    [told] = two_apis[0].get(f"/v1/cases/{answers[0].json()['id']}").json()["studies"]
    sizes = sum(len(data) for _, data in study)
    assert (told["series"], told["instances"], told["bytes"]) == (2, 50, sizes)
    with database.read() as session:
        counted = [session.scalar(sa.select(sa.func.count()).select_from(row)) for row in (CaseRow, VersionRow, JobRow)]
        kept = session.execute(
            sa.select(sa.func.count(), sa.func.sum(InstanceRow.bytes), sa.func.count(InstanceRow.study_uid.distinct()))
        ).one()
    assert counted == [1, 1, 1]
    assert tuple(kept) == (50, sizes, 1)


def five_times(api: httpx.Client, study: list[tuple[str, bytes]]) -> list[httpx.Response]:
    """The answers to five posts under keys of their own, as a client that waits where it is told to gets them."""
    return [taken(api, study, uuid.uuid4().hex) for _ in range(5)]


def taken(api: httpx.Client, study: list[tuple[str, bytes]], key: str) -> httpx.Response:
    while True:
        answer = post(api, case(), study, key=key)
        if answer.status_code == 202:
            return answer
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        time.sleep(0.2)


def in_series(data: bytes, number: int) -> bytes:
    """The film as one of a study of two series."""
    ds = dcmread(io.BytesIO(data))
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", f"1.2.3.{number}"
    whole = io.BytesIO()
    ds.save_as(whole)
    return whole.getvalue()

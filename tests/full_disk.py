"""A service on a disk that fills and empties: `python full_disk.py DATA ARTIFACT`, DATA on a small disk of its own.

It also has what is tried wherever there is no room left."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import sqlalchemy as sa
from service_processes import running_api
from service_requests import case, film, post, request_of

from services.db import Database
from services.jobs.prepare import prepared
from services.settings import Settings
from services.tables import EventRow

MIB = 1 << 20
DISK = 64 * MIB
SMALL, LARGE = film(1), film(2, size=2300)  # 5 KB, and 10 MB


def every_door(client: httpx.Client, case_id: str) -> Iterator[httpx.Request]:
    """A request at each door that keeps something."""
    keyed = {"Idempotency-Key": "k", "If-Match": "*"}
    yield request_of(client, case("other"), [("image", SMALL)])
    yield client.build_request("POST", "/v1/cases", json=case("other"), headers=keyed)
    yield client.build_request("POST", "/v1/cases:validate", json=case("other"))
    yield client.build_request("POST", f"/v1/cases/{case_id}/inputs", json={"labs": []}, headers=keyed)
    yield client.build_request("PUT", f"/v1/cases/{case_id}/modalities/labs", json={"complete": True}, headers=keyed)
    yield client.build_request("POST", f"/v1/cases/{case_id}/reconciliations", json={}, headers=keyed)
    yield client.build_request("POST", f"/v1/cases/{case_id}/results", headers=keyed)
    yield client.build_request("POST", f"/v1/cases/{case_id}/results/1/reviews", json={}, headers=keyed)
    yield client.build_request("POST", f"/v1/cases/{case_id}/results/1/withdrawal", json={}, headers=keyed)
    yield client.build_request("PUT", f"/v1/models/{'0' * 64}/switch", json={}, headers=keyed)


def check_full(client: httpx.Client, case_id: str) -> int:
    """The number of refusals, all told and each for want of room; what was kept is read meanwhile."""
    answers = [client.send(request) for request in every_door(client, case_id)]
    told = {(answer.status_code, answer.json()["code"], answer.headers["retry-after"]) for answer in answers}
    assert told == {(507, "storage_full", "30")}, told
    for path in ("/v1/cases", f"/v1/cases/{case_id}", f"/v1/cases/{case_id}/timeline", "/metrics", "/healthz"):
        assert client.get(path).status_code == 200, path
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["storage"], ready.json()["database"]) == (503, "failing", "ok")
    return len(answers)


def refusals(url: str) -> list[str]:
    """The ids of the requests that were refused for want of room, as they were recorded."""
    database = Database(url)
    with database.read() as session:
        found = session.scalars(sa.select(EventRow.request_id).where(EventRow.action == "request.refused")).all()
    database.close()
    return list(found)


def main(data: Path, artifact: Path) -> None:
    found = os.statvfs(data)
    assert found.f_blocks * found.f_frsize <= DISK, "not a small disk: it must not be filled"
    settings = Settings(data=data, artifact=artifact, allow_unpromoted=True, reserve_bytes=4 * MIB)
    prepared(settings.url).close()
    with running_api(settings) as client:
        case_id = post(client, case(), [("image", SMALL)]).json()["id"]
        fill(data / "ballast")
        first = post(client, case("first"), [("image", LARGE)])
        assert (first.status_code, first.json()["code"]) == (507, "storage_full"), first.text
        assert len(refusals(settings.url)) == 1
        told = check_full(client, case_id)
        assert len(refusals(settings.url)) == 1 + told
        assert not any((data / "blobs" / "incoming").iterdir())
        (data / "ballast").unlink()
        assert post(client, case("first"), [("image", LARGE)]).status_code == 202
        assert client.get("/readyz").json()["storage"] == "ok"


def fill(path: Path) -> None:
    """Until there is no room, and never more than the small disk can hold."""
    with path.open("wb", buffering=0) as file:
        try:
            for _ in range(DISK // 4096):
                file.write(bytes(4096))
        except OSError:
            return
    raise AssertionError("the disk is not full")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

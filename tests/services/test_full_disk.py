"""No room left: what would be kept is refused and the refusal recorded, what is kept is read, and once there is room
again the same process goes on.

Two ways to have no room: a limit on the size of files, which any process may set on its child; and a small disk of the
child's own, where the system lets everyone mount one."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from full_disk import DISK, LARGE, MIB, SMALL, check_full, every_door, refusals
from service_processes import running
from service_requests import case, post

from services.reserve import Reserve

SCRIPT = Path(__file__).parents[1] / "full_disk.py"
OF_ITS_OWN = ("unshare", "-Urm", "sh", "-ec")


@pytest.mark.slow
def test_upload_that_finds_no_room_is_refused_and_leaves_nothing(described_model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    url = f"sqlite:///{data / 'clinimm.db'}"
    with (
        running("serve", data, described_model, "--no-worker", "--port", "0") as service,
        httpx.Client(base_url=service.url(), timeout=30) as client,
    ):
        case_id = post(client, case(), [("image", SMALL)]).json()["id"]
        pid, (_, hard) = service.process.pid, resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (8 * MIB, hard))
        amid = post(client, case("large"), [("image", LARGE)], key="k", headers={"X-Request-Id": "amid"})
        assert (amid.status_code, amid.json()["code"]) == (507, "storage_full")
        assert not any((data / "blobs" / "incoming").iterdir())
        assert refusals(url) == ["amid"]
        told = check_full(client, case_id)
        assert len(refusals(url)) == 1 + told
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert post(client, case("large"), [("image", LARGE)], key="k").status_code == 202
        assert client.get("/readyz").json()["storage"] == "ok"


@pytest.mark.slow
def test_disk_that_fills_and_empties_stops_no_process(described_model: Path, tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size={DISK} tmpfs {tmp_path}"
    if subprocess.run([*OF_ITS_OWN, mount], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a disk of their own")
    command = [
        *OF_ITS_OWN,
        f'{mount}; exec "$@"',
        "sh",
        sys.executable,
        str(SCRIPT),
        str(tmp_path),
        str(described_model),
    ]
    root = str(SCRIPT.parents[1])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == 0, done.stderr
    assert not any(tmp_path.iterdir())  # it was its own


def test_reserve_is_made_only_where_there_is_room_for_it_twice(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, MIB)
    assert reserve.is_kept()
    assert (tmp_path / "reserve").stat().st_size == MIB
    reserve.give_up()
    too_much = shutil.disk_usage(tmp_path).free // 2 + (1 << 30)
    assert not Reserve(tmp_path, too_much).is_kept()
    assert not any(tmp_path.iterdir())
    assert Reserve(tmp_path, 0).is_sound()
    assert reserve.is_sound()
    assert [path.name for path in tmp_path.iterdir()] == ["reserve"]


def test_every_door_that_keeps_something_is_tried(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    keeping = {path for path, methods in paths.items() if methods.keys() & {"post", "put", "patch", "delete"}}
    given = {"case_id": "CASE", "modality": "labs", "version": "1", "digest": "0" * 64}
    assert {path.format(**given) for path in keeping} == {request.url.path for request in every_door(api, "CASE")}

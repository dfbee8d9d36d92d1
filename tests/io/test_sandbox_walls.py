"""Behind the walls there is no network, no other process and no file to change, even for root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, socket, sys, threading
from clinimm.io.sandbox_walls import forbid_calls, forbid_writing, raise_walls
folder, parent = sys.argv[1], os.getppid()
if not {wall}:
    print("not granted")
    sys.exit()
try:
    {attempt}
except OSError as error:
    print("refused")
else:
    print("done")
"""
ALL = "any(raise_walls(1 << 30).values()) is False"
CALLS = (
    "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "socket.socket(socket.AF_UNIX)",
    "socket.socketpair()",
    "os.fork()",
    "os.execv(sys.executable, [sys.executable, '-c', ''])",
    "os.posix_spawn(sys.executable, [sys.executable, '-c', ''], {{}})",
    "os.kill(parent, signal.SIGTERM)",
    "os.pidfd_open(parent)",
)
WRITING = (
    "open(folder + '/there', 'a').close()",
    "open(folder + '/there', 'w').close()",
    "open(folder + '/new', 'w').close()",
    "os.remove(folder + '/there')",
    "os.rename(folder + '/there', folder + '/moved')",
    "os.truncate(folder + '/there', 0)",
    "os.mkdir(folder + '/folder')",
    "os.symlink('/', folder + '/link')",
)


def behind(wall: str, attempt: str, folder: Path) -> str:
    """How the attempt ends in a fresh process that has raised the wall. Containers may forbid a wall itself."""
    code = SCRIPT.format(wall=wall, attempt=attempt.format())
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    if ended.stdout == "not granted\n":
        pytest.skip("this system does not grant the wall")
    return ended.stdout.strip()


@pytest.mark.parametrize("wall", [ALL, "forbid_calls()"])
@pytest.mark.parametrize("attempt", CALLS)
def test_no_socket_is_opened_and_no_other_process_touched(tmp_path: Path, wall: str, attempt: str) -> None:
    """The filter stands by itself, where the system grants no network namespace."""
    assert behind(wall, attempt, tmp_path) == "refused"


@pytest.mark.parametrize("wall", [ALL, "forbid_writing()"])
@pytest.mark.parametrize("attempt", WRITING)
def test_no_file_is_changed(tmp_path: Path, wall: str, attempt: str) -> None:
    (tmp_path / "there").write_text("kept", encoding="utf-8")
    assert behind(wall, attempt, tmp_path) == "refused"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize(
    "attempt",
    [
        "open(folder + '/there').read()",
        "os.listdir(folder)",
        "import fractions, decimal",
        pytest.param(
            "thread = threading.Thread(target=str); thread.start(); thread.join()",
            marks=pytest.mark.skipif(os.getuid() != 0, reason="threads count as processes for all but root"),
        ),
    ],
)
def test_reading_goes_on(tmp_path: Path, attempt: str) -> None:
    (tmp_path / "there").write_text("kept", encoding="utf-8")
    assert behind(ALL, attempt, tmp_path) == "done"

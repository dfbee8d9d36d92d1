"""A key is held by one request at a time, and by none that is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.errors import Conflict
from services.http.claims import Claims

HOLD = """
import sys
from pathlib import Path
from services.http.claims import Claims
with Claims(Path(sys.argv[1])).held("pacs", "killed"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(tmp_path)


def test_what_is_held_is_not_swept_and_leaves_no_name(claims: Claims, tmp_path: Path) -> None:
    with claims.held("pacs", "key"):
        assert claims.sweep() == 0
        with pytest.raises(Conflict), Claims(tmp_path).held("pacs", "key"):
            pass
        with claims.held("ehr", "key"):  # another client's key is another
            pass
    assert os.listdir(tmp_path) == []


def test_name_that_died_with_its_holder_is_swept(claims: Claims, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert claims.sweep() == 0
        holder.send_signal(signal.SIGKILL)
    assert claims.sweep() == 1
    assert os.listdir(tmp_path) == []
    with claims.held("pacs", "killed"):
        assert len(os.listdir(tmp_path)) == 1

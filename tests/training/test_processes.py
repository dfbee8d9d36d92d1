"""Two processes train as one run: both take every step, one writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, TINY

from clinimm.artifact import verify


@pytest.mark.slow
def test_two_processes_under_torchrun_leave_one_artifact(tiny_cohort: Path, tmp_path: Path) -> None:
    """The note's modality dropout and absent films must not let one rank wait for the other."""
    config = str(ROOT / "configs" / "quickstart.toml")
    settings = [*TINY, "run.devices=2", "run.device=cpu"]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python",
        str(Path(sys.executable).with_name("clinimm")), "train", config, "--data", str(tiny_cohort),
        "--out", str(tmp_path), *(part for one in settings for part in ("--set", one)),
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert found.returncode == 0, found.stderr[-2000:]
    assert verify(tmp_path / "artifact")
    told = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["fold"] for line in told] == [0, 0, 1, 1], "each epoch of each fold is told once, not once a process"
    assert found.stdout.count("wrote ") == 1

"""Two processes learn as one: the gradient of the whole batch, and the same figures after every epoch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from small_corpora import apart

from clinimm.pretraining.processes import Processes

sys.path.append(str(Path(__file__).parent))

from two_processes import MICRO_BATCHES, STRATEGIES, one_gradient, short_run


@pytest.mark.slow
def test_two_processes_have_the_gradient_and_the_figures_of_one(tmp_path: Path) -> None:
    """DDP and FSDP, with gradient caching and without, and parts of unequal size. Gradients are float64 but for the
    objectives; figures are float32, and sums are taken in another order."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(Path(__file__).with_name("two_processes.py")), str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    gradient = one_gradient(Processes(), None)
    figures = short_run(Processes(), tmp_path / "one")
    for strategy in STRATEGIES:
        found = load_file(tmp_path / f"{strategy}.safetensors")
        for size in MICRO_BATCHES:
            part = {name.removeprefix(f"{size}/"): g for name, g in found.items() if name.startswith(f"{size}/")}
            assert apart(gradient, part) < 1e-9
        told = json.loads((tmp_path / f"{strategy}.json").read_text())
        for row, expected in zip(told, figures, strict=True):
            assert row == pytest.approx(expected, rel=1e-4)

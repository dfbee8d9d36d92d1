"""Reports computed again: how many are the same to the bit, and how long one takes.

    python benchmarks/replay.py [--reports 100] [--elsewhere 20] [--artifact DIR --data COHORT] [--json FILE]

A service of its own is posted films with their notes, and then the labs of each case, so that every second report is of
an answer that superseded another. Then all are replayed in a fresh process, which shares no cache with the worker that
made them: on the same machine, and so many of them without the processor's vector instructions, as on another. One
thread.
Without an artifact, the quickstart's model is trained for two epochs: no good, but real in every part."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "CLINIMM_DEBOUNCE_SECONDS": "0.1"}

import httpx
from serving import complete_cases, parts_of, service, synthetic, until

import clinimm
from clinimm.config import load
from clinimm.data.cohort import read_cohort
from clinimm.paths import shipped
from clinimm.training.folds import split
from clinimm.training.run import train
from clinimm.types import Case, Measurements

QUICK = ("optim.epochs=2", "evaluation.bootstrap=20")
SAME, OTHER = "the same machine", "without vector instructions"
SWITCHED_OFF = {"ATEN_CPU_CAPABILITY": "default"}


@dataclass(frozen=True)
class Replayed:
    """How often each verdict was given, and the median and the 95th percentile of ms for one, loading left aside."""

    verdicts: Mapping[str, int]
    p50_ms: float
    p95_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=100)
    parser.add_argument("--elsewhere", type=int, default=20, help="reports without vector instructions")
    parser.add_argument("--artifact", type=Path, help="a trained model; needs --data")
    parser.add_argument("--data", type=Path, help="a cohort that it reads")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if (asked.artifact is None) != (asked.data is None):
        parser.error("--artifact and --data go together")
    with tempfile.TemporaryDirectory(prefix="clinimm-replay-") as scratch:
        folder = Path(scratch)
        cohort = asked.data or synthetic(folder / "cohort")
        artifact = asked.artifact or trained(cohort, folder / "run")
        data = folder / "service"
        with service(data, artifact) as client:
            reports = reported(client, complete_cases(artifact, cohort, min(40, asked.reports)), asked.reports)
        found = {SAME: replayed(data, artifact, reports, {})}
        found[OTHER] = replayed(data, artifact, asked.elsewhere, SWITCHED_OFF)
    show(found, reports)
    if asked.json:
        asked.json.write_text(
            json.dumps({"reports": reports} | {name: vars(one) for name, one in found.items()}, indent=1)
        )


def trained(cohort: Path, out: Path) -> Path:
    config = load(shipped(clinimm.__file__, "configs") / "quickstart.toml", QUICK)
    return train(config, split(config, read_cohort(config, cohort)), out).directory


def reported(client: httpx.Client, cases: Sequence[Case], count: int) -> int:
    """How many reports there are, once all are made: two of each case, before and after its labs."""
    links = []
    for number in range((count + 1) // 2):
        case = cases[number % len(cases)]
        early = replace(case, inputs={name: one for name, one in case.inputs.items() if name not in panels(case)})
        answer = client.post("/v1/cases", files=parts_of(early, uuid.uuid4().hex), headers=keyed())
        answer.raise_for_status()
        links.append((answer.json()["links"], case))
    for link, _ in links:
        until(lambda link=link: client.get(link["report"]).status_code == 200, pause=0.05, seconds=600)
    for link, case in links:
        (_, (_, told, _)), *_ = parts_of(case, "")
        inputs = json.dumps({"labs": json.loads(told)["labs"]})
        parts = [("inputs", (None, inputs, "application/json"))]
        client.post(f"{link['self']}/inputs", files=parts, headers=keyed()).raise_for_status()
    for link, _ in links:
        until(lambda link=link: len(client.get(link["results"]).json()["results"]) == 2, pause=0.05, seconds=600)
        until(lambda link=link: client.get(link["report"]).status_code == 200, pause=0.05, seconds=600)
    return 2 * len(links)


def panels(case: Case) -> set[str]:
    return {name for name, one in case.inputs.items() if isinstance(one, Measurements)}


def keyed() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def replayed(data: Path, artifact: Path, count: int, changes: Mapping[str, str]) -> Replayed:
    """By the command, in a process of its own; the first report, for which the model is loaded, is not timed."""
    command = [sys.executable, "-u", "-m", "services.cli", "audit", "replay", "--all", "--limit", str(count)]
    options = ["--data", str(data), "--artifact", str(artifact)]
    verdicts, ms, last = Counter[str](), [], 0.0
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, env={**os.environ, **changes}, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            now = time.perf_counter()
            verdicts[line.rstrip("\n").split("\t")[1]] += 1
            ms += [1e3 * (now - last)] if last else []
            last = now
    return Replayed(dict(verdicts), statistics.median(ms), statistics.quantiles(ms, n=20)[-1])


def show(found: Mapping[str, Replayed], reports: int) -> None:
    print(f"{reports} reports replayed, one thread")
    for name, one in found.items():
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(one.verdicts.items()))
        print(f"  {name:<30}{told:<40}{one.p50_ms:>8.0f} ms, p95 {one.p95_ms:.0f} ms")


if __name__ == "__main__":
    main()

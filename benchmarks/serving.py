"""A served prediction against the bare one on the same case: how long, and where the time goes.

    python benchmarks/serving.py --artifact DIR [--data COHORT] [--cases 20] [--json FILE]

Starts `clinimm-service serve` on loopback over a fresh SQLite database, posts complete cases one at a time, and waits
for each result and each report. Then, with the service gone, runs Predictor.predict on the same files in this process.
The service's parts are read from its own records; all figures are medians in milliseconds, from one run."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, text

from clinimm.config import Config, parse
from clinimm.types import Case, ImageFile, Kind, Measurements, Note

STEPS = text(
    "SELECT j.subject, (julianday(j.created_at) - 2440587.5) * 86400000, o.function_id, o.started_at_epoch_ms, "
    "o.completed_at_epoch_ms FROM jobs j JOIN operation_outputs o ON o.workflow_uuid = j.id WHERE j.kind = 'diagnose'"
)


@dataclass(frozen=True)
class Served:
    """Milliseconds of one case: until it was acknowledged, and until its result was seen."""

    case_id: str
    acknowledged: float
    answered: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--artifact", type=Path, required=True, help="a trained model")
    parser.add_argument("--data", type=Path, help="its cohort; without one, a synthetic one is written")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clinimm-serving-") as folder:
        cases = complete_cases(asked.artifact, asked.data or synthetic(Path(folder) / "cohort"), asked.cases)
        with service(Path(folder) / "service", asked.artifact) as client:
            post_and_wait(client, cases[0], "warm")
            served = [post_and_wait(client, case, f"case-{i}") for i, case in enumerate(cases)]
        inside = recorded(Path(folder) / "service" / "clinimm.db", {case.case_id for case in served})
        figures = summary(served, inside, bare(asked.artifact, cases))
    show(figures, len(cases))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2))


def synthetic(folder: Path) -> Path:
    from clinimm.data.synthetic import write_cohort

    write_cohort(folder, n=60, seed=7, rate=0.0)
    return folder


def complete_cases(artifact: Path, cohort: Path, count: int) -> list[Case]:
    from clinimm.data.cohort import read_cohort

    config: Config = parse(json.loads((artifact / "config.json").read_text()), where="config.json")
    kinds = {modality.name: modality.kind for modality in config.modalities()}
    whole = [case for case in read_cohort(config, cohort) if set(case.inputs) == set(kinds)]
    if len(whole) < count or Kind.IMAGE not in kinds.values():
        sys.exit(f"the cohort has {len(whole)} complete cases, {count} are asked for")
    return whole[:count]


@contextmanager
def service(data: Path, artifact: Path, database_url: str = "") -> Iterator[httpx.Client]:
    """A client of a service of its own, ready to answer."""
    command = [sys.executable, "-m", "services.cli", "serve", "--port", "0"]
    options = ["--data", str(data), "--artifact", str(artifact), "--allow-unpromoted"]
    options += ["--database-url", database_url] if database_url else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        try:
            with httpx.Client(base_url=url, timeout=60) as client:
                until(lambda: client.get("/readyz").status_code == 200, pause=0.2)
                yield client
        finally:
            process.terminate()


def post_and_wait(client: httpx.Client, case: Case, reference: str) -> Served:
    started = time.perf_counter()
    answer = client.post("/v1/cases", files=parts_of(case, reference), headers={"Idempotency-Key": uuid.uuid4().hex})
    answer.raise_for_status()
    acknowledged = time.perf_counter()
    links = answer.json()["links"]
    until(lambda: client.get(links["results"]).json()["state"] == "done", pause=0.005)
    answered = time.perf_counter()
    until(lambda: client.get(links["report"]).status_code == 200, pause=0.05)  # so that the next case is alone
    return Served(answer.json()["id"], 1e3 * (acknowledged - started), 1e3 * (answered - started))


def parts_of(case: Case, reference: str) -> list[tuple[str, Any]]:
    """The case as multipart: one JSON part, and its films."""
    given: dict[str, Any] = {"reference": reference, "patient": {"id": case.patient_id}, "labs": []}
    files: list[tuple[str, Any]] = []
    for name, content in case.inputs.items():
        match content:
            case ImageFile(paths=paths):
                files += [(f"image:{name}", ("film", path.read_bytes(), "application/dicom")) for path in paths]
            case Note(text=words):
                given["note"] = {"text": words}
            case Measurements(values=values):
                given["labs"] += [{"name": m.name, "value": float(m.value), "unit": m.unit} for m in values]
    return [("case", (None, json.dumps(given), "application/json")), *files]


def recorded(database: Path, case_ids: set[str]) -> dict[str, list[float]]:
    """By part, the milliseconds that the service's own records tell of each case."""
    with create_engine(f"sqlite:///{database}").connect() as connection:
        rows = [row for row in connection.execute(STEPS) if row[0] in case_ids]
    computed = [(created, start, end) for _, created, step, start, end in rows if step == 1]
    return {
        "queue wait": [float(start - created) for created, start, _ in computed],
        "compute in worker": [float(end - start) for _, start, end in computed],
        "store result": [float(end - start) for _, _, step, start, end in rows if step == 2],
    }


def bare(artifact: Path, cases: Sequence[Case]) -> dict[str, list[float]]:
    """By part, the milliseconds of a prediction of each case in this process."""
    import torch

    from clinimm.inference import Predictor

    predictor = Predictor.load(artifact)
    predictor.predict(cases[:1])
    batches = [predictor.preparer.prepare(case) for case in cases]
    with torch.inference_mode():
        forward = [timed(lambda batch=batch: predictor.network(batch)) for batch in batches]
    return {
        "bare prepare": [timed(lambda case=case: predictor.preparer.prepare(case)) for case in cases],
        "bare encode and fuse": forward,
        "bare predict": [timed(lambda case=case: predictor.predict([case])) for case in cases],
    }


def summary(
    served: Sequence[Served], inside: dict[str, list[float]], alone: dict[str, list[float]]
) -> dict[str, float]:
    parts = {
        "POST to 202": [case.acknowledged for case in served],
        **inside,
        **alone,
        "POST to result": [case.answered for case in served],
    }
    medians = {name: round(statistics.median(values), 2) for name, values in parts.items()}
    medians["ratio served / bare"] = round(medians["POST to result"] / medians["bare predict"], 2)
    return medians


def show(figures: dict[str, float], count: int) -> None:
    whole = figures["POST to result"]
    print(f"{count} cases, one at a time; medians in ms, and as a share of POST to result")
    for name, value in figures.items():
        share = "" if name.startswith("ratio") else f"{100 * value / whole:>8.0f} %"
        print(f"  {name:<24}{value:>10.2f}{share}")


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return 1e3 * (time.perf_counter() - started)


def until(reached: Callable[[], bool], *, pause: float, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            sys.exit("the service did not answer in time")
        time.sleep(pause)


if __name__ == "__main__":
    main()

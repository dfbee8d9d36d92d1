"""The service under load: complete cases at a steady rate, reads over a full database, and ten times what it can take.
On SQLite and on PostgreSQL, one after the other.

    python benchmarks/service_load.py --artifact DIR [--data COHORT] [--cases 60] [--stored 100000] [--overload 600]
        [--json FILE]

1. One complete case (film, note, labs) a second is posted by a client that does not wait for the one before: seconds
   from the post to the result, p50 and p95.
2. With --stored cases and results in the database (inserted in bulk, each with a result of the model), 50 results a
   second are read for 30 s by clients that do not wait for one another: ms, p50 and p95; and lists of 100.
3. Cases are posted by 40 clients without a pause for --overload seconds, ten times and more of what one worker answers:
   what was acknowledged and refused; memory of the API, its worker, what keeps it and their decoders before, a minute
   in, half way and at the end (medians of half a minute), and at its most; ms until a post is acknowledged, one a
   second, before it and in the half minute after; and how many jobs then wait."""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from databases import new_database, postgres
from serving import complete_cases, parts_of, service, synthetic, until

from clinimm.types import Case
from services.db import Database
from services.settings import Settings
from services.tables import Base

BLOCK = 5_000
READS_A_SECOND, READ_SECONDS = 50, 30
OVERLOAD_CLIENTS, CALM_POSTS = 40, 30
SPAN = 30  # seconds that memory is a median of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--artifact", type=Path, required=True, help="a trained model")
    parser.add_argument("--data", type=Path, help="its cohort; without one, a synthetic one is written")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--stored", type=int, default=100_000)
    parser.add_argument("--overload", type=float, default=60, help="seconds")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clinimm-load-") as folder:
        cases = complete_cases(asked.artifact, asked.data or synthetic(Path(folder) / "cohort"), 20)
        figures: dict[str, dict[str, Any]] = {}
        with postgres(Path(folder) / "pg") as server:
            for name, url in (("SQLite", ""), ("PostgreSQL", new_database(server, "clinimm"))):
                figures[name] = under_load(Path(folder) / name, url, asked, cases)
                show(name, figures[name])
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2))


def under_load(data: Path, database_url: str, asked: argparse.Namespace, cases: Sequence[Case]) -> dict[str, Any]:
    """All figures on one database; "" is SQLite in `data`."""
    with service(data, asked.artifact, database_url) as client:
        found: dict[str, Any] = {"steady": steady(client, cases, asked.cases)}
        filled = fill(Settings(data=data, database_url=database_url).url, asked.stored)
        found["reads"] = {"stored": asked.stored} | reads(client, filled)
        found["overload"] = overload(client, cases, asked.overload)
    return found


def steady(client: httpx.Client, cases: Sequence[Case], count: int) -> dict[str, float]:
    """Seconds from post to result, one case a second."""
    posted_and_answered(client, cases[0])

    def run(number: int) -> float:
        time.sleep(max(0.0, started + number - time.perf_counter()))
        return posted_and_answered(client, cases[number % len(cases)])

    started = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        seconds = list(pool.map(run, range(count)))
    return {"cases": count, "p50_s": quantile(seconds, 0.5), "p95_s": quantile(seconds, 0.95), "max_s": max(seconds)}


def posted_and_answered(client: httpx.Client, case: Case) -> float:
    started = time.perf_counter()
    answer = post(client, case)
    answer.raise_for_status()
    links = answer.json()["links"]
    until(lambda: client.get(links["results"]).json()["state"] == "done", pause=0.02)
    return time.perf_counter() - started


def post(client: httpx.Client, case: Case) -> httpx.Response:
    files = parts_of(case, uuid.uuid4().hex)
    return client.post("/v1/cases", files=files, headers={"Idempotency-Key": uuid.uuid4().hex})


def fill(url: str, count: int) -> list[str]:
    """Ids of new cases, each with a job done and a result: copies of one that was answered."""
    connection = Database(url)
    tables = Base.metadata.tables
    with connection.engine.begin() as session:
        result = session.execute(sa.select(tables["results"]).limit(1)).mappings().one()
        case = (
            session.execute(sa.select(tables["cases"]).where(tables["cases"].c.id == result["case_id"]))
            .mappings()
            .one()
        )
    numbered = {name: value for name, value in case.items() if name != "seq"}  # the database numbers it
    ids = [str(uuid.uuid4()) for _ in range(count)]
    for start in range(0, count, BLOCK):
        some = ids[start : start + BLOCK]
        with connection.engine.begin() as session:
            session.execute(
                sa.insert(tables["cases"]),
                [{**numbered, "id": one, "created_hash": one} for one in some],
            )
            session.execute(
                sa.insert(tables["results"]),
                [{**result, "id": f"{one}-1", "case_id": one, "version": 1, "supersedes": None} for one in some],
            )
            session.execute(sa.insert(tables["flags"]), [flag(one, i) for i, one in enumerate(some)])
            session.execute(sa.insert(tables["jobs"]), [done(one) for one in some])
    connection.close()
    return ids


def flag(case_id: str, number: int) -> dict[str, str]:
    return {"result_id": f"{case_id}-1", "flag": "missing:labs" if number % 5 == 0 else "ok", "case_id": case_id}


def done(case_id: str) -> dict[str, Any]:
    return {
        "id": f"diagnose:{case_id}:1:0", "kind": "diagnose", "subject": case_id, "state": "done", "attempts": 1,
        "reason": "", "version": 1, "request_id": "", "created_at": datetime.now(UTC),
    }  # fmt: skip


def reads(client: httpx.Client, case_ids: Sequence[str]) -> dict[str, float]:
    """ms of reading a result, and of reading lists of 100, flagged or not."""
    lists = ["/v1/cases?limit=100", "/v1/cases?limit=100&flag=missing:labs"] * 10
    listed = [timed(client, path) for path in lists]
    paths = [f"/v1/cases/{one}/results" for one in case_ids[:: max(1, len(case_ids) // 1500)]]
    read = at_rate(lambda i: timed(client, paths[i % len(paths)]), READS_A_SECOND, READ_SECONDS)
    return {
        "result_p50_ms": quantile(read, 0.5),
        "result_p95_ms": quantile(read, 0.95),
        "list_p50_ms": quantile(listed, 0.5),
        "list_p95_ms": quantile(listed, 0.95),
    }


def at_rate(read: Callable[[int], float], a_second: int, seconds: int) -> list[float]:
    def run(number: int) -> float:
        time.sleep(max(0.0, started + number / a_second - time.perf_counter()))
        return read(number)

    started = time.perf_counter()
    with ThreadPoolExecutor(32) as pool:
        return list(pool.map(run, range(a_second * seconds)))


def timed(client: httpx.Client, path: str) -> float:
    started = time.perf_counter()
    client.get(path).raise_for_status()
    return 1e3 * (time.perf_counter() - started)


def overload(client: httpx.Client, cases: Sequence[Case], seconds: float) -> dict[str, Any]:
    """What becomes of far more than can be answered."""
    calm = acknowledged_ms(client, cases)
    before, series, stop = sum(resident().values()), list[dict[int, int]](), threading.Event()

    def watch() -> None:
        while not stop.wait(1):
            series.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    codes = flood(client, cases, seconds)
    stop.set()
    watcher.join()
    after = acknowledged_ms(client, cases)
    memory = [sum(each.values()) for each in series]
    largest = series[memory.index(max(memory))]
    return {
        "seconds": seconds,
        "posts": len(codes),
        "acknowledged": sum(code == 202 for code in codes),
        "told_to_come_again": sum(code in (429, 503) for code in codes),
        "other": sum(code not in (202, 429, 503) for code in codes),
        "mb_before": before,
        "mb_a_minute_in": statistics.median(memory[60:][:SPAN] or memory),
        "mb_half_way": statistics.median(memory[len(memory) // 2 :][:SPAN]),
        "mb_at_the_end": statistics.median(memory[-SPAN:]),
        "mb_most": max(memory),
        "mb_most_of_one": max(largest.values()),
        "processes_then": len(largest),
        "ack_p95_ms_before": quantile(calm, 0.95),
        "ack_p95_ms_after": quantile(after, 0.95),
        "jobs_left": waiting(client),
    }


def flood(client: httpx.Client, cases: Sequence[Case], seconds: float) -> list[int]:
    """The status of every post of clients that never pause."""
    end = time.perf_counter() + seconds

    def pour(number: int) -> list[int]:
        codes = []
        while time.perf_counter() < end:
            codes.append(post(client, cases[number % len(cases)]).status_code)
        return codes

    with ThreadPoolExecutor(OVERLOAD_CLIENTS) as pool:
        return [code for each in pool.map(pour, range(OVERLOAD_CLIENTS)) for code in each]


def acknowledged_ms(client: httpx.Client, cases: Sequence[Case]) -> list[float]:
    """How long a post takes that is alone, one a second."""
    found = []
    for number in range(CALM_POSTS):
        started = time.perf_counter()
        post(client, cases[number % len(cases)])
        found.append(1e3 * (time.perf_counter() - started))
        time.sleep(max(0.0, 1 - found[-1] / 1e3))
    return found


def waiting(client: httpx.Client) -> float:
    """How many diagnoses wait, by the service's own metrics."""
    lines = client.get("/metrics").text.splitlines()
    wanted = 'clinimm_jobs{kind="diagnose",state="queued"}'
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted)), 0.0)


def resident() -> dict[str, int]:
    """MB of each process of the service, by its number: those that descend from ours, what they share told apart."""
    found, ours = {}, descendants(os.getpid())
    for process in ours:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            line = next(line for line in lines if line.startswith("Pss:"))
            found[process] = int(line.split()[1]) // 1024
    return found


def descendants(process: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(status.read_text().rpartition(")")[2].split()[1]), []).append(
                int(status.parent.name)
            )
    found, left = list[int](), [process]
    while left:
        more = children.get(left.pop(), [])
        found += more
        left += more
    return found


def quantile(values: Sequence[float], share: float) -> float:
    return round(statistics.quantiles(values, n=100, method="inclusive")[round(100 * share) - 1], 3)


def show(database: str, figures: dict[str, Any]) -> None:
    for name, told in figures.items():
        print(f"{database}, {name}: " + ", ".join(f"{key} {value:g}" for key, value in told.items()), flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""One trial: a service, its clients, its killers, and what is true at the end."""

import math
import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import sqlalchemy as sa

from chaos.clients import Careful, Ledger
from chaos.fleet import Kill, Killer, Member, free_port, preload
from chaos.invariants import Findings, check
from services.db import Database
from services.jobs import state
from services.jobs.prepare import prepared
from services.tables import DueRow, JobRow

IMPATIENT = {
    "CLINIMM_ALLOW_UNPROMOTED": "true",
    "CLINIMM_HEARTBEAT_SECONDS": "0.3",
    "CLINIMM_LEASE_SECONDS": "2",
    "CLINIMM_DEBOUNCE_SECONDS": "0.5",
    "CLINIMM_DEBOUNCE_CAP_SECONDS": "3",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Plan:
    """`kills` are those of all processes together, of which workers get `worker_share`, unless `seconds` are over
    before; `pause` is the mean time in seconds between two acts of a client; `cold_share` of the starts load Python
    anew."""

    kills: int
    seed: int = 1
    apis: int = 2
    workers: int = 2
    clients: int = 4
    pause: float = 0.2
    worker_share: float = 0.1
    cold_share: float = 0.1
    seconds: float = math.inf
    rest_seconds: float = 600.0


@dataclass(frozen=True)
class Outcome:
    plan: Plan
    kills: list[Kill]
    ledger: Ledger
    findings: Findings
    seconds: float

    @property
    def breaches(self) -> list[str]:
        return [*self.ledger.odd, *self.findings.breaches]


def run(plan: Plan, url: str, folder: Path, artifact: Path) -> Outcome:
    """Raises TimeoutError where a process does not come back, or the work does not come to its end."""
    started = time.monotonic()
    prepared(url).close()
    preload()
    data = folder / "data"
    data.mkdir(parents=True)
    environment = IMPATIENT | {
        "CLINIMM_DATA": str(data), "CLINIMM_ARTIFACT": str(artifact), "CLINIMM_DATABASE_URL": url,
    }  # fmt: skip
    apis = [Member(f"api-{i}", folder / f"api-{i}.log", environment, free_port()) for i in range(plan.apis)]
    workers = [Member(f"worker-{i}", folder / f"worker-{i}.log", environment) for i in range(plan.workers)]
    ledger = Ledger()
    try:
        for member in [*apis, *workers]:
            member.start(cold=False)
        for member in [*apis, *workers]:
            member.await_ready(0)
        kills = _under_load(plan, apis, workers, ledger)
        _await_rest(url, plan.rest_seconds)
        _replay(apis[0].address, ledger)
    finally:
        for member in [*apis, *workers]:
            member.kill()
    return Outcome(plan, kills, ledger, check(url, data, ledger.acknowledged), time.monotonic() - started)


def _under_load(plan: Plan, apis: list[Member], workers: list[Member], ledger: Ledger) -> list[Kill]:
    stopped, addresses = threading.Event(), [api.address for api in apis]
    answered = {api.address: api.answered for api in apis}
    killers: list[Killer] = []
    deadline = time.monotonic() + plan.seconds

    def enough(kind: str, most: int) -> bool:
        done = sum(len(killer.kills) for killer in killers if killer.member.name.startswith(kind))
        failed = any(killer.failure for killer in killers)
        return done >= most or failed or time.monotonic() > deadline

    of_workers = round(plan.kills * plan.worker_share) if workers else 0
    for member in [*apis, *workers]:
        kind, most = ("api", plan.kills - of_workers) if member.port else ("worker", of_workers)
        rng = random.Random(f"{plan.seed}/{member.name}")
        killers.append(Killer(member, rng, partial(enough, kind, most), plan.cold_share))
    clients = [
        Careful(i, addresses, ledger, stopped, lambda address: answered[address].set(), plan.seed, plan.pause)
        for i in range(plan.clients)
    ]
    with ThreadPoolExecutor(len(killers) + len(clients)) as pool:
        posting = [pool.submit(client.work) for client in clients]
        for killing in [pool.submit(killer.work) for killer in killers]:
            killing.result()
        stopped.set()
        for one in posting:
            one.result()
    if failures := [killer.failure for killer in killers if killer.failure]:
        raise failures[0]
    return [kill for killer in killers for kill in killer.kills]


def _await_rest(url: str, seconds: float) -> None:
    """Waits until no work is owed. Raises TimeoutError."""
    database, deadline = Database(url), time.monotonic() + seconds
    try:
        while True:
            with database.read() as session:
                owed = sa.select(sa.func.count()).select_from(JobRow).where(JobRow.state == state.QUEUED)
                left = (session.scalar(owed) or 0) + (
                    session.scalar(sa.select(sa.func.count()).select_from(DueRow)) or 0
                )
            if not left:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{left} jobs are still owed")
            time.sleep(0.3)
    finally:
        database.close()


def _replay(address: str, ledger: Ledger, most: int = 200) -> None:
    """Asks again under keys that were answered: the answer is the same to the byte."""
    step = max(1, len(ledger.acknowledged) // most)
    with httpx.Client(base_url=address, timeout=30) as client:
        for one in ledger.acknowledged[::step]:
            ledger.note(one.post, one.post.send(client))


def table(outcome: Outcome) -> str:
    """The trial in a few lines for people."""
    found, ledger = outcome.findings, outcome.ledger
    of_workers = [kill for kill in outcome.kills if kill.member.startswith("worker")]
    lines = [
        ("kills", f"{len(outcome.kills)} ({len(of_workers)} of workers)"),
        *(
            (f"  {how}", str(sum(kill.how == how for kill in outcome.kills)))
            for how in ("while", "answer", "line", "start")
        ),
        ("requests sent", str(ledger.posts)),
        ("acknowledged", f"{len(ledger.acknowledged)} posts, {found.cases} cases, {found.versions} versions"),
        ("results", str(found.results)),
        ("lost", str(len(found.lost))),
        ("half", str(len(found.halved))),
        ("doubled", str(len(found.doubled))),
        ("unanswered", str(len(found.unanswered))),
        ("given up after 4 attempts", str(found.given_up)),
        ("orphans", f"{len(found.orphans)} (after the janitor took {found.swept} files)"),
        ("odd answers", str(len(ledger.odd))),
    ]
    for kind in ("api", "worker"):
        for cold in (True, False):
            times = [
                kill.recovery
                for kill in outcome.kills
                if kill.recovery is not None and kill.cold is cold and kill.member.startswith(kind)
            ]
            if times:
                said = f"p50 {statistics.median(times):.1f}, max {max(times):.1f} (n = {len(times)})"
                lines.append((f"{kind} ready again, {'cold' if cold else 'forked'}, s", said))
    lines.append(("seconds", f"{outcome.seconds:.0f}"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {said}" for name, said in lines)

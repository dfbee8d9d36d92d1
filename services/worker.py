"""A worker: one model in memory, answering what is owed until it is told to stop."""

import logging
import multiprocessing
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from clinimm.features.store import Features
from clinimm.inference import Predictor
from clinimm.io.sandbox import Sandbox
from services import audit
from services.audit.heads import Signer
from services.audit.notary import Notary
from services.blobs import Blobs, Sweeper
from services.cases import store as cases
from services.cases.hold import read_secret
from services.cases.owing import Settler
from services.db import Database, is_away
from services.diagnosis import Diagnosis
from services.http.claims import Claims
from services.jobs import skew
from services.jobs.engine import Engine
from services.jobs.executors import Executors
from services.jobs.prepare import ready
from services.jobs.queue import Queue
from services.reports import store as reports
from services.settings import Settings
from services.similar import search
from services.switch import leave

log = logging.getLogger(__name__)

SWEEP_SECONDS = 300.0


def run(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT, then ends what it has begun, or hands it back. The worker of an API's process ends
    with that process too."""
    stop = _stop_event()
    database = ready(settings.url, settings.tenant)
    audit.keyed(database, read_secret(settings.data))
    reads = Reads()
    sandbox = Sandbox(settings.limits.confinement, processes=2, observe=reads.note)
    features = Features(settings.data / "features", settings.features_bytes)
    predictor, explainer = (
        Predictor.load(
            settings.model,
            device=settings.device,
            threads=settings.threads,
            sandbox=sandbox,
            backbone=settings.backbone,
            features=features,
        )
        for _ in ("diagnose", "explain")
    )
    found = search.opened(database, settings.vectors, predictor.digest, predictor.config.fused_width)
    blobs, queue = Blobs(settings.data / "blobs"), Queue(database, settings.queue_limit)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    executors = Executors(database, name, predictor.digest, lease_seconds=settings.lease_seconds)
    executors.beat()
    may_work = leave(database, predictor.digest)
    engine = Engine(database, name, poll_seconds=settings.poll_seconds, may_work=may_work)
    engine.start(Diagnosis(predictor, explainer, database, blobs, queue, found).jobs())
    log.info("worker ready", extra={"worker": name, "model": predictor.digest})
    settler = Settler(database, queue, predictor.digest, settings.pace)
    claims = Claims(settings.data / "keys")
    notary = Notary(database, Signer(settings.heads_folder))
    _Housekeeping(database, blobs, queue, executors, engine, settler, reads, claims, notary).until(
        stop, every=settings.heartbeat_seconds
    )
    log.info("worker stopping", extra={"worker": name})
    engine.stop(settings.drain_seconds)
    handed_back = executors.leave(queue.client)
    _attempt(notary.close)
    log.info("worker stopped", extra={"worker": name, "handed_back": len(handed_back)})
    sandbox.close()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)  # what is still being computed was handed back, and must not hold the process


@dataclass
class _Housekeeping:
    """What a worker does beside its work: say that it lives, rescue what the dead had begun, recall what nobody is at,
    owe what has become quiet, sweep up after crashes."""

    database: Database
    blobs: Blobs
    queue: Queue
    executors: Executors
    engine: Engine
    settler: Settler
    reads: "Reads"
    claims: Claims
    notary: Notary
    swept: float = 0.0

    def __post_init__(self) -> None:
        self.sweeper = Sweeper(self.blobs, self.referenced)

    def until(self, stop: threading.Event, *, every: float) -> None:
        while not stop.wait(every):
            _attempt(self.turn)

    def turn(self) -> None:
        self.executors.beat({"reads": self.reads.counted()})
        rescued = self.executors.rescue(self.queue.client)
        recalled = self.executors.recall(self.queue.client, self.engine.running)
        self.settler.turn()
        self.notary.turn()
        if rescued:
            log.warning("jobs rescued from dead workers", extra={"jobs": rescued})
        if recalled:
            log.warning("jobs recalled that nobody was at", extra={"jobs": recalled})
        if time.monotonic() - self.swept > SWEEP_SECONDS:
            self.swept = time.monotonic()
            gone = {"removed": self.sweeper.turn(), "keys": self.claims.sweep()}
            log.info("swept", extra=gone | {"renewed": self.renewed()})

    def renewed(self) -> int:
        """How many queued jobs had no workflow, as where one could not write its end, and were given another."""
        with self.database.write() as session:
            return len(skew.renew(session, self.database, self.queue))

    def referenced(self, names: Collection[str]) -> Collection[str]:
        with self.database.read() as session:
            return cases.known(session, names) | reports.known(session, names)


class Reads:
    """How many files this worker has read, and the seconds that it took, by transfer syntax."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def note(self, transfer_syntax: str, seconds: float) -> None:
        with self._lock:
            count, spent = self._counted.get(transfer_syntax, (0, 0.0))
            self._counted[transfer_syntax] = count + 1, spent + seconds

    def counted(self) -> dict[str, tuple[int, float]]:
        with self._lock:
            return dict(self._counted)


def _attempt(chore: Callable[[], object]) -> None:
    try:
        chore()
    except Exception as error:
        if not is_away(error):
            log.exception("housekeeping failed")


def _stop_event() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_await_end, args=(parent, stop), daemon=True).start()
    return stop


def _await_end(parent: BaseProcess, stop: threading.Event) -> None:
    parent.join()
    stop.set()

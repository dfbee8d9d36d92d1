"""What /metrics tells: requests from this process, queue and workers from the database, no identity of anyone."""

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from services.db import Database
from services.jobs import state
from services.tables import CaseRow, WorkerRow

METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


class Metrics:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "clinimm_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "clinimm_http_request_seconds", "Time to answer", ["method", "route"], registry=self.registry
        )
        self.jobs = Gauge("clinimm_jobs", "Jobs by kind and state", ["kind", "state"], registry=self.registry)
        self.cases = Gauge("clinimm_cases", "Cases stored", registry=self.registry)
        self.workers = Gauge("clinimm_workers", "Workers with a heartbeat row", registry=self.registry)

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def exposition(self) -> bytes:
        with self.database.read() as session:
            for (kind, job_state), count in state.counts(session).items():
                self.jobs.labels(kind, job_state).set(count)
            self.cases.set(session.scalar(sa.select(sa.func.count()).select_from(CaseRow)) or 0)
            self.workers.set(session.scalar(sa.select(sa.func.count()).select_from(WorkerRow)) or 0)
        return generate_latest(self.registry)

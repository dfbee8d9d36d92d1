"""An API and a worker's own parts in this process: what is owed is done when the test says so."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from service_processes import running_api
from service_requests import Image

from clinimm.inference import Predictor
from services import audit
from services.blobs import Blobs
from services.cases.hold import read_secret
from services.cases.owing import Settler
from services.db import Database
from services.diagnosis import Diagnosis
from services.jobs import state
from services.jobs.queue import Queue
from services.settings import Settings
from services.similar.search import opened
from services.tables import JobRow

CRP: dict[str, Any] = {
    "id": "L-1",
    "name": "crp",
    "value": 84.5,
    "unit": "mg/L",
    "collected_at": "2026-01-17T08:00:00Z",
}


def add(
    client: httpx.Client,
    case_id: str,
    inputs: dict[str, Any] | None = None,
    images: list[Image] | None = None,
    **headers: str,
) -> httpx.Response:
    """Posts more inputs of a case under a fresh key."""
    files: list[tuple[str, Any]] = [(name, ("f.dcm", data, "application/dicom")) for name, data in images or []]
    if inputs is not None:
        files.append(("inputs", (None, json.dumps(inputs).encode(), "application/json")))
    return client.post(f"/v1/cases/{case_id}/inputs", files=files, headers={"Idempotency-Key": uuid.uuid4().hex})


@dataclass
class Ward:
    """An API and, in this process, the worker's own parts: what is owed is done when `work` is called."""

    api: httpx.Client
    database: Database
    worker: Diagnosis
    settler: Settler

    def work(self) -> None:
        """Does all jobs that are owed, the cases that wait being quiet."""
        self.settler.turn()
        with self.database.read() as session:
            owed = list(session.scalars(sa.select(JobRow).where(JobRow.state == state.QUEUED)))
        for job in owed:
            compute, keep = (
                (self.worker.predict, self.worker.keep_result)
                if job.kind == "diagnose"
                else (self.worker.explain, self.worker.keep_report)
            )
            outcome = compute(job.subject)
            with self.database.write() as session:
                keep(session, job.subject, outcome)
                state.finish(session, job.id)
        if owed:
            self.work()

    def results(self, case_id: str) -> list[dict[str, Any]]:
        return list(self.api.get(f"/v1/cases/{case_id}/results").json()["results"])


@contextmanager
def open_ward(url: str, artifact: Path, data: Path, predictor: Predictor | None = None) -> Iterator[Ward]:
    """Over a migrated database, with its files in `data`."""
    settings = Settings(data=data, artifact=artifact, allow_unpromoted=True, database_url=url, debounce_seconds=0)
    database, predictor = Database(settings.url), predictor or Predictor.load(artifact)
    audit.keyed(database, read_secret(data))
    queue = Queue(database, 1000)
    search = opened(database, settings.vectors, predictor.digest, predictor.config.fused_width)
    worker = Diagnosis(predictor, predictor, database, Blobs(data / "blobs"), queue, search)
    with running_api(settings) as api:
        yield Ward(api, database, worker, Settler(database, queue, predictor.digest, settings.pace))
    queue.close()
    database.close()

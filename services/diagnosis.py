"""The one place that sees every slice: from a case's id to its stored result, and from the result to its report.

    diagnose:  load -> predict -> store the result, and owe its report
    explain:   load -> predict again -> attribute -> draw -> store the report

Two jobs, since no result, of this case or of any other, waits for an attribution. Both may run again at any point."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from clinimm.errors import ArtifactError
from clinimm.inference import Predictor
from clinimm.report import html, record
from clinimm.types import Case
from services.blobs import Blobs
from services.cases import load
from services.cases import store as cases
from services.cases.store import StoredCase
from services.db import Database
from services.jobs.engine import Job
from services.jobs.queue import Queue
from services.reports import service as reports
from services.reports.store import StoredReport
from services.results import service as results
from services.results import store as result_store
from services.similar import service as similar
from services.similar import vectors
from services.similar.search import Search
from services.similar.store import Embedding


@dataclass(frozen=True)
class Diagnosis:
    """`predictor` and `explainer` are of one artifact: a predictor serves one thread at a time, and here are two."""

    predictor: Predictor
    explainer: Predictor
    database: Database
    blobs: Blobs
    queue: Queue
    search: Search

    def jobs(self) -> list[Job]:
        return [Job("diagnose", self.predict, self.keep_result), Job("explain", self.explain, self.keep_report)]

    def predict(self, case_id: str) -> Mapping[str, Any]:
        """The prediction's record, and beside it where the case lies: `point`."""
        answer = self.predictor.answer(self._case(self._stored(case_id)))
        return answer.prediction.record() | {"point": vectors.to_text(answer.point)}

    def keep_result(self, session: Session, case_id: str, outcome: Mapping[str, Any]) -> None:
        """Stores the answer and where it lies, and owes its report, in one transaction."""
        stored = _found(cases.get(session, case_id))
        record = dict(outcome)
        point = vectors.from_text(record.pop("point", None))  # none in what an older version had computed
        result_id = results.keep(session, case_id, stored.inputs_hash, record, load.door_flags(stored))
        if result_id is None:
            return
        similar.forget(session, case_id, record["artifact"])
        if point is not None:
            embedding = Embedding(result_id, case_id, stored.patient_id, record["artifact"], point)
            similar.keep(session, self.search, embedding)
        self.queue.enqueue(session, "explain", result_id, self.predictor.digest)

    def explain(self, result_id: str) -> Mapping[str, Any]:
        """The hashes of the report's record and page, both kept. Raises ArtifactError if the result is another
        model's: its report must not be made by this one."""
        with self.database.read() as session:
            result = _found(result_store.get(session, result_id))
        if result.model != self.predictor.digest:
            raise ArtifactError("the result is another model's", where=result_id, mend="run a worker with that model")
        case = self._case(self._stored(result.case_id))
        prediction = self.explainer.predict([case])[0]
        told = record.build(self.explainer, case, prediction, self.explainer.explain(case))
        page = html.render(told)
        return {"record": self.blobs.put(_canonical(told)), "page": self.blobs.put(page.encode())}

    def keep_report(self, session: Session, result_id: str, outcome: Mapping[str, Any]) -> None:
        reports.keep(session, StoredReport(result_id, outcome["record"], outcome["page"]))

    def _stored(self, case_id: str) -> StoredCase:
        with self.database.read() as session:
            return _found(cases.get(session, case_id))

    def _case(self, stored: StoredCase) -> Case:
        return load.load(stored, self.predictor.modalities, self.blobs)


def _canonical(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _found(row: Any) -> Any:
    """A job is owed in the transaction that stores its subject, so a subject that is gone is our own fault."""
    if row is None:
        raise LookupError("the subject of a job is gone")
    return row

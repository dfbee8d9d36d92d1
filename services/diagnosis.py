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
from services.blobs import Blobs, DamagedBlob
from services.cases import load
from services.cases import store as cases
from services.cases.content import FILE_MISSING, FILE_RETURNED, settled
from services.cases.stored import StoredCase, at_version
from services.db import Database
from services.jobs.engine import Job
from services.jobs.queue import Queue
from services.reports import service as reports
from services.reports.store import StoredReport
from services.results import service as results
from services.results import store as result_store
from services.reviews import service as reviews
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
        """The prediction's record of the case as it is now, beside it where the case lies (`point`) and what it was
        asked of (`content`). Nothing but `skipped` where no answer may be given, or where this model gave it before."""
        with self.database.read() as session:
            stored = _found(cases.get(session, case_id))
            known = result_store.find(session, case_id, stored.inputs_hash, self.predictor.digest)
        if stored.held or known is not None:
            return {"skipped": stored.held or "known"}
        answer = self.predictor.answer(self._case(stored))
        content = settled(stored, self.predictor.modalities)
        told = answer.prediction.record() | {"unused_inputs": content.unused}
        about = {"version": stored.version, "inputs_hash": stored.inputs_hash, "flags": list(content.flags)}
        return told | {"point": vectors.to_text(answer.point), "content": about}

    def keep_result(self, session: Session, case_id: str, outcome: Mapping[str, Any]) -> None:
        """Stores the answer and where it lies, and owes its report, in one transaction. A case that came to be held
        while it was computed keeps none."""
        if "skipped" in outcome:
            return
        _, _, held = result_store.lock(session, case_id)
        if held:
            return
        record = dict(outcome)
        point = vectors.from_text(record.pop("point", None))
        about = record.pop("content")
        content = results.Content(case_id, about["version"], about["inputs_hash"])
        result_id = results.keep(
            session,
            content,
            record,
            cases.causes(session, case_id, self._answered(session, case_id), content.version),
            more_flags=about["flags"],
            crosses_signed=reviews.again(session, case_id, record),
        )
        if result_id is None:
            return
        similar.forget(session, case_id, record["artifact"])
        if point is not None:
            patient_id = _found(cases.get(session, case_id)).patient_id
            embedding = Embedding(result_id, case_id, patient_id, record["artifact"], point)
            similar.keep(session, self.search, embedding)
        self.queue.enqueue(session, "explain", result_id, self.predictor.digest)

    def _answered(self, session: Session, case_id: str) -> int:
        """The version of the case that has its answer; 0 if none has."""
        latest = result_store.latest(session, case_id)
        return 0 if latest is None else _found(result_store.get(session, latest)).case_version

    def explain(self, result_id: str) -> Mapping[str, Any]:
        """The hashes of the report's record and page, both kept. Raises ArtifactError if the result is another
        model's: its report must not be made by this one. Raises DamagedBlob if a file that it was made from was lost
        since."""
        with self.database.read() as session:
            result = _found(result_store.get(session, result_id))
            since = cases.causes(session, result.case_id, result.case_version)
        if result.model != self.predictor.digest:
            raise ArtifactError("the result is another model's", where=result_id, mend="run a worker with that model")
        if any(cause.startswith((FILE_MISSING, FILE_RETURNED)) for cause in since):
            raise DamagedBlob("what it was made from was lost since", where=result_id, mend="see its later results")
        case = self._case(at_version(self._stored(result.case_id), result.case_version))
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

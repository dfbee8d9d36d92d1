"""The one place that sees every slice: from a case's id to its stored result, and from the result to its report.

    diagnose:  load -> predict -> store the result, and owe its report
    explain:   load -> predict again -> attribute -> draw -> store the report

Two jobs, since no result, of this case or of any other, waits for an attribution. Both may run again at any point."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from clinimm.inference import Predictor
from clinimm.report import binding, html
from clinimm.report.canonical import canonical
from clinimm.types import Case
from services.blobs import Blobs
from services.cases import load
from services.cases import store as cases
from services.cases.content import settled
from services.cases.stored import StoredCase
from services.db import Database
from services.explanation import existing, explained
from services.jobs.engine import Job
from services.jobs.queue import Queue
from services.reports import service as reports
from services.reports.reliability import UNKNOWN, Reliability, reliability_of
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
            stored = existing(cases.get(session, case_id))
            known = result_store.find(session, case_id, stored.inputs_hash, self.predictor.digest)
        if stored.held or known is not None:
            return {"skipped": stored.held or "known"}
        answer = self.predictor.answer(self._case(stored))
        content = settled(stored, self.predictor.modalities)
        told = answer.prediction.record() | {"unused_inputs": content.unused}
        about = {"version": stored.version, "inputs_hash": stored.inputs_hash, "flags": list(content.flags)}
        return told | {"point": vectors.to_text(answer.point), "content": about, "made_by": self._made_by()}

    def _made_by(self) -> Mapping[str, Any]:
        """What an answer hangs on besides its inputs and the weights."""
        code = binding.generator()
        return {
            "config_sha256": binding.model(self.predictor)["config_sha256"],
            "code": {name: code[name] for name in ("clinimm", "code_sha256")},
            "settings": binding.settings(self.predictor),
        }

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
        about, made_by = record.pop("content"), record.pop("made_by", None)
        content = results.Content(case_id, about["version"], about["inputs_hash"])
        result_id = results.keep(
            session,
            content,
            record,
            cases.causes(session, case_id, self._answered(session, case_id), content.version),
            more_flags=about["flags"],
            crosses_signed=reviews.again(session, case_id, record),
            made_by=made_by,
        )
        if result_id is None:
            return
        similar.forget(session, case_id, record["artifact"])
        if point is not None:
            patient_id = existing(cases.get(session, case_id)).patient_id
            embedding = Embedding(result_id, case_id, patient_id, record["artifact"], point)
            similar.keep(session, self.search, embedding)
        self.queue.enqueue(session, "explain", result_id, self.predictor.digest)

    def _answered(self, session: Session, case_id: str) -> int:
        """The version of the case that has its answer; 0 if none has."""
        latest = result_store.latest(session, case_id)
        return 0 if latest is None else existing(result_store.get(session, latest)).case_version

    def explain(self, result_id: str) -> Mapping[str, Any]:
        """The hashes of the report's record and page, both kept, and what it says of its own explanations. Raises what
        `explained` raises."""
        told = explained(self.explainer, self.database, self.blobs, result_id)
        page = html.render(told)
        kept = {"record": self.blobs.put(canonical(told)), "page": self.blobs.put(page.encode())}
        return kept | {"reliability": asdict(reliability_of(told))}

    def keep_report(self, session: Session, result_id: str, outcome: Mapping[str, Any]) -> None:
        told = outcome.get("reliability")  # one that was explained by an earlier version has none
        reliability = UNKNOWN if told is None else Reliability(told["word"], told["shares"])
        reports.keep(session, StoredReport(result_id, outcome["record"], outcome["page"]), reliability)

    def _case(self, stored: StoredCase) -> Case:
        return load.load(stored, self.predictor.modalities, self.blobs)

"""Keeps reports, one for each result, and gives them out. The record is the truth, the page a drawing of it."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from services import audit, holds
from services.blobs import Blobs
from services.db import Database
from services.errors import NotFound, NotReady
from services.http.ids import no_case
from services.jobs import state
from services.reports import store
from services.reports.store import StoredReport


@dataclass(frozen=True)
class Reports:
    database: Database
    blobs: Blobs

    def record(self, case_id: str) -> bytes:
        """The latest result's report as JSON. Raises NotFound, NotReady, Conflict while the case is held, and
        DamagedBlob where it was tampered with."""
        return self.blobs.read(self._report(case_id).record_sha256)

    def page(self, case_id: str) -> bytes:
        """The same, drawn as a self-contained HTML page."""
        return self.blobs.read(self._report(case_id).page_sha256)

    def _report(self, case_id: str) -> StoredReport:
        with self.database.read() as session:
            holds.check(session, case_id)
            result_id = store.latest_result(session, case_id)
            report = store.get(session, result_id) if result_id else None
            if report is None:
                _say_why_not(session, case_id, result_id)
                raise NotReady("report_pending", "The report is being made.", headers={"Retry-After": "2"})
        return report


def keep(session: Session, report: StoredReport) -> None:
    """In the caller's transaction; harmless for a result that has its report."""
    if store.get(session, report.result_id) is not None:
        return
    store.add(session, report)
    audit.record(session, audit.SYSTEM, "report.stored", report.result_id, record=report.record_sha256)


def _say_why_not(session: Session, case_id: str, result_id: str | None) -> None:
    """Raises NotFound if there is no such case, or its report will never be."""
    kind, subject = ("explain", result_id) if result_id else ("diagnose", case_id)
    job = state.of(session, kind, [subject]).get(subject)
    if job is None:
        raise no_case()
    if job.state == state.DEAD:
        raise NotFound("report_failed", "The report could not be made.")

"""Keeps reports, one for each result, and gives them out. The record is the truth, the page a drawing of it."""

from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Any

from sqlalchemy.orm import Session

from clinimm.errors import ReportError
from clinimm.report import pdf
from services import audit, holds
from services.audit.seals import explained
from services.blobs import Blobs
from services.db import Database
from services.errors import Gone, NotFound, NotReady, Unavailable
from services.http.ids import no_case, no_result
from services.jobs import state
from services.reports import store
from services.reports.reliability import UNKNOWN, Reliability
from services.reports.store import StoredReport

PDFS_AT_ONCE = 2


@dataclass(frozen=True)
class Reports:
    """PDFs are drawn when they are asked for, so many at once, each in a child process with limits: few are wanted, and
    one that is not kept cannot part from its record."""

    database: Database
    blobs: Blobs
    drawing: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(PDFS_AT_ONCE))

    def record(self, case_id: str, version: int | None = None, *, withdrawn: bool = False) -> bytes:
        """The report of a result of a case, by default the latest, as JSON. Raises NotFound, NotReady, Conflict while
        the case is held, Gone where it was `withdrawn`, unless that is meant too, and DamagedBlob where it was tampered
        with."""
        return self.blobs.read(self._report(case_id, version, withdrawn).record_sha256)

    def page(self, case_id: str, version: int | None = None) -> bytes:
        """The same, drawn as a self-contained HTML page; never of one that was withdrawn, for it does not say so."""
        return self.blobs.read(self._report(case_id, version).page_sha256)

    def pdf(self, case_id: str, version: int | None = None) -> bytes:
        """The record, drawn as tagged PDF. Raises Unavailable besides where it cannot be drawn now."""
        record = self.record(case_id, version)
        if not self.drawing.acquire(blocking=False):
            raise Unavailable("busy", "Too many PDFs are being drawn.", retry_after=5)
        try:
            return pdf.draw(record)
        except ReportError as error:
            raise Unavailable(
                "pdf_unavailable", f"{error.what}; the page is at format=html.", retry_after=60
            ) from error
        finally:
            self.drawing.release()

    def _report(self, case_id: str, version: int | None, withdrawn: bool = False) -> StoredReport:
        with self.database.read() as session:
            holds.check(session, case_id)
            result_id = store.result(session, case_id, version)
            if version is not None and result_id is None:
                raise no_result()
            report = store.get(session, result_id) if result_id else None
            if report is None:
                _say_why_not(session, case_id, result_id)
                raise NotReady("report_pending", "The report is being made.", headers={"Retry-After": "2"})
            if not withdrawn and store.is_withdrawn(session, report.result_id):
                raise Gone(
                    "report_withdrawn", "The report was withdrawn: nothing may rest on it.",
                    mend=f"Why is told at /v1/cases/{case_id}/reviews. Its record is given with withdrawn=true.",
                )  # fmt: skip
        return report


def keep(session: Session, report: StoredReport, reliability: Reliability = UNKNOWN) -> None:
    """In the caller's transaction; harmless for a result that has its report."""
    if store.get(session, report.result_id) is not None:
        return
    shares = store.add(session, report, reliability)
    case_id, _, version = report.result_id.rpartition("-")
    facts: dict[str, Any] = {"record": report.record_sha256, "page": report.page_sha256}
    facts |= {"of_case": case_id, "wrote": [f"reports/{version}"]}
    audit.record(session, audit.SYSTEM, "report.stored", report.result_id, **facts)
    audit.bind(session, *explained(version, reliability.word, shares), of_case=case_id)


def _say_why_not(session: Session, case_id: str, result_id: str | None) -> None:
    """Raises NotFound if there is no such case, or its report will never be."""
    kind, subject = ("explain", result_id) if result_id else ("diagnose", case_id)
    job = state.of(session, kind, [subject]).get(subject)
    if job is None:
        raise no_case()
    if job.state == state.DEAD:
        raise NotFound("report_failed", "The report could not be made.")

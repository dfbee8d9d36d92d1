"""Whether the database and the files agree, as they may not once the two were restored from different instants; and
what can be done about it.

Nothing is thrown away: a file that no row names is moved to `lost+found`, from where the check after a later restore
brings it back. An image whose file is gone is quarantined by a new version of its case, which is diagnosed without it,
until somebody sends the film again.
A worker that runs sweeps such files up: check before one is started."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from clinimm.errors import ConfigError
from services import audit
from services.blobs import YOUNG_SECONDS, Blobs
from services.cases import losses, store
from services.cases.content import FILE_MISSING
from services.cases.hold import read_secret
from services.cases.stored import LOST
from services.db import Database
from services.evidence.files import DAMAGED, MISSING, wrong
from services.evidence.finding import Finding
from services.jobs import skew, state
from services.jobs.queue import Queue
from services.reports import store as reports
from services.tables import CaseRow, DueRow, ImageRow, InstanceRow, JobRow, ReportRow, ResultRow

UNNAMED, RETURNED = "file_unnamed", "file_returned"
NO_WORKFLOW, NO_JOB = "job_without_workflow", "workflow_without_job"
NO_REPORT, NO_RESULT = "report_not_owed", "case_not_owed"


def check(database: Database, blobs: Blobs, *, deep: bool = False, older_than: float = YOUNG_SECONDS) -> list[Finding]:
    """Everything that is wrong. With `deep`, the bytes of all files are read. A file that no row names may just be on
    its way, so only those count that are older than so many seconds."""
    with database.read() as session:  # the rows first: whatever they name was there before them
        named, given_up = _named(session), _given_up(session)
        owed = [
            *(Finding(NO_WORKFLOW, job) for job in skew.jobs_without_workflow(session, database)),
            *(Finding(NO_JOB, workflow) for workflow in skew.workflows_without_job(session, database)),
            *(Finding(NO_REPORT, result) for result in session.scalars(_results_without_report())),
            *(Finding(NO_RESULT, case) for case in session.scalars(_cases_without_result())),
        ]
    return [
        *wrong(blobs, named, deep=deep),
        *_returned(blobs, given_up),
        *_unnamed(database, blobs, older_than),
        *owed,
    ]


def repair(database: Database, blobs: Blobs, findings: Collection[Finding], folder: Path) -> None:
    """Mends what was found, so that a second check finds nothing. Raises ConfigError where every file that a row names
    is gone: that is no loss to settle for, but a wrong or an empty folder."""
    names = {kind: {one.name for one in findings if one.kind == kind} for kind in {one.kind for one in findings}}
    gone = names.get(MISSING, set())
    if gone:
        with database.read() as session:
            if gone >= _named(session).keys():
                raise ConfigError("every file is gone", where=str(folder), mend="restore them, or check --data")
    for name in names.get(DAMAGED, set()) | names.get(UNNAMED, set()):
        blobs.lay_aside(name)
    gone |= names.get(DAMAGED, set())
    gone = {name for name in gone if not blobs.is_sound(name) and not blobs.bring_back(name)}  # it may have come since
    queue, secret = Queue(database, limit=0), read_secret(folder)
    audit.keyed(database, secret)
    try:
        _Repair(database, queue, secret).all(gone, names)
    finally:
        queue.close()


@dataclass(frozen=True)
class _Repair:
    database: Database
    queue: Queue
    secret: bytes

    def all(self, gone: Collection[str], names: dict[str, set[str]]) -> None:
        for workflow in sorted(names.get(NO_JOB, set())):
            self.queue.client.delete_workflow(workflow)
        self._lose(gone)
        self._regain(names.get(RETURNED, set()))
        for result_id in sorted(self._reports_of(gone) | names.get(NO_REPORT, set())):
            self._explain_again(result_id)
        for case_id in sorted(names.get(NO_RESULT, set())):
            self._diagnose_again(case_id)
        with self.database.write() as session:
            for job_id in skew.renew(session, self.database, self.queue):
                audit.record(session, audit.OPERATOR, "job.renewed", job_id)

    def _lose(self, gone: Collection[str]) -> None:
        for case_id in self._cases_of(gone, ImageRow.code != FILE_MISSING):
            with self.database.write() as session:
                losses.lose(session, case_id, gone, audit.OPERATOR, self.secret)
        self._mark_instances(gone, lost=True)

    def _regain(self, back: Collection[str]) -> None:
        self._mark_instances(back, lost=False)
        for case_id in self._cases_of(back, ImageRow.code == FILE_MISSING):
            with self.database.write() as session:
                losses.regain(session, case_id, back, audit.OPERATOR, self.secret)

    def _cases_of(self, names: Collection[str], condition: sa.ColumnElement[bool]) -> list[str]:
        with self.database.read() as session:
            return sorted(_concerned(session, ImageRow.case_id, names, ImageRow.sha256, condition=condition))

    def _reports_of(self, names: Collection[str]) -> set[str]:
        with self.database.read() as session:
            return _concerned(session, ReportRow.result_id, names, ReportRow.record_sha256, ReportRow.page_sha256)

    def _mark_instances(self, names: Collection[str], *, lost: bool) -> None:
        with self.database.write() as session:
            concerned = _concerned(session, InstanceRow.sop_uid, names, InstanceRow.sha256)
            store.mark_lost(session, concerned, lost=lost)

    def _explain_again(self, result_id: str) -> None:
        """A report that was lost is made anew; its row goes, so that the new one is kept."""
        with self.database.write() as session:
            result = session.get_one(ResultRow, result_id)
            report = session.get(ReportRow, result_id)
            if report is not None:
                session.delete(report)
                facts = {"of_case": result.case_id, "record": report.record_sha256}
                audit.record(session, audit.OPERATOR, "report.lost", result_id, **facts)
            self.queue.owe_again(session, "explain", result_id, result.model, audit.OPERATOR)

    def _diagnose_again(self, case_id: str) -> None:
        """By the job of this version if it was done in vain, else as of a case that changed."""
        with self.database.write() as session:
            version = session.scalar(sa.select(CaseRow.version).where(CaseRow.id == case_id)) or 0
            job = state.of(session, "diagnose", [case_id]).get(case_id)
            if job is None or job.version != version or not self.queue.retry(session, job.id, audit.OPERATOR):
                store.wait(session, case_id, version)


def _named(session: Session) -> dict[str, list[str]]:
    """Every file that a row names, with what those rows are of; but not what is known to be gone."""
    named: dict[str, list[str]] = {}
    images = sa.select(ImageRow.sha256, ImageRow.case_id).where(ImageRow.sha256.is_not(None))
    for name, case_id in session.execute(images.where(ImageRow.code != FILE_MISSING)):
        named.setdefault(str(name), []).append(case_id)
    for name, facts in session.execute(sa.select(InstanceRow.sha256, InstanceRow.facts)):
        if not facts.get(LOST):
            named.setdefault(name, [])
    for result_id, *names in session.execute(
        sa.select(ReportRow.result_id, ReportRow.record_sha256, ReportRow.page_sha256)
    ):
        for name in names:
            named.setdefault(name, []).append(result_id)
    return named


def _given_up(session: Session) -> set[str]:
    """The files that are known to be gone, of instances."""
    query = sa.select(InstanceRow.sha256, InstanceRow.facts)
    lost = {name for name, facts in session.execute(query) if facts.get(LOST)}
    images = sa.select(ImageRow.sha256).where(ImageRow.code == FILE_MISSING, ImageRow.sop_uid.is_not(None))
    return lost | {name for name in session.scalars(images) if name}


def _returned(blobs: Blobs, given_up: Collection[str]) -> Iterator[Finding]:
    return (Finding(RETURNED, name) for name in sorted(given_up) if blobs.is_sound(name))


def _unnamed(database: Database, blobs: Blobs, older_than: float) -> Iterator[Finding]:
    for names in blobs.names():
        with database.read() as session:
            known = store.known(session, names) | reports.known(session, names)
        yield from (Finding(UNNAMED, name) for name in sorted(names - known) if _is_older(blobs.path(name), older_than))


def _is_older(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime >= seconds
    except FileNotFoundError:
        return False


def _results_without_report() -> sa.Select[str]:
    """Those that have none and will get none; one whose explanation failed for good is a dead letter."""
    there = sa.exists().where(ReportRow.result_id == ResultRow.id)
    job = sa.exists().where(JobRow.subject == ResultRow.id, JobRow.kind == "explain", JobRow.state != state.DONE)
    return sa.select(ResultRow.id).where(~there, ~job).order_by(ResultRow.id)


def _cases_without_result() -> sa.Select[str]:
    """Those that may be answered, are not, and never will be; one that failed for good is a dead letter."""
    answered = sa.exists().where(ResultRow.case_id == CaseRow.id, ResultRow.inputs_hash == CaseRow.inputs_hash)
    due = sa.exists().where(DueRow.case_id == CaseRow.id)
    dead = sa.and_(JobRow.state == state.DEAD, JobRow.version == CaseRow.version)
    job = sa.exists().where(
        JobRow.subject == CaseRow.id, JobRow.kind == "diagnose", sa.or_(JobRow.state == state.QUEUED, dead)
    )
    return sa.select(CaseRow.id).where(CaseRow.held == "", ~answered, ~due, ~job).order_by(CaseRow.seq)


def _concerned(
    session: Session,
    wanted: InstrumentedAttribute[str],
    names: Collection[str],
    *columns: InstrumentedAttribute[Any],
    condition: sa.ColumnElement[bool] | None = None,
) -> set[str]:
    """`wanted` of the rows that name one of these files in one of the columns."""
    ordered, more = sorted(names), sa.true() if condition is None else condition
    portions = (ordered[start : start + 500] for start in range(0, len(ordered), 500))
    return {
        found
        for some in portions
        for found in session.scalars(sa.select(wanted).where(sa.or_(*(one.in_(some) for one in columns)), more))
    }

"""Takes cases and what is added to them, once each, and tells what became of them.

What is acknowledged is durable: bytes first, then rows, event and the diagnosis that is owed, in one transaction. The
same key gets the same answer; the same content is the same case, whoever sends it and however often."""

import logging
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from clinimm.io.sandbox import Sandbox
from services import audit, blind
from services.artifacts.facts import Model
from services.auth import Client
from services.blobs import Blobs
from services.cases import door, growth, hold, shown, store, versions
from services.cases.answers import CaseOut, CasePage, EventOut, TimelineOut, ValidationOut
from services.cases.arrivals import Arrivals, fingerprint_of, look, person_record
from services.cases.growth import Growth
from services.cases.owing import owe
from services.cases.receive import Submission
from services.cases.schemas import CaseIn, InputsIn, PatientIn
from services.cases.stored import StoredCase
from services.cases.usual_units import with_usual_units
from services.db import Database, now
from services.errors import Conflict, Issue
from services.http import cursor, problem
from services.http.ids import no_case
from services.http.once import Answer, Asked, fingerprint, once, replayed
from services.http.responses import check_version, etag_of_version
from services.jobs import state
from services.jobs.queue import Queue
from services.jobs.state import Standing
from services.settings import Limits, Pace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cases:
    """`secret` is what settled contradictions are remembered under."""

    database: Database
    blobs: Blobs
    queue: Queue
    model: Model
    limits: Limits
    sandbox: Sandbox
    pace: Pace
    secret: bytes

    def create(self, client: str, key: str, submission: Submission) -> Answer:
        """The answer to the post of a case. Raises BadRequest, TooLarge, Refused or Conflict; nothing is then kept."""
        case = door.parse(CaseIn, submission.document, self.limits)
        content = fingerprint(case.model_dump(mode="json"), fingerprint_of(submission))
        asked = Asked(client, key, fingerprint("create", content))
        return self._take(asked, submission, case, lambda session: self._asked_before(session, case, client, content))

    def add(self, client: str, key: str, case_id: str, submission: Submission, if_match: str | None) -> Answer:
        """The answer to the post of more inputs of a case. Raises NotFound and Stale besides."""
        inputs = door.parse(InputsIn, submission.document, self.limits)
        content = fingerprint(inputs.model_dump(mode="json"), fingerprint_of(submission))
        asked = Asked(client, key, fingerprint("add", case_id, content))
        return self._take(asked, submission, inputs, lambda session: self._locked(session, case_id, if_match))

    def validate(self, client: str, submission: Submission) -> ValidationOut:
        """What `create` would answer now. Raises what it would raise; keeps nothing."""
        case = door.parse(CaseIn, submission.document, self.limits)
        content = fingerprint(case.model_dump(mode="json"), fingerprint_of(submission))
        arrivals = self._looked_at(submission, case, client)
        with self.database.read() as session:
            there = store.created_of(session, content) or self._blank(case, "", content)
            grown = self._grown(session, there, arrivals)
            if grown.cause:
                self.queue.check_room(session)
            if grown.case.held:
                raise _identity_conflict(grown.case, self.secret, "")
            standing = state.standing(session, grown.case.id)
            told = shown.told(standing, grown.case, self.model.modalities, grown.parts)
            return ValidationOut(status=accepted(standing, told).status, parts=told.parts)

    def case(self, case_id: str) -> CaseOut:
        """Raises NotFound."""
        with self.database.read() as session:
            case = _found(store.get(session, case_id))
            return shown.told(state.standing(session, case_id), case, self.model.modalities)

    def page(self, flag: str | None, reference: str | None, limit: int, after: str | None) -> CasePage:
        before = cursor.decode(after)
        with self.database.read() as session:
            found = store.page(session, flag=flag, reference=reference, before=before, limit=limit + 1)
            told = shown.lines(session, found[:limit])
        return CasePage(cases=told, next=cursor.encode(found[limit - 1].seq) if len(found) > limit else None)

    def timeline(self, case_id: str, viewer: Client = blind.NOBODY) -> TimelineOut:
        """The events of the case, as this viewer may see them. Raises NotFound."""
        with self.database.read() as session:
            if not store.exists(session, case_id):
                raise no_case()
            hidden = blind.hidden(session, case_id, viewer)
            events = [EventOut(**vars(blind.told(event, hidden))) for event in audit.timeline(session, case_id)]
        return TimelineOut(case_id=case_id, events=events)

    def settle(self, session: Session, before: StoredCase, after: StoredCase, cause: str, client: str) -> None:
        """Keeps a new version, its event, and what is owed for it, in the caller's transaction."""
        versions.keep(session, before, after, cause, client, self.secret)
        whole = {modality.name for modality in self.model.modalities} <= after.complete.keys()
        owe(session, self.queue, after, self.model.digest, self.pace, whole=whole)

    def _take(
        self, asked: Asked, submission: Submission, inputs: InputsIn, subject: Callable[[Session], StoredCase]
    ) -> Answer:
        """Looks at what came, keeps its bytes, and grows the case that `subject` gives by it."""
        if (told := replayed(self.database, asked)) is not None:
            return told
        arrivals = self._looked_at(submission, inputs, asked.client)
        try:
            self._keep(arrivals)
            answer = once(self.database, asked, lambda session: self._grow(session, subject(session), arrivals, asked))
        except Conflict as conflict:
            self._record_conflict(asked.client, conflict)
            raise
        log.info("inputs taken", extra={"client": asked.client, "at": answer.headers.get("Content-Location", "")})
        return answer

    def _looked_at(self, submission: Submission, inputs: InputsIn, client: str) -> Arrivals:
        arrivals = look(submission, inputs, self.model.modalities, self.sandbox, now())
        if not arrivals.labs:
            return arrivals
        with self.database.read() as session:
            return replace(arrivals, labs=with_usual_units(session, client, arrivals.labs))

    def _keep(self, arrivals: Arrivals) -> None:
        with self.database.read() as session:
            known = store.instances(session, _uids(arrivals))
        growth.check_conflicts(arrivals.images, known)
        self.blobs.keep_all([one.staged for one in arrivals.images if one.image.sha256 is not None])

    def _grow(self, session: Session, before: StoredCase, arrivals: Arrivals, asked: Asked) -> Answer:
        grown = self._grown(session, before, arrivals)
        after = grown.case
        store.mark_lost(session, grown.returned, lost=False)
        if grown.cause:
            if not before.held:
                self.queue.check_room(session)
            self.settle(session, before, after, grown.cause, asked.client)
        if after.held:
            conflict = _identity_conflict(after, self.secret, after.id)
            headers = {"Content-Type": problem.MEDIA, "Location": f"/v1/cases/{after.id}"}
            return Answer(conflict.status, problem.told(conflict).encode(), headers)
        standing = state.standing(session, after.id)
        return accepted(standing, shown.told(standing, after, self.model.modalities, grown.parts))

    def _grown(self, session: Session, before: StoredCase, arrivals: Arrivals) -> Growth:
        known = store.instances(session, _uids(arrivals))
        return growth.grown(before, arrivals, known, self.model.modalities, self.secret)

    def _asked_before(self, session: Session, case: CaseIn, client: str, content: str) -> StoredCase:
        """The case that the same content made before, or one that is not there yet."""
        return store.created_of(session, content) or self._blank(case, client, content)

    def _blank(self, case: CaseIn, client: str, content: str) -> StoredCase:
        return StoredCase(
            id=str(uuid.uuid4()),
            client=client,
            reference=case.reference,
            patient_id=case.patient.id,
            patient=person_record(case.patient, "request") | _died(case.patient),
            index_time=case.index_time,
            version=0,
            inputs_hash="",
            created_hash=content,
            held="",
            complete={},
            created_at=now(),
        )

    def _locked(self, session: Session, case_id: str, if_match: str | None) -> StoredCase:
        case = _found(store.get(session, case_id, lock=True))
        check_version(if_match, case.version)
        return case

    def _record_conflict(self, client: str, conflict: Conflict) -> None:
        uids = [issue.detail.rpartition(" ")[2] for issue in conflict.issues]
        with self.database.write() as session:
            audit.record(session, client, "instance.conflict", uids[0] if uids else "", instances=uids)


def accepted(standing: Standing, told: CaseOut) -> Answer:
    """202 with where its diagnosis can be waited for, or 200 where nothing is owed."""
    job = standing.job
    pending = told.state == state.SHOWN[state.QUEUED]
    body = told.model_dump_json().encode()
    there = (
        f"/v1/jobs/{job.id}" if pending and job is not None and job.state == state.QUEUED else f"/v1/cases/{told.id}"
    )
    headers = {
        "Location": there,
        "Content-Location": f"/v1/cases/{told.id}",
        "ETag": etag_of_version(body, told.version),
    }
    return Answer(202 if pending else 200, body, headers | ({"Retry-After": "1"} if pending else {}))


def _died(patient: PatientIn) -> dict[str, str]:
    return {} if patient.deceased_at is None else {"deceased_at": patient.deceased_at.isoformat()}


def _uids(arrivals: Arrivals) -> Collection[str]:
    there = {one.image.instance.sop_uid for one in arrivals.images if one.image.instance is not None}
    return there | {one.sop_instance_uid for one in arrivals.references}


def _identity_conflict(case: StoredCase, secret: bytes, case_id: str) -> Conflict:
    """What is told of a case that is held: the parts and fields that contradict each other, not what they say."""
    open_ones = [one for one in hold.contradictions(case, secret) if not one.settled]
    issues = [Issue(f"/{source}", hold.HELD, one.field) for one in open_ones for source in one.sources]
    kept = f" It is kept as /v1/cases/{case_id}" if case_id else " It would be kept"
    return Conflict(
        hold.HELD,
        f"The inputs name different patients.{kept}, without an answer until a person has reconciled it.",
        issues=list(dict.fromkeys(issues)),
    )


def _found(case: StoredCase | None) -> StoredCase:
    if case is None:
        raise no_case()
    return case

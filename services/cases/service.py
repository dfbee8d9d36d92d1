"""Takes cases, once each, and tells what became of them.

A case is acknowledged when its bytes and rows are durable and its diagnosis is owed: one transaction, after the files.
The same key gets the same answer; the same content is the same case, whoever sends it and however often."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services import audit
from services.artifacts.facts import Model
from services.blobs import Blobs
from services.cases import door, store
from services.cases.receive import Image, Submission
from services.cases.schemas import CaseIn, CaseLine, CaseOut, CasePage, PartOut, PatientIn, links
from services.cases.store import StoredCase, StoredImage, StoredLab
from services.db import Database, now
from services.errors import Refused
from services.http import cursor
from services.http.ids import no_case
from services.jobs import state
from services.jobs.queue import Queue
from services.settings import Limits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receipt:
    """The answer to a post, the very bytes: a repeated key gets them again."""

    case_id: str
    body: bytes


@dataclass(frozen=True)
class Cases:
    database: Database
    blobs: Blobs
    queue: Queue
    model: Model
    limits: Limits

    def submit(self, client: str, key: str, submission: Submission) -> Receipt:
        """Raises Refused, TooLarge or BadRequest for the content, or for a key that came with another content."""
        case = door.parse_case(submission.case, self.limits)
        inputs_hash = door.inputs_hash(case, submission.images)
        with self.database.read() as session:
            if (receipt := _replay(session, client, key, inputs_hash)) is not None:
                return receipt
            stored = self._judge(session, client, case, submission.images, inputs_hash)
        for image, kept in zip(submission.images, stored.images, strict=True):
            if kept.sha256 is not None:
                self.blobs.keep(image.staged)
        try:
            return self._commit(client, key, stored)
        except IntegrityError:  # the same key or content came in at the same moment, and its transaction was first
            return self._commit(client, key, stored)

    def case(self, case_id: str) -> CaseOut:
        """Raises NotFound."""
        with self.database.read() as session:
            stored = store.get(session, case_id)
            if stored is None:
                raise no_case()
            return _shown(session, stored)

    def page(self, flag: str | None, limit: int, after: str | None) -> CasePage:
        with self.database.read() as session:
            lines = store.page(session, flag=flag, before=cursor.decode(after), limit=limit + 1)
            states = state.of(session, "diagnose", [line.id for line in lines])
        shown = [
            CaseLine(
                id=line.id,
                reference=line.reference,
                state=state.SHOWN[states[line.id][0]],
                created_at=line.created_at,
                flags=list(line.flags),
                links=links(line.id),
            )
            for line in lines[:limit]
        ]
        return CasePage(cases=shown, next=cursor.encode(lines[limit - 1].seq) if len(lines) > limit else None)

    def _judge(
        self, session: Session, client: str, case: CaseIn, images: Sequence[Image], inputs_hash: str
    ) -> StoredCase:
        """The case as it will be stored, each part with its outcome."""
        seen = store.known(session, [image.staged.sha256 for image in images])
        outcomes = door.judge_labs(case.labs, self.model.modalities, case.index_time)
        return StoredCase(
            id=str(uuid.uuid4()),
            client=client,
            reference=case.reference,
            patient_id=case.patient.id,
            index_time=case.index_time,
            note=case.note.text if case.note else None,
            note_acquired_at=case.note.acquired_at if case.note else None,
            inputs_hash=inputs_hash,
            created_at=now(),
            images=tuple(self._image(image, seen) for image in images),
            labs=tuple(
                StoredLab(lab.name, str(lab.value), lab.unit, lab.collected_at, outcome, code)
                for lab, (outcome, code) in zip(case.labs, outcomes, strict=True)
            ),
        )

    def _image(self, image: Image, seen: set[str]) -> StoredImage:
        """`seen` grows with each image, so that one sent twice in a request is stored once."""
        staged = image.staged
        modality, outcome, code = door.judge_image(image, self.model.modalities, staged.sha256 in seen)
        if outcome == door.REJECTED:
            return StoredImage(modality, outcome, code, staged.size, staged.original_sha256, None, False)
        seen.add(staged.sha256)
        return StoredImage(modality, outcome, code, staged.size, staged.original_sha256, staged.sha256, staged.nulled)

    def _commit(self, client: str, key: str, stored: StoredCase) -> Receipt:
        with self.database.write() as session:
            if (receipt := _replay(session, client, key, stored.inputs_hash)) is not None:
                return receipt
            same = store.with_hash(session, stored.inputs_hash)
            if same is None:
                self._create(session, stored)
            shown = _shown(session, same or stored)
            body = _as_repeated(shown).model_dump_json() if same else shown.model_dump_json()
            store.remember(session, client, key, shown.id, body)
        log.info("case accepted", extra={"case_id": shown.id, "client": client, "again": same is not None})
        return Receipt(shown.id, body.encode())

    def _create(self, session: Session, stored: StoredCase) -> None:
        self.queue.check_room(session)
        store.add(session, stored)
        self.queue.enqueue(session, "diagnose", stored.id, self.model.digest)
        audit.record(session, stored.client, "case.created", stored.id, inputs_hash=stored.inputs_hash)


def _replay(session: Session, client: str, key: str, inputs_hash: str) -> Receipt | None:
    answered = store.answered(session, client, key)
    if answered is None:
        return None
    case_id, body = answered
    first = store.get(session, case_id)
    if first is None or first.inputs_hash != inputs_hash:
        raise Refused("key_reused", "This Idempotency-Key came with another content before.")
    return Receipt(case_id, body.encode())


def _shown(session: Session, stored: StoredCase) -> CaseOut:
    job, reason = state.of(session, "diagnose", [stored.id])[stored.id]
    return CaseOut(
        id=stored.id,
        reference=stored.reference,
        patient=PatientIn(id=stored.patient_id),
        state=state.SHOWN[job],
        reason=reason,
        index_time=stored.index_time,
        created_at=stored.created_at,
        inputs_hash=stored.inputs_hash,
        parts=_parts(stored),
        links=links(stored.id),
    )


def _parts(stored: StoredCase) -> list[PartOut]:
    note = [] if stored.note is None else [PartOut(part="note", **_outcome(*door.judge_note(stored.note)))]
    labs = [PartOut(part=f"labs/{i}", **_outcome(lab.outcome, lab.code)) for i, lab in enumerate(stored.labs)]
    images = [
        PartOut(
            part=f"images/{i}",
            modality=image.modality,
            sha256=image.sha256,
            original_sha256=image.original_sha256,
            **_outcome(image.outcome, image.code),
        )
        for i, image in enumerate(stored.images)
    ]
    return note + labs + images


def _outcome(outcome: str, code: str) -> dict[str, str]:
    return {"outcome": outcome, "code": code}


def _as_repeated(shown: CaseOut) -> CaseOut:
    """What a sender of content that is here already is told of its parts."""
    parts = [
        part.model_copy(update={"outcome": door.STORED}) if part.outcome == door.ACCEPTED else part
        for part in shown.parts
    ]
    return shown.model_copy(update={"parts": parts})

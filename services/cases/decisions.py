"""What senders and people say of a case beside its inputs: that a modality is complete, and whose the parts are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from services import audit
from services.cases import door, growth, hold, question, shown, store
from services.cases.answers import CaseOut, IdentityOut, MismatchOut
from services.cases.hold import Contradiction
from services.cases.question import Question
from services.cases.schemas import ModalityIn, ReconciliationIn
from services.cases.service import Cases, accepted
from services.cases.stored import StoredAct, StoredCase
from services.db import now
from services.errors import Conflict, Issue, NotFound, Refused
from services.http.ids import no_case
from services.http.once import Answer, Asked, fingerprint, once
from services.http.responses import check_version
from services.jobs import state


@dataclass(frozen=True)
class Draft:
    """A decision that would be kept now. `fields` are those that the parts contradict each other in, and `left` those
    that they would contradict each other in all the same, so that the case would stay held."""

    said: ReconciliationIn
    fields: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Decisions:
    cases: Cases

    def mark(self, client: str, case_id: str, modality: str, body: bytes, if_match: str | None) -> CaseOut:
        """The case with what is said of one modality. Raises NotFound, Stale or PreconditionMissing, or what is wrong
        with the body."""
        said = door.parse(ModalityIn, body, self.cases.limits)
        if modality not in {one.name for one in self.cases.model.modalities}:
            raise NotFound("modality_not_found", "The model takes no such modality.")
        with self.cases.database.write() as session:
            before = self._locked(session, case_id, if_match)
            complete = {name: why for name, why in before.complete.items() if name != modality}
            if said.complete:
                complete[modality] = said.absent_reason or ""
            if complete != dict(before.complete):
                after = replace(before, version=before.version + 1, complete=complete)
                before = self._settle(session, before, after, f"complete:{modality}", client)
            return shown.told(state.standing(session, case_id), before, self.cases.model.modalities)

    def identity(self, client: str, case_id: str) -> IdentityOut:
        """What the parts say of their patient, where they contradict each other; that it was shown is an event."""
        with self.cases.database.write() as session:
            case = store.get(session, case_id)
            if case is None:
                raise no_case()
            found = hold.contradictions(case, self.cases.secret)
            _tell_shown(session, client, case_id, found)
        told = [MismatchOut(field=one.field, sources=hold.values(case, one), settled=one.settled) for one in found]
        return IdentityOut(case_id=case_id, held=bool(case.held), mismatches=told)

    def question(self, client: str, case_id: str) -> Question:
        """What a person is to decide, at one version of the case; that it was shown is an event, unless the case is not
        held and nothing of its patient is told. Raises NotFound."""
        with self.cases.database.write() as session:
            case = store.get(session, case_id)
            if case is None:
                raise no_case()
            found = hold.contradictions(case, self.cases.secret)
            if case.held:
                _tell_shown(session, client, case_id, found)
        return question.of(case, found)

    def draft(self, client: str, case_id: str, body: bytes, if_match: str) -> Draft:
        """What `reconcile` would do now. Raises what it would raise; keeps nothing, and tells no value."""
        said = door.parse(ReconciliationIn, body, self.cases.limits)
        with self.cases.database.read() as session:
            before = _seen(store.get(session, case_id), if_match)
            after = self._reconciled(before, said, client)
        return Draft(said, self._open_fields(before), self._open_fields(after))

    def reconcile(self, client: str, key: str, case_id: str, body: bytes, if_match: str | None) -> Answer:
        """The answer to a person's decision on a case that is held. Raises Conflict `not_held`, Refused for parts that
        are not there, and what `mark` raises."""
        said = door.parse(ReconciliationIn, body, self.cases.limits)
        asked = Asked(client, key, fingerprint("reconcile", case_id, said.model_dump(mode="json")))

        def effect(session: Session) -> Answer:
            before = self._locked(session, case_id, if_match)
            after = self._reconciled(before, said, client)
            facts: dict[str, Any] = {"decision": said.decision, "excluded": list(said.exclude)}
            facts["settled"] = len(after.acts[-1].settled)
            audit.record(session, client, "case.reconciled", case_id, of_case=case_id, **facts)
            after = self._settle(session, before, after, "reconciled", client)
            standing = state.standing(session, case_id)
            return accepted(standing, shown.told(standing, after, self.cases.model.modalities))

        return once(self.cases.database, asked, effect)

    def _reconciled(self, before: StoredCase, said: ReconciliationIn, client: str) -> StoredCase:
        if not before.held:
            raise Conflict("not_held", "The case is not held.")
        if (said.decision == "exclude") != bool(said.exclude):
            raise Refused(
                "bad_case",
                "The decision and the parts it names do not agree.",
                issues=[Issue("/exclude", "exclude", "Name parts to exclude, and none for the same patient.")],
            )
        unknown = [part for part in said.exclude if not _has(before, part)]
        if unknown:
            issues = [Issue(f"/exclude/{said.exclude.index(part)}", "part_not_found") for part in unknown]
            raise Refused("part_not_found", "The case has no such part.", issues=issues)
        same = said.decision == "same_patient"
        open_ones = [one for one in hold.contradictions(before, self.cases.secret) if not one.settled]
        version = before.version + 1
        act = StoredAct(
            position=len(before.acts),
            version=version,
            decision=said.decision,
            reason=said.reason,
            settled=tuple(dict.fromkeys(one.key for one in open_ones)) if same else (),
            excluded=said.exclude,
            client=client,
            created_at=now(),
        )
        return replace(before, version=version, acts=(*before.acts, act))

    def _settle(self, session: Session, before: StoredCase, after: StoredCase, cause: str, client: str) -> StoredCase:
        after = growth.hashed(after, self.cases.secret)
        self.cases.settle(session, before, after, cause, client)
        return after

    def _locked(self, session: Session, case_id: str, if_match: str | None) -> StoredCase:
        return _seen(store.get(session, case_id, lock=True), if_match)

    def _open_fields(self, case: StoredCase) -> tuple[str, ...]:
        found = hold.contradictions(case, self.cases.secret)
        return tuple(dict.fromkeys(one.field for one in found if not one.settled))


def _tell_shown(session: Session, client: str, case_id: str, found: Sequence[Contradiction]) -> None:
    audit.record(session, client, "case.identity_shown", case_id, of_case=case_id, mismatches=len(found))


def _seen(case: StoredCase | None, if_match: str | None) -> StoredCase:
    """The case, if it is of the version that was seen."""
    if case is None:
        raise no_case()
    check_version(if_match, case.version, needed=True)
    return case


def _has(case: StoredCase, part: str) -> bool:
    kind, _, position = part.partition("/")
    return int(position) < len(getattr(case, kind))

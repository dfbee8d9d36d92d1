"""Keeps what people say of results, and asks them again where a later result says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from services import audit, blind, holds
from services.auth import Client
from services.db import Database, now
from services.errors import Conflict, Gone, Issue, NotFound, NotReady, Refused
from services.http import strict_json
from services.http.ids import no_case
from services.http.once import Answer, Asked, fingerprint, once
from services.http.responses import etag
from services.reports import store as reports
from services.results import store as results
from services.results.store import StoredResult
from services.reviews import agreement, findings, store
from services.reviews.agreement import Agreements
from services.reviews.schemas import FindingOut, ReviewIn, ReviewOut, ReviewsOut, WithdrawalIn
from services.reviews.store import StoredReview
from services.settings import Limits
from services.tables import WITHDRAWN

WITHHELD = "withheld"


@dataclass(frozen=True)
class Reviewed:
    """A result as this viewer may see it: the record that a word would be bound to, "" while there is none; the words
    on it, and how many are withheld; the words on results before it."""

    record_sha256: str
    reviews: list[ReviewOut]
    withheld: int
    earlier: list[ReviewOut]


@dataclass(frozen=True)
class Reviews:
    database: Database
    limits: Limits

    def give(self, reader: Client, key: str, case_id: str, version: int, body: bytes) -> Answer:
        """The answer to a person's word on a result. Raises NotFound, Conflict `result_superseded` for a result that is
        not the latest and `record_changed` for a record that is not the one stored, NotReady for one that is not there
        yet, Gone for the sign-off of a report that was withdrawn, Refused for a rejection without a reason and for
        findings that do not fit the result."""
        said = self._read(body)
        asked = Asked(reader.name, key, fingerprint("review", case_id, version, said.model_dump()))

        def effect(session: Session) -> Answer:
            store.lock(session, case_id)
            review = _bound(session, case_id, version, said, reader.name)
            return _kept(
                session, reader, case_id, review, f"result.{said.verdict}", findings=findings.codes(review.findings)
            )

        return once(self.database, asked, effect)

    def draft(self, reader: Client, case_id: str, version: int, body: bytes) -> ReviewOut:
        """What `give` would keep now. Raises what it would raise; keeps nothing."""
        said = self._read(body)
        with self.database.read() as session:
            return _shown(_bound(session, case_id, version, said, reader.name))

    def withdraw(self, reader: Client, key: str, case_id: str, version: int, body: bytes) -> Answer:
        """The answer to who takes the report of a result out of use, of whatever version: it is kept, and told of as
        withdrawn from then on. Raises NotFound, NotReady, Conflict `record_changed` and `already_withdrawn`."""
        said = self._read_withdrawal(body)
        asked = Asked(reader.name, key, fingerprint("withdrawal", case_id, version, said.model_dump()))

        def effect(session: Session) -> Answer:
            store.lock(session, case_id)
            word = _withdrawal(session, case_id, version, said, reader.name)
            return _kept(session, reader, case_id, word, "report.withdrawn")

        return once(self.database, asked, effect)

    def draft_withdrawal(self, reader: Client, case_id: str, version: int, body: bytes) -> ReviewOut:
        """What `withdraw` would keep now. Raises what it would raise; keeps nothing."""
        said = self._read_withdrawal(body)
        with self.database.read() as session:
            return _shown(_withdrawal(session, case_id, version, said, reader.name))

    def withdrawal(self, case_id: str, version: int) -> ReviewOut | None:
        """Who took the report of a result out of use, when and why; None where nobody did."""
        with self.database.read() as session:
            given = store.of_case(session, case_id)
        result_id = f"{case_id}-{version}"
        return next((_shown(one) for one in given if (one.result_id, one.verdict) == (result_id, WITHDRAWN)), None)

    def of_case(self, case_id: str, viewer: Client = blind.NOBODY) -> ReviewsOut:
        """Raises NotFound."""
        with self.database.read() as session:
            if holds.is_held(session, case_id) is None:
                raise no_case()
            return _told(session, case_id, viewer)

    def of_result(self, case_id: str, version: int, viewer: Client) -> Reviewed:
        """What was said of one result, and before it of others."""
        result_id = f"{case_id}-{version}"
        with self.database.read() as session:
            report, hidden = reports.get(session, result_id), blind.hidden(session, case_id, viewer)
            given = store.of_case(session, case_id)
        own = [_shown(one) for one in given if one.result_id == result_id]
        seen = [one for one in own if hidden != result_id or one.verdict == WITHDRAWN]
        earlier = [_shown(one) for one in given if int(one.result_id.rpartition("-")[2]) < version]
        return Reviewed(report.record_sha256 if report else "", seen, len(own) - len(seen), earlier)

    def agreements(self, viewer: Client) -> Agreements:
        """How far readers agree with each other, and with the model."""
        with self.database.read() as session:
            readings = store.readings(session)
        return agreement.measured(readings, viewer)

    def _read(self, body: bytes) -> ReviewIn:
        said = strict_json.document(ReviewIn, body, depth=self.limits.json_depth)
        if said.verdict != store.SIGNED and not said.reason:
            raise Refused("reason_missing", "Say why it is rejected.", issues=[Issue("/reason", "missing")])
        return said

    def _read_withdrawal(self, body: bytes) -> WithdrawalIn:
        return strict_json.document(WithdrawalIn, body, depth=self.limits.json_depth)


def again(session: Session, case_id: str, record: Mapping[str, Any]) -> bool:
    """Whether a new answer crosses a threshold that the one a person signed off did not, or the other way; in the
    caller's transaction, before the new one is stored. An answer where there was none, or the reverse, crosses too."""
    signed = store.signed(session, case_id)
    if signed is None:
        return False
    result = results.get(session, signed)
    if result is None:
        return False
    before = {target["target"]: target["decision"] for target in result.record["targets"]}
    after = {target["target"]: target["decision"] for target in record["targets"]}
    return before != after


def _kept(session: Session, reader: Client, case_id: str, review: StoredReview, action: str, **facts: Any) -> Answer:
    """Keeps a word with its event, in the caller's transaction, and answers with all that the reader may see."""
    wrote = [f"reviews/{store.add(session, case_id, review)}"]
    told: dict[str, Any] = {"record": review.record_sha256} | facts
    audit.record(session, reader.name, action, review.result_id, of_case=case_id, wrote=wrote, **told)
    answer = _told(session, case_id, reader).model_dump_json().encode()
    return Answer(201, answer, {"ETag": etag(answer), "Location": f"/v1/cases/{case_id}/reviews"})


def _bound(session: Session, case_id: str, version: int, said: ReviewIn, client: str) -> StoredReview:
    """The review, of the latest result as it is stored, and of its record."""
    result = results.get(session, f"{case_id}-{version}")
    if result is None or holds.is_held(session, case_id):
        raise NotFound("result_not_found", "There is no such result.")
    if results.latest(session, case_id) != result.id:
        raise Conflict("result_superseded", "A later result has taken its place; look at that one.")
    if said.verdict == store.SIGNED and reports.is_withdrawn(session, result.id):
        raise Gone("report_withdrawn", "The report was withdrawn: it cannot be signed off.")
    return StoredReview(
        result_id=result.id,
        verdict=said.verdict,
        reason=said.reason,
        findings=findings.resolved(said.findings, result.record),
        record_sha256=_record(session, result, said.record_sha256),
        client=client,
        created_at=now(),
    )


def _withdrawal(session: Session, case_id: str, version: int, said: WithdrawalIn, client: str) -> StoredReview:
    """The word that takes a report out of use, bound to the record as it is stored."""
    result = results.get(session, f"{case_id}-{version}")
    if result is None or holds.is_held(session, case_id):
        raise NotFound("result_not_found", "There is no such result.")
    record = _record(session, result, said.record_sha256)
    if reports.is_withdrawn(session, result.id):
        raise Conflict("already_withdrawn", "The report was withdrawn before; why is told among the reviews.")
    return StoredReview(
        result_id=result.id, verdict=WITHDRAWN, reason=said.reason, findings=(), record_sha256=record,
        client=client, created_at=now(),
    )  # fmt: skip


def _record(session: Session, result: StoredResult, looked_at: str | None) -> str:
    """The record that a word on the result is bound to."""
    report = reports.get(session, result.id)
    if report is None and looked_at is not None:
        raise NotReady("report_pending", "The report is being made.", headers={"Retry-After": "2"})
    if report is not None and looked_at not in (None, report.record_sha256):
        raise Conflict("record_changed", "The report is not the one that was looked at; look at it again.")
    return report.record_sha256 if report else ""


def _told(session: Session, case_id: str, viewer: Client) -> ReviewsOut:
    given, hidden = store.of_case(session, case_id), blind.hidden(session, case_id, viewer)
    seen = [one for one in given if one.result_id != hidden or one.verdict == WITHDRAWN]
    withheld, state = len(given) - len(seen), store.state(session, case_id, seen)
    return ReviewsOut(
        case_id=case_id,
        state=WITHHELD if withheld and state != WITHDRAWN else state,
        withheld=withheld,
        reviews=[_shown(one) for one in seen],
    )


def _shown(review: StoredReview) -> ReviewOut:
    return ReviewOut(**vars(review) | {"findings": [FindingOut(**one) for one in review.findings]})

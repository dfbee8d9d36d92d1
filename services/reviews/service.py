"""Keeps what people say of results, and asks them again where a later result says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from services import audit, holds
from services.db import Database
from services.errors import Conflict, Issue, NotFound, Refused
from services.http import strict_json
from services.http.once import Answer, Asked, fingerprint, once
from services.http.responses import etag
from services.results import store as results
from services.reviews import store
from services.reviews.schemas import ReviewIn, ReviewOut, ReviewsOut
from services.settings import Limits


@dataclass(frozen=True)
class Reviews:
    database: Database
    limits: Limits

    def give(self, client: str, key: str, case_id: str, version: int, body: bytes) -> Answer:
        """The answer to a person's word on a result. Raises NotFound, Conflict `result_superseded` for a result that is
        not the latest, Refused for a rejection without a reason."""
        said = strict_json.document(ReviewIn, body, depth=self.limits.json_depth)
        if said.verdict != store.SIGNED and not said.reason:
            raise Refused("reason_missing", "Say why it is rejected.", issues=[Issue("/reason", "missing")])
        asked = Asked(client, key, fingerprint("review", case_id, version, said.model_dump()))

        def effect(session: Session) -> Answer:
            result = results.get(session, f"{case_id}-{version}")
            if result is None or holds.is_held(session, case_id):
                raise NotFound("result_not_found", "There is no such result.")
            if results.latest(session, case_id) != result.id:
                raise Conflict("result_superseded", "A later result has taken its place; look at that one.")
            store.add(session, case_id, result.id, said.verdict, said.reason, client)
            audit.record(session, client, f"result.{said.verdict}", result.id, of_case=case_id)
            body = _told(session, case_id).model_dump_json().encode()
            return Answer(201, body, {"ETag": etag(body), "Location": f"/v1/cases/{case_id}/reviews"})

        return once(self.database, asked, effect)

    def of_case(self, case_id: str) -> ReviewsOut:
        """Raises NotFound."""
        with self.database.read() as session:
            if holds.is_held(session, case_id) is None:
                raise NotFound("case_not_found", "There is no such case.")
            return _told(session, case_id)


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


def _told(session: Session, case_id: str) -> ReviewsOut:
    reviews = store.of_case(session, case_id)
    return ReviewsOut(
        case_id=case_id,
        state=store.state(session, case_id, reviews),
        reviews=[ReviewOut(**vars(review)) for review in reviews],
    )

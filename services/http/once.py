"""What a POST does, once for each Idempotency-Key: its answer is stored in the transaction of its effect."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from services import audit
from services.audit.seals import key_name
from services.db import Database, now
from services.errors import Refused
from services.tables import KeyRow

TRIES = 8
AGAIN = "request.repeated"  # the event of a post that had its effect before
_CASE = re.compile(r"/v1/(?:cases/|jobs/[a-z]+:)([0-9a-f-]{36})")
_LOST_RACE = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock not available


@dataclass(frozen=True)
class Answer:
    """The answer to a POST, the very bytes: a repeated key gets them again."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """Who asks, under which key, for what: `fingerprint` is of everything that was sent."""

    client: str
    key: str
    fingerprint: str


def fingerprint(*facts: Any) -> str:
    """The hash of plain JSON facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def once(database: Database, asked: Asked, effect: Callable[[Session], Answer]) -> Answer:
    """The first answer of this key, or that of `effect`, stored together with it. An effect that loses a race for a row
    to another request is undone and tried again. Raises Refused `key_reused` for a key that came with other content."""
    for left in reversed(range(TRIES)):
        try:
            with database.write() as session:
                if (told := _told(session, asked)) is not None:
                    return told
                answer = effect(session)
                _remember(session, asked, answer)
            return answer
        except DBAPIError as error:
            if not left or not _lost_race(error):
                raise
    raise AssertionError("unreachable")


def replayed(database: Database, asked: Asked) -> Answer | None:
    """The first answer of this key, if it had one."""
    with database.read() as session:
        return _told(session, asked)


def _told(session: Session, asked: Asked) -> Answer | None:
    row = session.get(KeyRow, (asked.client, asked.key))
    if row is None:
        return None
    if row.fingerprint not in ("", asked.fingerprint):  # none is known of keys from before fingerprints were kept
        raise Refused("key_reused", "This Idempotency-Key came with another content before.")
    return Answer(row.status, row.body.encode(), row.headers)


def case_of(headers: Mapping[str, str]) -> str:
    """The case that an answer tells of, by its headers; "" where they name none."""
    found = _CASE.match(headers.get("Content-Location", "")) or _CASE.match(headers.get("Location", ""))
    return found[1] if found else ""


def _remember(session: Session, asked: Asked, answer: Answer) -> None:
    """Bound by the event of the effect; of an answer that had none, by one of its own."""
    row = vars(asked) | {"status": answer.status, "headers": dict(answer.headers), "body": answer.body.decode()}
    row["created_at"] = now()
    session.execute(sa.insert(KeyRow).values(row))
    if not audit.tells(session):
        shown = [case_of(answer.headers)]
        outcome = audit.DONE if answer.status < 400 else audit.REFUSED
        audit.record(session, asked.client, AGAIN, shown[0], shown=shown, outcome=outcome)
    audit.bind(session, key_name(asked.client, asked.key), row)


def _lost_race(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", "") in _LOST_RACE

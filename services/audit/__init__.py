"""Who did what to what: one event for each effect, in the transaction that has the effect.

Events form one chain (`services.audit.chain`). They join it as their transaction ends, since from then until it has
ended no other can: a transaction that still works holds nobody up.

A chain is one tenant's, whom its first event names. Each event tells whose it is, as the one before it did: no process
that writes, whatever its settings, can tell of another."""

import hashlib
import hmac
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clinimm.errors import ConfigError
from services.audit.asking import Asking, asking
from services.audit.chain import GENESIS, link
from services.audit.seals import seal, seals
from services.db import Database, now
from services.logs import request_id
from services.settings import UNNAMED_TENANT
from services.tables import CaseRow, EventRow

SYSTEM = "system"
OPERATOR = "operator"  # whoever may run our commands on the machine
DONE, REFUSED = "done", "refused"
SEALS = "seals"  # the fact of an event that binds rows
TENANT = "tenant"  # the fact of every event
_PENDING, _CHAINED, _SECRET, _BOUND = "events", "events chained", "events' secret", "rows to bind"
_LOCK = 0x61756469  # "audi": PostgreSQL's advisory lock for the end of the chain


@dataclass(frozen=True)
class Event:
    """`case_id` is that of the case whose timeline it belongs to, if any; `facts` are ids, hashes, counts and codes."""

    seq: int
    time: datetime
    actor: str
    action: str
    object_id: str
    request_id: str
    facts: dict[str, Any]


def keyed(database: Database, secret: bytes) -> None:
    """Events that are written to this database from now on name patients by tokens, which only `secret` can tell, and
    bind the rows that were written with them."""
    database.sessions.configure(info={_SECRET: secret})


def record(
    session: Session,
    actor: str,
    action: str,
    object_id: str,
    *,
    of_case: str | None = None,
    shown: Collection[str] = (),
    wrote: Collection[str] = (),
    outcome: str = DONE,
    **facts: Any,
) -> None:
    """Adds an event, to the timeline of a case where it is of one. `shown` are the cases of which something was told.
    `wrote` are the rows of its case, by their names, that the event binds as they are when the transaction ends.
    `facts` are ids, hashes, counts and codes, never what a patient or a client wrote."""
    behind = asking.get() or Asking()
    event = {
        "time": now(),
        "monotonic_ns": time.monotonic_ns(),
        "actor": actor,
        "role": behind.role or (actor if actor in (SYSTEM, OPERATOR) else ""),
        "source": behind.source,
        "action": action,
        "outcome": outcome,
        "object_id": object_id,
        "case_id": of_case,
        "request_id": request_id.get(),
        "facts": facts | ({"purpose": behind.purpose} if behind.purpose else {}),
    }
    cases = {*shown, *([of_case] if of_case else [])}
    session.info.setdefault(_PENDING, []).append((event, cases, wrote))


def bind(session: Session, name: str, row: Mapping[str, Any], of_case: str | None = None) -> None:
    """Has the first event of this transaction bind a row as it is given, beside those that it names itself; or one of
    its own, where the transaction has none. Nothing where this process has no secret for it."""
    if _SECRET in session.info:
        session.info.setdefault(_BOUND, []).append((of_case, name, dict(row)))


def tells(session: Session) -> bool:
    """Whether this transaction has an event yet."""
    return bool(session.info.get(_PENDING))


def note(session: Session, **facts: Any) -> None:
    """Adds to the facts of the first event of this transaction, which has one."""
    session.info[_PENDING][0][0]["facts"].update(facts)


@sa.event.listens_for(Session, "before_commit")
def _chain(session: Session) -> None:
    """Gives the events of a transaction that is about to commit their places."""
    bound = session.info.pop(_BOUND, [])
    if bound and not tells(session):
        record(session, SYSTEM, "row.stored", bound[0][1], of_case=bound[0][0])
    pending = session.info.pop(_PENDING, None)
    if not pending:
        return
    session.flush()
    tokens = _tokens(session, {case_id for _, cases, _ in pending for case_id in cases})
    sealed = [_sealed(session, event, wrote) for event, _, wrote in pending]
    if bound:
        sealed[0] = _binding(sealed[0], {name: seal(session.info[_SECRET], name, [row]) for _, name, row in bound})
    _await_turn(session)
    (seq, before), tenant = head(session), tenant_of(session)
    rows = []
    for event, (_, cases, _) in zip(sealed, pending, strict=True):
        seq, tenant = seq + 1, event["facts"].get(TENANT, tenant)
        whole = _with_patients(event, {tokens[one] for one in cases if one in tokens}) | {"seq": seq}
        whole["facts"] |= {TENANT: tenant} if tenant else {}
        before = link(before, whole)
        rows.append(whole | {"hash": before})
    session.execute(sa.insert(EventRow), rows)
    session.info[_CHAINED] = asking.get()


@sa.event.listens_for(Session, "after_commit")
def _note_told(session: Session) -> None:
    behind = session.info.pop(_CHAINED, None)
    if behind is not None:
        behind.told = True


def _sealed(session: Session, event: Mapping[str, Any], wrote: Collection[str]) -> Mapping[str, Any]:
    """The event with the seals of the rows that it binds; none where this process has no secret for them."""
    secret = session.info.get(_SECRET)
    if secret is None or not wrote:
        return event
    return _binding(event, seals(session, secret, event["case_id"], wrote))


def _binding(event: Mapping[str, Any], found: Mapping[str, str]) -> Mapping[str, Any]:
    return {**event, "facts": {**event["facts"], SEALS: {**event["facts"].get(SEALS, {}), **found}}}


def _tokens(session: Session, case_ids: Iterable[str]) -> dict[str, str]:
    """The patient of each case, as an event may name one; none where this process has no secret for it."""
    secret = session.info.get(_SECRET)
    if secret is None or not (wanted := sorted(case_ids)):
        return {}
    found = session.execute(sa.select(CaseRow.id, CaseRow.patient_id).where(CaseRow.id.in_(wanted)))
    return {case_id: token(secret, patient_id) for case_id, patient_id in found}


def token(secret: bytes, patient_id: str) -> str:
    """What stands for a patient in events: the same for the same one, and nothing to anyone without the secret."""
    return hmac.new(secret, b"patient\n" + patient_id.encode(), hashlib.sha256).hexdigest()[:32]


def _with_patients(event: Mapping[str, Any], patients: Collection[str]) -> dict[str, Any]:
    if len(patients) < 2:
        return {**event, "patient": next(iter(patients), ""), "facts": dict(event["facts"])}
    return {**event, "patient": "", "facts": {**event["facts"], "patients": sorted(patients)}}


def _await_turn(session: Session) -> None:
    """From here on nobody else can add an event until this transaction has ended."""
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    elif not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # its driver does so before a change only, not before a look


def head(session: Session) -> tuple[int, str]:
    """The number and the hash of the last event."""
    last = session.execute(sa.select(EventRow.seq, EventRow.hash).order_by(EventRow.seq.desc()).limit(1)).one_or_none()
    return (0, GENESIS) if last is None else (last.seq, last.hash)


def tenant_of(session: Session, object_id: str | None = None) -> str:
    """Whose the chain is, by its last event, or by the first that there is of an object; "" if that names nobody, as
    those of earlier versions."""
    query = sa.select(EventRow.facts).limit(1)
    if object_id is None:
        query = query.order_by(EventRow.seq.desc())
    else:
        query = query.where(EventRow.object_id == object_id).order_by(EventRow.seq)
    return str((session.scalar(query) or {}).get(TENANT, ""))


def name_tenant(database: Database, tenant: str) -> None:
    """Has the events from now on be of a tenant. Raises ConfigError where they are of another: only whoever had not
    said which it is may say so later."""
    with database.write() as session:
        _await_turn(session)
        known = tenant_of(session)
        if known == tenant:
            return
        if known not in ("", UNNAMED_TENANT):
            mend = f"set CLINIMM_TENANT={known}, or give {tenant} a database of its own"
            raise ConfigError(
                f"the database is of the tenant {known}, not of {tenant}", where=database.place, mend=mend
            )
        record(session, SYSTEM, "tenant.named", tenant, tenant=tenant)


def last_request(session: Session, case_id: str) -> str:
    """The id of the request that last did something to a case, or ""."""
    query = sa.select(EventRow.request_id).where(EventRow.case_id == case_id, EventRow.request_id != "")
    return session.scalar(query.order_by(EventRow.seq.desc()).limit(1)) or ""


def timeline(session: Session, case_id: str) -> list[Event]:
    """Every event of a case, in the order they happened."""
    query = sa.select(EventRow).where(EventRow.case_id == case_id).order_by(EventRow.seq)
    return [
        Event(row.seq, row.time, row.actor, row.action, row.object_id, row.request_id, row.facts)
        for row in session.scalars(query)
    ]

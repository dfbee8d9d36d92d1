"""Keeps answers, each once, and gives them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from clinimm.report.canonical import digest
from clinimm.types import Abstention
from services import audit, holds
from services.db import Database, now
from services.http.ids import no_case, no_result
from services.http.once import Answer, Asked, fingerprint, once
from services.jobs import state
from services.jobs.queue import Queue
from services.results import store
from services.results.schemas import AskedOut, ResultOut, ResultsOut
from services.results.store import StoredResult

NEEDS_REVIEW = "needs_re-review"


HELD = "held"


@dataclass(frozen=True)
class Results:
    """`model` is the digest of the artifact that answers now."""

    database: Database
    queue: Queue
    model: str

    def of_case(self, case_id: str) -> ResultsOut:
        """Raises NotFound."""
        with self.database.read() as session:
            held = holds.is_held(session, case_id)
            if held is None:
                raise no_case()
            if held:
                return ResultsOut(case_id=case_id, state=HELD, reason=Abstention.IDENTITY_CONFLICT, results=[])
            standing, found = state.standing(session, case_id), store.of_case(session, case_id)
        return ResultsOut(case_id=case_id, state=standing.word, reason=standing.reason, results=_chain(found))

    def ask_again(self, client: str, key: str, case_id: str) -> Answer:
        """The answer to who wants the case as it is answered by the model of now: where to wait for it, or to find it.
        Raises NotFound, Conflict while the case is held."""

        def effect(session: Session) -> Answer:
            if holds.is_held(session, case_id) is None:
                raise no_case()
            version, inputs_hash, held = store.lock(session, case_id)
            if held:
                raise holds.withheld()
            if store.find(session, case_id, inputs_hash, self.model) is not None:
                return Answer(200, _where(f"/v1/cases/{case_id}/results"), {"Location": f"/v1/cases/{case_id}/results"})
            self.queue.check_room(session)
            job_id = self.queue.enqueue(session, "diagnose", case_id, self.model, version=version)
            job = state.get(session, job_id)
            if job is not None and job.state != state.QUEUED:  # it failed for good, and is wanted all the same
                self.queue.retry(session, job_id, client)
            audit.record(session, client, "case.asked_again", case_id, of_case=case_id, model=self.model)
            there = f"/v1/jobs/{job_id}"
            return Answer(202, _where(there), {"Location": there, "Retry-After": "1"})

        return once(self.database, Asked(client, key, fingerprint("ask again", case_id)), effect)

    def version(self, case_id: str, version: int) -> ResultOut:
        """Raises NotFound, Conflict while the case is held."""
        with self.database.read() as session:
            holds.check(session, case_id)
            found = {result.version: result for result in _chain(store.of_case(session, case_id))}
        if version not in found:
            raise no_result()
        return found[version]


def _where(there: str) -> bytes:
    return AskedOut(location=there).model_dump_json().encode()


@dataclass(frozen=True)
class Content:
    """What an answer is to: a case at a version, and the hash of what it then held."""

    case_id: str
    version: int
    inputs_hash: str


def keep(
    session: Session,
    content: Content,
    record: Mapping[str, Any],
    causes: Sequence[str],
    *,
    more_flags: Sequence[str] = (),
    crosses_signed: bool = False,
    made_by: Mapping[str, Any] | None = None,
) -> str | None:
    """The id of the new result, in the caller's transaction, which holds the case. None if this content and this model
    have theirs, or if there is an answer to a later version: an answer never takes the place of a newer one.

    `causes` are those of the case's versions since the result before; `made_by` is what its event binds besides: the
    hashes of config and code, and the settings of the machine."""
    model = str(record["artifact"])
    if store.find(session, content.case_id, content.inputs_hash, model) is not None:
        return None
    previous = store.latest(session, content.case_id)
    before = None if previous is None else store.get(session, previous)
    if before is not None and before.case_version > content.version:
        return None
    version = 1 if before is None else before.version + 1
    flags = [*flags_of(record), *more_flags, *([NEEDS_REVIEW] if crosses_signed else [])]
    result = StoredResult(
        id=f"{content.case_id}-{version}",
        case_id=content.case_id,
        version=version,
        inputs_hash=content.inputs_hash,
        model=model,
        case_version=content.version,
        cause=_cause(before, model, causes),
        supersedes=previous,
        changes={} if before is None else changes(before.record, record),
        record=dict(record),
        created_at=now(),
        flags=tuple(flags),
    )
    store.add(session, result)
    _tell(session, result, made_by or {})
    if crosses_signed:
        audit.record(session, audit.SYSTEM, f"result.{NEEDS_REVIEW}", result.id, of_case=content.case_id)
    return result.id


def _tell(session: Session, result: StoredResult, made_by: Mapping[str, Any]) -> None:
    """The event of a result binds all that it came from, and what came of it."""
    names = ("inputs_hash", "model", "case_version", "cause")
    told: dict[str, Any] = {name: getattr(result, name) for name in names} | {"flags": list(result.flags), **made_by}
    told["record_sha256"] = digest(result.record)
    told["wrote"] = [f"{kind}/{result.version}" for kind in ("results", "flags", "points")]
    audit.record(session, audit.SYSTEM, "result.stored", result.id, of_case=result.case_id, **told)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What one record changes of each target that both have."""
    old = {target["target"]: target for target in before["targets"]}
    found: dict[str, Any] = {}
    for target in after["targets"]:
        if (was := old.get(target["target"])) is None:
            continue
        p, q = was["probability"], target["probability"]
        delta = None if p is None or q is None else round(q - p, 6)
        crossed = was["decision"] != target["decision"]
        found[target["target"]] = {"before": p, "after": q, "delta": delta, "crossed": crossed}
    return found


def _cause(before: StoredResult | None, model: str, causes: Sequence[str]) -> str:
    if before is None:
        return "created"
    other = ["model_changed"] if before.model != model else []
    return ",".join([*other, *dict.fromkeys(causes)])[:200] or "run_again"


def flags_of(record: Mapping[str, Any]) -> list[str]:
    """Every word that a result can be found by: the prediction's own, such as `missing:labs` and `unreadable:cxr`,
    and `abstained:no_usable_input`."""
    reasons = {record["abstained"], *(target["abstained"] for target in record["targets"])} - {None}
    return [*record["flags"], *(f"abstained:{reason}" for reason in sorted(reasons))]


def _chain(newest_first: Sequence[StoredResult]) -> list[ResultOut]:
    """The results of a case, each with the one that took its place."""
    later = {result.supersedes: result.version for result in newest_first}
    return [_shown(result, later.get(result.id)) for result in newest_first]


def _shown(result: StoredResult, superseded_by: int | None) -> ResultOut:
    told = {name: result.record[name] for name in ("targets", "weights", "inputs", "used", "missing", "rejected")}
    base = f"/v1/cases/{result.case_id}"
    return ResultOut(
        id=result.id,
        case_id=result.case_id,
        version=result.version,
        case_version=result.case_version,
        supersedes=None if result.supersedes is None else int(result.supersedes.rpartition("-")[2]),
        superseded_by=superseded_by,
        status="current" if superseded_by is None else "superseded",
        cause=result.cause,
        changes=result.changes,
        inputs_hash=result.inputs_hash,
        model=result.model,
        created_at=result.created_at,
        unused_inputs=result.record.get("unused_inputs", []),
        flags=list(result.flags),
        conflict=result.record.get("conflict"),
        next_inputs=result.record.get("next_inputs", []),
        abstained=result.record["abstained"],
        links={"self": f"{base}/results/{result.version}", "case": base, "report": f"{base}/report"},
        **told,
    )

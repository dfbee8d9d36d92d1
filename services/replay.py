"""Runs stored answers again, from the kept inputs at the version they answered, and compares the records to the byte.

Whatever was kept to save time is left aside: every film is decoded again."""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clinimm.errors import ArtifactError, ClinimmError
from clinimm.inference import Predictor
from clinimm.io.sandbox import Sandbox
from clinimm.registry import Registry, digest_of
from clinimm.report.canonical import Json, canonical, parsed
from clinimm.report.differences import Difference, differences, leaves
from services import audit, holds
from services.blobs import Blobs
from services.cases.hold import read_secret
from services.db import Database
from services.errors import NotFound
from services.explanation import explained
from services.http.ids import CASE_ID
from services.jobs import state
from services.reports import store as reports
from services.reports.store import StoredReport
from services.results import store as results
from services.results.store import StoredResult
from services.settings import Settings
from services.tables import ReportRow, ResultRow

BLOCK = 500
RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""How far a number may lie from the one on record where another machine or other packages computed it: float32 adds up
in another order there. Without vector instructions the largest change of any answer or attribution was 5e-6 (12 reports
of a small model); a record has six decimals, and what a clinician reads has two."""
OF_CHECKS = 2e-2
"""The same for what a faithfulness check measured, a ratio of small numbers: 3e-3 there. That it passed must agree."""
_PLATFORM = ("settings", "packages")
_COMPUTED = ("tensors", "explanation")
_WHOLE = ("sha256", "film", "heat")  # hashes of arrays, and pictures drawn from them: one last bit changes all of it


class Verdict(StrEnum):
    SAME = "same"
    WITHIN = "within tolerance"
    DIFFERS = "differs"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True)
class Replay:
    """What became of one report. `causes` are the differences, the first of which caused the others; they name places,
    never values. `why` says why it cannot be told."""

    result_id: str
    verdict: Verdict
    causes: tuple[Difference, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        if self.verdict is Verdict.UNKNOWN:
            return f"{self.result_id}\t{self.verdict}\t{self.why}"
        if not self.causes:
            return f"{self.result_id}\t{self.verdict}"
        first = self.causes[0].stage
        pointers = " ".join(one.pointer for one in self.causes if one.stage == first)
        return f"{self.result_id}\t{self.verdict}\t{first}\t{pointers}"


@dataclass(frozen=True)
class Models:
    """The artifacts at hand, each loaded when it is first wanted: the one that is named, and all that were
    ever promoted."""

    settings: Settings
    sandbox: Sandbox
    _loaded: dict[str, Predictor] = field(default_factory=dict)

    def of(self, digest: str) -> Predictor:
        """Raises ArtifactError where no artifact at hand has this digest, or it was changed."""
        if digest not in self._loaded:
            at, given = self._place(digest), self.settings
            self._loaded[digest] = Predictor.load(
                at, device=given.device, threads=given.threads, sandbox=self.sandbox, backbone=given.backbone
            )
        return self._loaded[digest]

    def _place(self, digest: str) -> Path:
        named, registry = self.settings.artifact, self.settings.registry
        if named is not None and digest_of(named) == digest:
            return named
        if registry is not None and (kept := Registry(registry).place(digest)).is_dir():
            return kept
        mend = "give --artifact DIR of the one with this digest, or the --registry that keeps it"
        raise ArtifactError("the model that answered is not at hand", where=digest, mend=mend)


@contextmanager
def opened(database: Database, settings: Settings) -> Iterator[Callable[[str], Replay]]:
    """What replays a result by its id, for the length of a block. Raises ConfigError where the data have no files."""
    blobs = Blobs.there(settings.data)
    audit.keyed(database, read_secret(settings.data))
    with Sandbox(settings.limits.confinement) as sandbox:
        models = Models(settings, sandbox)
        yield lambda result_id: replay(database, blobs, models.of, result_id)


def exit_code(verdicts: Collection[Verdict]) -> int:
    """1 if any differs, else 2 if of any it cannot be told, else 0."""
    return 1 if Verdict.DIFFERS in verdicts else 2 if Verdict.UNKNOWN in verdicts else 0


def asked(database: Database, name: str) -> str:
    """The result that a case's or a result's id means: of a case, the latest. Raises NotFound."""
    with database.read() as session:
        found = results.latest(session, name) if CASE_ID.fullmatch(name) else name
        if found is None or results.get(session, found) is None:
            raise NotFound("result_not_found", "There is no such case or result.")
    return found


def every(database: Database, limit: int | None = None) -> Iterator[str]:
    """The results that have a report, the latest first."""
    left, before = math.inf if limit is None else limit, None
    order = sa.tuple_(ResultRow.created_at, ResultRow.id)
    while left > 0:
        query = sa.select(ResultRow.created_at, ResultRow.id).join(ReportRow, ReportRow.result_id == ResultRow.id)
        query = query.order_by(ResultRow.created_at.desc(), ResultRow.id.desc()).limit(int(min(left, BLOCK)))
        with database.read() as session:
            rows = session.execute(query if before is None else query.where(order < before)).all()
        yield from (row.id for row in rows)
        if len(rows) < BLOCK:
            return
        left, before = left - len(rows), tuple(rows[-1])


def replay(database: Database, blobs: Blobs, model: Callable[[str], Predictor], result_id: str) -> Replay:
    """What becomes of a report when its result is computed again; an event tells that it was. `model` gives the
    predictor of a digest, or raises ArtifactError."""
    report = None
    try:
        result, report = _stored(database, result_id)
        kept = blobs.read(report.record_sha256)
        found = compared(result, kept, explained(model(result.model), database, blobs, result_id))
    except ClinimmError as error:
        found = Replay(result_id, Verdict.UNKNOWN, why=" ".join(str(error).split()))
    facts: dict[str, Any] = {"record": report.record_sha256 if report else None, "verdict": found.verdict.value}
    outcome = audit.REFUSED if found.verdict is Verdict.UNKNOWN else audit.DONE
    with database.write() as session:
        of_case = state.case_of(result_id)
        audit.record(session, audit.OPERATOR, "report.replayed", result_id, of_case=of_case, outcome=outcome, **facts)
    return found


def compared(result: StoredResult, kept: bytes, again: Json) -> Replay:
    """The verdict on a result and the bytes of its record, beside the record that was computed again."""
    told = parsed(kept)
    given = {name: value for name, value in result.record.items() if name != "unused_inputs"}
    one, other = told | {"result": given}, again | {"result": again["prediction"]}
    found = differences(one, other)
    if found and any(cause.stage in _PLATFORM for cause in found) and _is_close(one, other, found):
        return Replay(result.id, Verdict.WITHIN, found)
    if not found and kept != canonical(again | {"created": told.get("created")}):
        found = (Difference("other", "/report_id"),)
    return Replay(result.id, Verdict.DIFFERS if found else Verdict.SAME, found)


def _stored(database: Database, result_id: str) -> tuple[StoredResult, StoredReport]:
    """Raises NotFound, and Conflict while the case is held: nothing may be told of it, nor that it is the same."""
    with database.read() as session:
        result, report = results.get(session, result_id), reports.get(session, result_id)
        if result is None or report is None:
            raise NotFound("result_not_found", "There is no such result, or it has no report yet.")
        holds.check(session, result.case_id)
    return result, report


def _is_close(one: Json, other: Json, found: tuple[Difference, ...]) -> bool:
    """Whether all that differs is the platform, or what two platforms may compute differently."""
    before, after = dict(leaves(one)), dict(leaves(other))
    return all(
        cause.stage in _PLATFORM
        or (cause.stage in _COMPUTED and cause.pointer.rpartition("/")[2] in _WHOLE)
        or _are_close(before.get(cause.pointer), after.get(cause.pointer), _slack(cause.pointer))
        for cause in found
    )


def _slack(pointer: str) -> float:
    return OF_CHECKS if fnmatchcase(pointer, "/explanations/*/checks/*/value") else ABSOLUTE


def _are_close(one: tuple[str, Any] | None, other: tuple[str, Any] | None, slack: float) -> bool:
    if one is None or other is None or (one[0], other[0]) != ("float", "float"):
        return False
    return math.isclose(one[1], other[1], rel_tol=RELATIVE, abs_tol=slack)

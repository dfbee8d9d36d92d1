"""What must be true of a service's database and files once it has come to rest, whatever was killed before."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from chaos.clients import Acknowledged
from services.audit.heads import HEADS, PUBLIC, read_heads, read_key
from services.audit.verify import verify
from services.blobs import Blobs, Sweeper
from services.cases import store
from services.cases.content import inputs_hash
from services.cases.hold import known_secret
from services.cases.stored import StoredCase
from services.db import Database
from services.evidence.finding import Bond
from services.evidence.rows import Evidence
from services.http.claims import Claims
from services.jobs import state
from services.reports import store as reports
from services.tables import (
    CaseRow,
    DueRow,
    EventRow,
    ImageRow,
    InstanceRow,
    JobRow,
    ReportRow,
    ResultRow,
    VersionRow,
)


@dataclass
class Findings:
    """Every breach, in words; `given_up` counts the jobs that killed, or died with, too many workers."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    halved: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    swept: int = 0
    given_up: int = 0
    cases: int = 0
    versions: int = 0
    results: int = 0

    @property
    def breaches(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.halved, *self.orphans, *self.unanswered]


def check(url: str, data: Path, acknowledged: list[Acknowledged]) -> Findings:
    """Everything that is wrong. The janitor is run first, as if all files were old."""
    database, blobs, found = Database(url), Blobs(data / "blobs"), Findings()
    with database.read() as session:
        found.swept = Sweeper(
            blobs, lambda names: store.known(session, names) | reports.known(session, names), patience=0
        ).turn()
        Claims(data / "keys").sweep()
        cases = {one: case for one in session.scalars(sa.select(CaseRow.id)) if (case := store.get(session, one))}
        found.cases = len(cases)
        found.lost += [fault for one in acknowledged for fault in _lost(one, cases.get(one.case_id), blobs)]
        told = {one.case_id for one in acknowledged}
        found.doubled += [f"{case_id}: a case that nobody was told of" for case_id in cases.keys() - told]
        for case in cases.values():
            mine = [one for one in acknowledged if one.case_id == case.id]
            found.doubled += _doubled(case, mine)
            found.halved += _versions(session, case)
            found.unanswered += _answered(session, case, found)
        found.doubled += _repeats(session)
        found.orphans += [*_rows(session), *_files(session, blobs, data)]
        found.versions = session.scalar(sa.select(sa.func.count()).select_from(VersionRow)) or 0
        found.halved += _events(database, data / "heads")
        evidence = Evidence(database, blobs, Bond(known_secret(data)), deep=False)
        found.halved += [str(one) for one in evidence.findings()]
        found.results = session.scalar(sa.select(sa.func.count()).select_from(ResultRow)) or 0
    database.close()
    return found


def _events(database: Database, heads: Path) -> list[str]:
    """What the chain of events tells was done to it."""
    return [str(one) for one in verify(database, read_heads(heads / HEADS), read_key(heads / PUBLIC)).findings]


def _lost(one: Acknowledged, case: StoredCase | None, blobs: Blobs) -> Iterator[str]:
    if case is None or case.version < one.version:
        yield f"{one.case_id}: version {one.version} was acknowledged and is gone"
        return
    held = [image for image in case.images if image.version <= one.version and image.sha256]
    there = {blobs.read(str(image.sha256)) for image in held}
    labs = [dict(lab.original) for lab in case.labs if lab.version <= one.version]
    texts = [note.text for note in case.notes if note.version <= one.version]
    if not set(one.post.films) <= there:
        yield f"{one.case_id}: a film of version {one.version} is gone, or has other bytes"
    if not {_told(lab) for lab in one.post.labs} <= {_told(lab) for lab in labs}:
        yield f"{one.case_id}: a value of version {one.version} is gone"
    if not set(one.post.notes) <= set(texts):
        yield f"{one.case_id}: a note of version {one.version} is gone"


def _told(lab: dict[str, object]) -> str:
    """What was sent of a value, its number by its digits, its moment by its instant."""
    value = {name: str(said).replace("+00:00", "Z") for name, said in lab.items() if said is not None}
    return json.dumps(value | {"value": f"{float(str(lab['value'])):.6f}"}, sort_keys=True)


def _doubled(case: StoredCase, acknowledged: list[Acknowledged]) -> Iterator[str]:
    posts = [one.post for one in acknowledged]
    films = {data for post in posts for data in post.films}
    labs = {_told(lab) for post in posts for lab in post.labs}
    notes = {text for post in posts for text in post.notes}
    for name, sent, kept in (
        ("films", len(films), len(case.images)),
        ("labs", len(labs), len(case.labs)),
        ("notes", len(notes), len(case.notes)),
    ):
        if sent != kept:
            yield f"{case.id}: {sent} {name} were sent and {kept} are kept"


def _versions(session: Session, case: StoredCase) -> Iterator[str]:
    """Versions from 1 on without a gap, each with its event and with everything that it brought."""
    query = sa.select(VersionRow).where(VersionRow.case_id == case.id).order_by(VersionRow.version)
    rows = list(session.scalars(query))
    expected = list(range(1, case.version + 1))
    if [row.version for row in rows] != expected:
        yield f"{case.id}: versions {[row.version for row in rows]} of {case.version}"
    if not rows or rows[-1].inputs_hash != case.inputs_hash or inputs_hash(case) != case.inputs_hash:
        yield f"{case.id}: the hash of its content is not that of what it holds"
    parts = [*case.images, *case.notes, *case.labs]
    if any(part.version not in expected for part in parts):
        yield f"{case.id}: a part of a version that is not there"
    if any(image.sha256 and image.instance is None for image in case.images):
        yield f"{case.id}: a film without its instance"
    actions = session.execute(
        sa.select(EventRow.action, EventRow.facts).where(EventRow.case_id == case.id).order_by(EventRow.seq)
    ).all()
    grown = [(action, facts["version"]) for action, facts in actions if action in ("case.created", "case.added")]
    if grown != [("case.added" if version > 1 else "case.created", version) for version in expected]:
        yield f"{case.id}: its events are {grown}"


def _answered(session: Session, case: StoredCase, found: Findings) -> Iterator[str]:
    """The latest version has its answer and every answer its report, event and version."""
    results = list(session.scalars(sa.select(ResultRow).where(ResultRow.case_id == case.id)))
    versions = {
        (row.version, row.inputs_hash)
        for row in session.scalars(sa.select(VersionRow).where(VersionRow.case_id == case.id))
    }
    job = state.of(session, "diagnose", [case.id]).get(case.id)
    given_up = job is not None and job.state == state.DEAD
    found.given_up += given_up
    if case.inputs_hash not in {result.inputs_hash for result in results} and not given_up:
        yield f"{case.id}: version {case.version} has no answer"
    for result in results:
        if (result.case_version, result.inputs_hash) not in versions:
            yield f"{result.id}: is bound to no version of its case"
        explained = state.of(session, "explain", [result.id]).get(result.id)
        dead = explained is not None and explained.state == state.DEAD
        found.given_up += dead
        if session.get(ReportRow, result.id) is None and not dead:
            yield f"{result.id}: has no report"


def _repeats(session: Session) -> Iterator[str]:
    keys = session.execute(sa.select(ResultRow.case_id, ResultRow.inputs_hash, ResultRow.model))
    yield from (
        f"{key[0]}: two answers to one content" for key, count in Counter(map(tuple, keys)).items() if count > 1
    )
    stored = Counter(session.scalars(sa.select(EventRow.object_id).where(EventRow.action == "result.stored")))
    results = set(session.scalars(sa.select(ResultRow.id)))
    yield from (f"{name}: stored by {count} events" for name, count in stored.items() if count != 1)
    yield from (f"{name}: stored without its event" for name in results ^ stored.keys())


def _rows(session: Session) -> Iterator[str]:
    wanted = set(session.scalars(sa.select(ImageRow.sop_uid).distinct()))
    yield from (
        f"instance {uid} of no image" for uid in session.scalars(sa.select(InstanceRow.sop_uid)) if uid not in wanted
    )
    yield from (f"{case_id}: still waits" for case_id in session.scalars(sa.select(DueRow.case_id)))
    yield from (
        f"job {job}: still owed" for job in session.scalars(sa.select(JobRow.id).where(JobRow.state == "queued"))
    )


def _files(session: Session, blobs: Blobs, data: Path) -> Iterator[str]:
    """Files that nobody names, and names without a file."""
    there = {path.name for path in blobs.root.rglob("*") if path.is_file() and path.parent != blobs.root}
    named = {name for name in session.scalars(sa.select(ImageRow.sha256).distinct()) if name}
    for column in (InstanceRow.sha256, ReportRow.record_sha256, ReportRow.page_sha256):
        named |= set(session.scalars(sa.select(column).distinct()))
    yield from (f"file {name} of no row" for name in there - named)
    yield from (f"row without its file {name}" for name in named - there)
    yield from (f"key {path.name} is still held" for path in (data / "keys").iterdir())

"""What is on record of a case: its results, reports and reviews, its events, and what proves them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clinimm.report.canonical import canonical
from services import holds
from services.audit import chain
from services.audit.heads import HEADS, Head, read_heads
from services.blobs import Blobs
from services.cases import store as cases
from services.cases.content import FILE_MISSING
from services.db.lying import columns, plain
from services.http.ids import no_case
from services.reports import store as reports
from services.results import store as results
from services.reviews import store as reviews
from services.tables import EventRow

FORMAT = "clinimm.bundle/1"
PIECE = 1 << 20
Member = tuple[str, Iterator[bytes]]
_EVENTS: sa.Table = EventRow.__table__  # type: ignore[assignment]


@dataclass(frozen=True)
class Proof:
    """`digests` are of the events from number `first` on, 32 bytes each; `before` is the hash of the one before. They
    end at the first head that was signed after the last event of the case, or where the chain does."""

    events: bytes
    digests: bytes
    first: int
    before: str
    heads: tuple[Head, ...]


def members(
    session: Session, blobs: Blobs, case_id: str, *, with_inputs: bool
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Files by their names, in pieces. Raises NotFound, Conflict while the case is held, DamagedBlob for a file that is
    no longer what was stored: nothing is given out as a record that is none."""
    case = cases.get(session, case_id)
    if case is None:
        raise no_case()
    holds.check(session, case_id)
    for result in reversed(results.of_case(session, case_id)):
        yield f"results/{result.version}.json", iter([canonical(result.record)])
        report = reports.get(session, result.id)
        if report is not None:
            yield f"reports/{result.version}.json", iter([blobs.read(report.record_sha256)])
            yield f"reports/{result.version}.html", iter([blobs.read(report.page_sha256)])
    told = [asdict(one) | {"created_at": one.created_at.isoformat()} for one in reviews.of_case(session, case_id)]
    yield "reviews.json", iter([json.dumps(told, indent=1).encode()])
    if with_inputs:
        kept = {image.sha256 for image in case.images if image.sha256 and image.code != FILE_MISSING}
        for name in sorted(kept):
            yield f"inputs/{name}.dcm", _pieces(blobs, name)


def _pieces(blobs: Blobs, name: str) -> Iterator[bytes]:
    blobs.check(name)
    with blobs.path(name).open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def proof(session: Session, case_id: str, heads_folder: Path) -> Proof:
    """Events that are linked in the older way cannot be told by their digests: the proof begins after the last such."""
    mine = _EVENTS.columns["case_id"] == case_id
    own = [plain(_EVENTS, row) for row in _events(session, mine)]
    file = heads_folder / HEADS
    heads = [head for head in (read_heads(file) if file.is_file() else []) if own and head.seq >= own[-1]["seq"]][:1]
    first = own[0]["seq"] if own else 1
    end = heads[0].seq if heads else max((one["seq"] for one in own), default=0)
    before, digests = _hash_of(session, first - 1), bytearray()
    for row in _events(session, _EVENTS.columns["seq"].between(first, end)):
        event = plain(_EVENTS, row)
        digests += bytes.fromhex(chain.digest(event))
        if chain.link(before, event) != event["hash"]:
            first, digests = event["seq"] + 1, bytearray()
        before = event["hash"]
    start = _hash_of(session, first - 1)
    lines = b"".join(chain.canonical(event) + b"\n" for event in own)
    return Proof(lines, bytes(digests), first, start, tuple(heads))


def _events(session: Session, condition: sa.ColumnElement[bool]) -> sa.MappingResult:
    query = sa.select(*columns(_EVENTS)).where(condition).order_by(_EVENTS.columns["seq"])
    return session.execute(query.execution_options(yield_per=1000)).mappings()


def _hash_of(session: Session, seq: int) -> str:
    return session.scalar(sa.select(EventRow.hash).where(EventRow.seq == seq)) or chain.GENESIS

"""Whether the events are those that were written: all of them, unchanged, in their order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.audit.chain import GENESIS, links
from services.audit.heads import Head, forged
from services.db import Database
from services.db.lying import columns, lying, plain
from services.tables import EventRow

CHANGED, HASH_CHANGED, SWAPPED, INSERTED = "event_changed", "hash_changed", "events_swapped", "event_inserted"
DELETED, UNLINKED = "events_deleted", "event_unlinked"
CUT, RECHAINED, FORGED = "tail_cut", "chain_rewritten", "head_forged"
MOST_LOST = 1000  # events whose loss is looked for where those after them were given their numbers

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """What is wrong, and with which events by their numbers, first and last; of a head, its place in the file."""

    kind: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.kind}\t{self.first}" + (f"-{self.last}" if self.last != self.first else "")


@dataclass(frozen=True)
class Verdict:
    """`seq` and `hash` are of the last event."""

    findings: tuple[Finding, ...]
    seq: int
    hash: str


def verify(database: Database, heads: Sequence[Head], key: Ed25519PublicKey | None) -> Verdict:
    """What was done to the events, as far as the chain and the heads tell that `key` has signed."""
    bad = set(forged(heads, key)) if key is not None else set()
    good = [head for place, head in enumerate(heads, start=1) if place not in bad]
    table: sa.Table = EventRow.__table__  # type: ignore[assignment]
    with database.read() as session, lying(session):
        query = sa.select(*columns(table)).order_by(EventRow.seq).execution_options(yield_per=1000)
        found = judged((plain(table, row) for row in session.execute(query).mappings()), good)
    return Verdict((*(Finding(FORGED, place, place) for place in sorted(bad)), *found.findings), found.seq, found.hash)


def judged(rows: Iterable[Row], heads: Sequence[Head]) -> Verdict:
    """The verdict on events in the order of their numbers, against heads whose signatures are good."""
    walk, last = _Walk({head.seq: head.hash for head in heads}), None
    for row, then in pairwise(chain(rows, (None,))):
        if row is not None:
            walk.take(row, then)
            last = row
    seq, digest = (last["seq"], last["hash"]) if last is not None else (0, GENESIS)
    return Verdict((*walk.findings, *walk.cut(seq)), seq, digest)


class _Walk:
    """Goes along the events, each seen with the next, which tells what was done to it."""

    def __init__(self, heads: Mapping[int, str]) -> None:
        self.findings: list[Finding] = []
        self._heads = dict(heads)
        self._before, self._next = GENESIS, 1
        self._shift = 0  # from the number that an event has to the one that it had
        self._whole_until = 0  # the last head that fits
        self._skips = False

    def take(self, row: Row, then: Row | None) -> None:
        if self._skips:
            self._skips, self._next = False, row["seq"] + 1
            return
        if row["seq"] > self._next:
            self._find(DELETED, self._next, row["seq"] - 1)
            self._before = row["hash"]
        elif self._fits(row):
            self._before = row["hash"]
        else:
            self._judge(row, then)
        self._next = row["seq"] + 1
        self._compare(row)

    def cut(self, last: int) -> Iterator[Finding]:
        """What the heads know of and is not there."""
        known = max(self._heads, default=0)
        if known > last + self._shift:
            yield Finding(CUT, last + self._shift + 1, known)

    def _judge(self, row: Row, then: Row | None) -> None:
        """Of an event that does not follow the one before it."""
        seq = row["seq"]
        if then is not None and (after := self._swapped(row, then)):
            self._find(SWAPPED, seq, seq + 1)
            self._before, self._skips = after, True
        elif then is not None and self._fits(then, shift=-1):
            self._find(INSERTED, seq, seq)
            self._shift -= 1
        elif then is None or self._fits(then, before=row["hash"]):
            self._find(CHANGED, seq, seq)
            self._before = row["hash"]
        elif true := next((one for one in self._links(row) if self._fits(then, before=one)), ""):
            self._find(HASH_CHANGED, seq, seq)
            self._before = true
        elif lost := self._lost(row, then):
            self._find(DELETED, seq + self._shift, seq + self._shift + lost - 1)
            self._shift += lost
            self._before = row["hash"]
        else:
            self._find(UNLINKED, seq, seq)
            self._before = row["hash"]

    def _swapped(self, row: Row, then: Row) -> str:
        """The hash of the later of two events that took each other's place, "" if they did not."""
        hashes = {row["hash"], then["hash"]}
        for first in self._links(then, shift=-1):
            for second in self._links(row, shift=1, before=first):
                if {first, second} == hashes:
                    return second
        return ""

    def _lost(self, row: Row, then: Row) -> int:
        """How many events are gone before this one, if those that follow have their numbers."""
        counts = range(1, MOST_LOST + 1)
        return next((n for n in counts if self._fits(then, shift=n, before=row["hash"])), 0)

    def _fits(self, row: Row, *, shift: int = 0, before: str | None = None) -> bool:
        """Whether the event follows the one with the hash `before`, or else the one before it."""
        return row["hash"] in self._links(row, shift=shift, before=before)

    def _links(self, row: Row, *, shift: int = 0, before: str | None = None) -> Iterator[str]:
        return links(before or self._before, {**row, "seq": row["seq"] + self._shift + shift})

    def _compare(self, row: Row) -> None:
        """Whether the chain at this event is that which was signed."""
        seq = row["seq"] + self._shift
        if seq not in self._heads:
            return
        if self._heads[seq] == row["hash"]:
            self._whole_until = seq
        elif not self.findings or self.findings[-1].first <= self._whole_until:
            self._find(RECHAINED, self._whole_until + 1, seq)

    def _find(self, kind: str, first: int, last: int) -> None:
        self.findings.append(Finding(kind, first, last))

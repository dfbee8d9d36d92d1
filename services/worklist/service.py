"""Gives out the worklist: a page of it, how many there are, and what it can be narrowed by."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.db import Database
from services.findings import AnswerRow
from services.http import cursor
from services.tables import CaseRow, FlagRow
from services.worklist import store
from services.worklist.filters import Filters
from services.worklist.store import COUNTED, Answering, Line


@dataclass(frozen=True)
class Page:
    """`next` is the cursor of the page after, None on the last. `count` is of all pages, at most `COUNTED`, and
    `is_more` says that there are more."""

    lines: Sequence[Line]
    next: str | None
    count: int
    is_more: bool


@dataclass(frozen=True)
class Choices:
    """What cases have: flags of their answers, models that answered, clients that sent them."""

    flags: Sequence[str]
    models: Sequence[str]
    senders: Sequence[str]


@dataclass(frozen=True)
class Worklist:
    database: Database

    def page(self, filters: Filters, after: str | None, limit: int) -> Page:
        """Raises Refused for a cursor that is not one."""
        before = cursor.decode(after)
        with self.database.read() as session:
            count = store.count(session, filters)
            found = store.page(session, filters, before, limit + 1, are_many=count > COUNTED)
        more = cursor.encode(found[limit - 1].seq) if len(found) > limit else None
        return Page(found[:limit], more, min(count, COUNTED), count > COUNTED)

    def choices(self) -> Choices:
        with self.database.read() as session:
            columns = (FlagRow.flag, AnswerRow.model, CaseRow.client)
            return Choices(*(store.distinct(session, column) for column in columns))

    def answered(self) -> Sequence[Answering]:
        """Every model that answered here, the latest first."""
        with self.database.read() as session:
            return store.answered(session)

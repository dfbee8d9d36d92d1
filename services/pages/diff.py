"""/cases/{id}/diff: two answers side by side, and by which stage their records came apart."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Query, Request, Response

from clinimm.report import html
from clinimm.report.canonical import Json, parsed
from clinimm.report.differences import differences
from services.errors import NotFound, NotReady
from services.http.ids import CaseId
from services.pages import rendering
from services.reports.service import Reports
from services.results.schemas import InputOut, ResultOut
from services.results.service import Results

router = APIRouter(include_in_schema=False)

Version = Annotated[int, Query(ge=1, le=999_999_999)]
One = TypeVar("One")


@dataclass(frozen=True)
class Pair(Generic[One]):
    """What two answers say of the same thing; None where one says nothing of it."""

    name: str
    before: One | None
    after: One | None


@dataclass(frozen=True)
class Given:
    """What an answer made of one input, and how much it listened to it."""

    state: InputOut
    weight: float


@dataclass(frozen=True)
class Stage:
    """Where in the record the answers differ, of one sort of cause or effect."""

    name: str
    pointers: tuple[str, ...]


@router.get("/cases/{case_id}/diff")
def page_diff(request: Request, case_id: CaseId, first: Version, second: Version) -> Response:
    """Raises NotFound, Conflict while the case is held."""
    results: Results = request.app.state.results
    reports: Reports = request.app.state.reports
    before, after = (results.version(case_id, version) for version in (first, second))
    request.state.seen = f"{before.id} {after.id}"
    records = [_record(reports, case_id, version) for version in (first, second)]
    return rendering.page(
        request,
        "diff.html",
        first=before,
        second=after,
        targets=paired(*({target.target: target for target in one.targets} for one in (before, after))),
        inputs=paired(given(before), given(after)),
        shapley=[
            Pair(one.name, one.before and one.before["shapley"], one.after and one.after["shapley"])
            for one in paired(*map(_explained, records))
        ],
        paired=paired,
        came=[flag for flag in after.flags if flag not in before.flags],
        went=[flag for flag in before.flags if flag not in after.flags],
        stages=None if None in records else list(stages(*(record for record in records if record))),
    )


def paired(before: Mapping[str, One] | None, after: Mapping[str, One] | None) -> list[Pair[One]]:
    """By name, in the order of the first and then of what the second alone has."""
    first, second = before or {}, after or {}
    return [Pair(name, first.get(name), second.get(name)) for name in dict.fromkeys((*first, *second))]


def given(answer: ResultOut) -> dict[str, Given]:
    return {name: Given(state, answer.weights.get(name, 0.0)) for name, state in answer.inputs.items()}


def stages(before: Json, after: Json) -> Iterable[Stage]:
    """What differs, the cause before its effects. Of records of two schemas, as they are read now."""
    found = differences(html.readable(before), html.readable(after))
    for name, group in groupby(found, key=lambda one: one.stage):
        yield Stage(name, tuple(one.pointer for one in group))


def _record(reports: Reports, case_id: str, version: int) -> Json | None:
    """None while the report is made, or where there will be none: the answers can be compared all the same."""
    try:
        return parsed(reports.record(case_id, version, withdrawn=True))
    except (NotReady, NotFound):
        return None


def _explained(record: Json | None) -> dict[str, Any]:
    return {one["target"]: one for one in (record or {}).get("explanations", [])}

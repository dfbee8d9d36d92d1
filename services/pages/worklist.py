"""/worklist: the cases, narrowed by what their answers, reports and reviews say."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from services.pages import rendering
from services.worklist.filters import ANSWERS, RELIABILITY, REVIEWS, Filters, parsed
from services.worklist.service import Worklist

router = APIRouter(include_in_schema=False)
LINES = 50


async def worklist(request: Request) -> Worklist:
    room: Worklist = request.app.state.worklist
    return room


@router.get("/worklist")
def page_worklist(request: Request, room: Annotated[Worklist, Depends(worklist)]) -> Response:
    """The cases that the filters leave, newest first. Filters that cannot be meant are named, and narrow nothing."""
    filters, faults = parsed(request.query_params)
    found = room.page(filters, request.query_params.get("cursor"), LINES)
    request.state.listed = [line.id for line in found.lines]
    more = f"/worklist?{urlencode(filters.given | {'cursor': found.next})}" if found.next else ""
    is_first = "cursor" not in request.query_params
    facts = {"found": found, "more": more, "is_first": is_first, **form_facts(request, room, filters, faults)}
    return rendering.page(request, "worklist.html", **facts)


def form_facts(request: Request, room: Worklist, filters: Filters, faults: Mapping[str, str]) -> dict[str, Any]:
    """What the form of filters is drawn from: what was asked, what is wrong with it, what can be chosen."""
    config = request.app.state.model.config
    return {
        "filters": filters,
        "faults": faults,
        "choices": room.choices(),
        "targets": _with(config.target_names, filters.target),
        "inputs_known": _with(tuple(config.inputs), filters.missing),
        "answers": ANSWERS,
        "reliabilities": RELIABILITY,
        "reviews": REVIEWS,
        "query": urlencode(filters.given),
    }


def _with(names: tuple[str, ...], asked: str) -> list[str]:
    """The model's own names, and what was asked for if it is another's."""
    return list(dict.fromkeys([*names, *([asked] if asked else [])]))

"""/drift: what a model saw and said over time. For researchers too, who are told of no small count; nobody is told of
a case."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.artifacts.facts import Model
from services.auth import Role
from services.drift.series import FALSE_RATE, UNITS
from services.drift.service import LEAST, MOST, Drift, asked
from services.pages import rendering
from services.pages.charts import drawing
from services.pages.models import FEWEST
from services.pages.worklist import worklist
from services.worklist.service import Worklist

router = APIRouter(include_in_schema=False)


async def drift(request: Request) -> Drift:
    room: Drift = request.app.state.drift
    return room


@router.get("/drift")
def page_drift(
    request: Request, room: Annotated[Drift, Depends(drift)], cases: Annotated[Worklist, Depends(worklist)]
) -> Response:
    """Charts, each with its table, and what differs from the reference."""
    wanted, faults = asked(request.query_params)
    current: Model = request.app.state.model
    models = list(dict.fromkeys([current.digest, *(one.model for one in cases.answered())]))
    chosen = request.query_params.get("model") or current.digest
    if chosen not in models:
        faults, chosen = faults | {"model": "Choose one of the models."}, current.digest
    fewest = FEWEST if request.state.role is Role.RESEARCHER else 1
    found = room.watch(chosen, wanted, fewest)
    request.state.seen = chosen
    drawn = [(chart, drawing(chart, found.stretches.starts)) for chart in found.stretches.charts]
    facts = {"found": found, "drawn": drawn, "wanted": wanted, "faults": faults, "models": models, "units": UNITS}
    about = {"chosen": chosen, "fewest": fewest, "least": LEAST, "most": MOST, "false_rate": FALSE_RATE}
    return rendering.page(request, "drift.html", status=200, **facts, **about)

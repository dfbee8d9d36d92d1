"""/samples: results drawn by lot to be audited, and what was found in them."""

import secrets
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from services.pages import rendering
from services.pages.signed_in import Form
from services.pages.worklist import form_facts, worklist
from services.samples import risk
from services.samples.service import MOST, MOST_SEED, Samples, wanted
from services.worklist.filters import Filters, parsed
from services.worklist.service import Worklist

router = APIRouter(prefix="/samples", include_in_schema=False)


async def samples(request: Request) -> Samples:
    room: Samples = request.app.state.samples
    return room


Room = Annotated[Samples, Depends(samples)]


@router.get("")
def page_samples(request: Request, room: Room) -> Response:
    """The samples that were drawn, newest first."""
    return rendering.page(request, "samples.html", samples=room.listed())


@router.get("/new")
def page_new_sample(request: Request, room: Room, cases: Annotated[Worklist, Depends(worklist)]) -> Response:
    """Asks how a sample is to be drawn from what the filters leave."""
    filters, faults = parsed(request.query_params)
    sent = {"plan": "random", "size": "50", "seed": str(secrets.randbelow(MOST_SEED))}
    return _asked(request, room, cases, filters, sent, faults)


@router.post("")
def page_draw_sample(
    request: Request, room: Room, cases: Annotated[Worklist, Depends(worklist)], fields: Form
) -> Response:
    """Draws a sample and goes to it."""
    filters, faults = parsed(fields)
    asked, more = wanted(fields)
    if asked is None or faults:
        sent = {name: fields.get(name, "") for name in ("plan", "size", "seed")}
        request.state.code = "bad_parameters"
        return _asked(request, room, cases, filters, sent, faults | more, status=422)
    sample_id = room.new(request.state.client, asked, filters)
    return rendering.see_other(f"/samples/{sample_id}")


@router.get("/{sample_id}")
def page_sample(request: Request, room: Room, sample_id: str) -> Response:
    """A sample: which results are in it, how many are reviewed, and the rate of rejected ones. Raises NotFound."""
    found = room.get(sample_id)
    request.state.seen = found.sample.id
    request.state.listed = [one.case_id for one in found.drawn]
    query = urlencode(found.filters.given)
    return rendering.page(request, "sample.html", found=found, sample=found.sample, query=query)


def _asked(
    request: Request,
    room: Samples,
    cases: Worklist,
    filters: Filters,
    sent: dict[str, str],
    faults: dict[str, str],
    *,
    status: int = 200,
) -> Response:
    told = form_facts(request, cases, filters, faults)
    about = {"weights": risk.WEIGHTS, "said": risk.SAID, "most": MOST, "most_seed": MOST_SEED}
    count = room.count(filters)
    return rendering.page(request, "new_sample.html", status=status, sent=sent, count=count, **about, **told)

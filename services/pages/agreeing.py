"""/agreement: how far readers agree with each other, and with the model."""

from fastapi import APIRouter, Request, Response

from services.auth import viewer
from services.pages import rendering, review_form
from services.reviews.agreement import FEWEST
from services.reviews.routes import Room

router = APIRouter(include_in_schema=False)


@router.get("/agreement")
def page_agreement(request: Request, room: Room) -> Response:
    """Kappa and what it must not be read without, per target and per pair of readers; overrides of the model."""
    found = room.agreements(viewer(request.state))
    return rendering.page(request, "agreement.html", found=found, fewest=FEWEST, words=review_form)

"""/v1/cases/{id}/similar"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from services.http.documented import headers
from services.http.ids import CaseId
from services.http.responses import document
from services.similar.schemas import SimilarOut
from services.similar.service import Similar

router = APIRouter(prefix="/v1/cases/{case_id}/similar", tags=["similar"])

MOST = 100


async def similar(request: Request) -> Similar:
    room: Similar = request.app.state.similar
    return room


@router.get("", response_model=SimilarOut, responses={200: {"headers": headers(some=("Retry-After",))}})
def list_similar(
    request: Request,
    room: Annotated[Similar, Depends(similar)],
    case_id: CaseId,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 10,
    same_patient: Annotated[bool, Query(description="Whether the patient's own other cases may be shown.")] = False,
) -> Response:
    """The cases that the model of the latest result puts nearest to it, the patient's own left out unless asked for.

    Each case comes once. None while the case is pending (ask again after Retry-After), and none with a `reason` where
    it was abstained from. Advisory: similar to the model is not the same diagnosis."""
    found = room.to_case(case_id, limit, same_patient=same_patient)
    request.state.listed = [one.case_id for one in found.similar]
    return document(request, found, headers={"Retry-After": "1"} if found.state == "pending" else {})

"""/v1/cases/{id}/reviews and /v1/cases/{id}/results/{version}/reviews"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.http.bodies import small_body
from services.http.documented import headers, problem
from services.http.ids import CaseId, ResultVersion
from services.http.keys import KEY_HEADER, Key, claimed, reviewer, sent
from services.http.responses import JSON, document, preferred
from services.reviews.schemas import ReviewIn, ReviewsOut
from services.reviews.service import Reviews

router = APIRouter(prefix="/v1/cases/{case_id}", tags=["reviews"])

DOCUMENT: dict[str, Any] = {
    "parameters": [KEY_HEADER],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{ReviewIn.__name__}"},
                "example": {"verdict": "signed_off"},
            }
        },
    },
}


ANSWERS: dict[int | str, dict[str, Any]] = {
    201: {"headers": headers("Location", "ETag", "Cache-Control")},
    403: problem(403),
}


async def reviews(request: Request) -> Reviews:
    room: Reviews = request.app.state.reviews
    return room


Room = Annotated[Reviews, Depends(reviews)]


@router.get("/reviews", response_model=ReviewsOut)
def list_reviews(request: Request, room: Room, case_id: CaseId) -> Response:
    """What people said of the results of a case, and where it stands."""
    return document(request, room.of_case(case_id))


@router.post(
    "/results/{version}/reviews",
    status_code=201,
    response_model=ReviewsOut,
    openapi_extra=DOCUMENT,
    responses=ANSWERS,
    dependencies=[Depends(reviewer), Depends(claimed)],
)
def post_review(
    request: Request,
    room: Room,
    key: Key,
    case_id: CaseId,
    version: ResultVersion,
    body: Annotated[bytes, Depends(small_body)],
) -> Response:
    """A person's word on the latest result. A sign-off holds until a later result crosses a threshold."""
    preferred(request, (JSON,))
    return sent(room.give(request.state.client, key, case_id, version, body))

"""/v1/cases/{id}/reviews and /v1/cases/{id}/results/{version}/reviews"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.auth import viewer
from services.http.bodies import small_body
from services.http.documented import headers, problem
from services.http.ids import CaseId, ResultVersion
from services.http.keys import CLAIMED, KEY_HEADER, Key, sent
from services.http.responses import JSON, document, preferred
from services.reviews.schemas import EXAMPLE_REVIEW, ReviewIn, ReviewsOut, WithdrawalIn
from services.reviews.service import Reviews

router = APIRouter(prefix="/v1/cases/{case_id}", tags=["reviews"])


def _document(schema: type, example: Any) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}, "example": example}
    body = {"required": True, "content": {"application/json": content}}
    return {"parameters": [KEY_HEADER], "requestBody": body}


DOCUMENT = _document(ReviewIn, EXAMPLE_REVIEW)
WITHDRAWAL = _document(WithdrawalIn, {"reason": "The film is of another patient.", "record_sha256": "0" * 64})

ANSWERS: dict[int | str, dict[str, Any]] = {
    201: {"headers": headers("Location", "ETag", "Cache-Control")},
    410: problem(410),
}


async def reviews(request: Request) -> Reviews:
    room: Reviews = request.app.state.reviews
    return room


Room = Annotated[Reviews, Depends(reviews)]


@router.get("/reviews", response_model=ReviewsOut)
def list_reviews(request: Request, room: Room, case_id: CaseId) -> Response:
    """What people said of the results of a case, and where it stands. A reader who has not spoken of the latest result
    is not told what others said of it."""
    return document(request, room.of_case(case_id, viewer(request.state)))


@router.post(
    "/results/{version}/reviews",
    status_code=201,
    response_model=ReviewsOut,
    openapi_extra=DOCUMENT,
    responses=ANSWERS,
    dependencies=[CLAIMED],
)
def post_review(
    request: Request,
    room: Room,
    key: Key,
    case_id: CaseId,
    version: ResultVersion,
    body: Annotated[bytes, Depends(small_body)],
) -> Response:
    """A person's word on the latest result, and on each of its findings. Results are advisory: what a person overrides
    is kept beside them with its reason. A sign-off holds until a later result crosses a threshold."""
    preferred(request, (JSON,))
    return sent(room.give(viewer(request.state), key, case_id, version, body))


@router.post(
    "/results/{version}/withdrawal",
    status_code=201,
    response_model=ReviewsOut,
    openapi_extra=WITHDRAWAL,
    responses=ANSWERS,
    dependencies=[CLAIMED],
)
def post_withdrawal(
    request: Request,
    room: Room,
    key: Key,
    case_id: CaseId,
    version: ResultVersion,
    body: Annotated[bytes, Depends(small_body)],
) -> Response:
    """Takes the report of a result out of use, with a reason. Nothing is deleted: the report is kept and proven as
    before, and who asks for it is told that it was withdrawn."""
    preferred(request, (JSON,))
    return sent(room.withdraw(viewer(request.state), key, case_id, version, body))

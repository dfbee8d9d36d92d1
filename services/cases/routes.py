"""/v1/cases"""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from services.cases.receive import Submission, receive
from services.cases.schemas import EXAMPLE_CASE, CaseOut, CasePage
from services.cases.service import Cases
from services.errors import BadRequest
from services.http.ids import CaseId
from services.http.responses import NO_STORE, document, etag, preferred

router = APIRouter(prefix="/v1/cases", tags=["cases"])

KEY = re.compile(r"[\x21-\x7e]{1,255}")

DOCUMENT: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": True,
            "description": "A repeated post with the same key gets the first answer again, and makes no second case.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "example": "0b1f6a52-9b0c-4f9e-8a3f-1c2d3e4f5a6b",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["case"],
                    "additionalProperties": False,
                    "properties": {
                        "case": {"$ref": "#/components/schemas/CaseIn"},
                        "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                },
                "examples": {"film, note and labs": {"value": {"case": EXAMPLE_CASE}}},
                "encoding": {
                    "case": {"contentType": "application/json"},
                    "image": {"contentType": "application/dicom"},
                },
            }
        },
    },
}


def cases(request: Request) -> Cases:
    room: Cases = request.app.state.cases
    return room


def idempotency_key(idempotency_key: Annotated[str | None, Header(include_in_schema=False)] = None) -> str:
    """The key that makes a repeated post harmless. Raises BadRequest if there is none."""
    if idempotency_key is None or not KEY.fullmatch(idempotency_key):
        raise BadRequest("idempotency_key_missing", "Send an Idempotency-Key of 1-255 visible ASCII characters.")
    return idempotency_key


async def submission(
    request: Request, room: Annotated[Cases, Depends(cases)], _: Annotated[str, Depends(idempotency_key)]
) -> AsyncIterator[Submission]:
    """The body, received on the event loop; what is not kept of it is gone when the request ends."""
    received = await receive(request, room.blobs, room.limits)
    try:
        yield received
    finally:
        received.discard()


@router.post("", status_code=202, response_model=CaseOut, openapi_extra=DOCUMENT)
def post_case(
    request: Request,
    room: Annotated[Cases, Depends(cases)],
    key: Annotated[str, Depends(idempotency_key)],
    received: Annotated[Submission, Depends(submission)],
) -> Response:
    """Takes a case; 202 once it is durable. Parts: one `case` of JSON, and DICOM files named `image` or
    `image:MODALITY`. The result comes at `links.results`."""
    preferred(request, ("application/json",))
    receipt = room.submit(request.state.client, key, received)
    headers = NO_STORE | {"Location": f"/v1/cases/{receipt.case_id}", "ETag": etag(receipt.body), "Retry-After": "1"}
    return Response(receipt.body, 202, headers, "application/json")


@router.get("", response_model=CasePage)
def list_cases(
    request: Request,
    room: Annotated[Cases, Depends(cases)],
    flag: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:/-]{1,120}$", examples=["missing:labs"])] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Cases, newest first, all or those with a flag; `next` is the cursor of the page after."""
    page = room.page(flag, limit, cursor)
    query = f"limit={limit}&cursor={page.next}" + (f"&flag={flag}" if flag else "")
    return document(request, page, headers={"Link": f'</v1/cases?{query}>; rel="next"'} if page.next else {})


@router.get("/{case_id}", response_model=CaseOut)
def get_case(request: Request, room: Annotated[Cases, Depends(cases)], case_id: CaseId) -> Response:
    """A case, what became of its parts, and whether it is answered."""
    return document(request, room.case(case_id))

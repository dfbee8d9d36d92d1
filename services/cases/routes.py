"""/v1/cases"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from services.auth import viewer
from services.cases.answers import CaseOut, CasePage, IdentityOut, TimelineOut, ValidationOut
from services.cases.decisions import Decisions
from services.cases.documented import ANSWERS, CREATE, INPUTS, MARK, MARKED, RECONCILE, VALIDATE
from services.cases.receive import Submission, receive
from services.cases.service import Cases
from services.http.bodies import small_body
from services.http.cursor import FORM
from services.http.documented import headers, in_path, problem
from services.http.ids import CaseId
from services.http.keys import CLAIMED, Key, Seen, sent
from services.http.responses import document, preferred
from services.http.uploads import Uploads

router = APIRouter(prefix="/v1/cases", tags=["cases"])

JSON = ("application/json",)


async def cases(request: Request) -> Cases:
    room: Cases = request.app.state.cases
    return room


async def decisions(request: Request) -> Decisions:
    room: Decisions = request.app.state.decisions
    return room


Room = Annotated[Cases, Depends(cases)]
Body = Annotated[bytes, Depends(small_body)]


@asynccontextmanager
async def _received(request: Request, room: Cases, part: str, *, needed: bool = True) -> AsyncIterator[Submission]:
    """The body; what is not kept of it is gone when the request ends."""
    uploads: Uploads = request.app.state.uploads
    async with uploads:
        submission = await receive(request, uploads, room.blobs, room.limits, part, needed=needed)
        try:
            yield submission
        finally:
            if submission.images:
                await uploads.clean_up(submission.discard)


async def case_submission(request: Request, room: Room) -> AsyncIterator[Submission]:
    async with _received(request, room, "case") as submission:
        yield submission


async def inputs_submission(request: Request, room: Room) -> AsyncIterator[Submission]:
    async with _received(request, room, "inputs", needed=False) as submission:
        yield submission


CaseSubmission = Annotated[Submission, Depends(case_submission, scope="function")]
InputsSubmission = Annotated[Submission, Depends(inputs_submission, scope="function")]


@router.post(
    "",
    status_code=202,
    response_model=CaseOut,
    openapi_extra=CREATE,
    responses=ANSWERS,
    dependencies=[CLAIMED],
)
def post_case(request: Request, room: Room, key: Key, received: CaseSubmission) -> Response:
    """Takes a case; 202 once it is durable, with where its diagnosis can be waited for.

    JSON alone, or parts: one `case` of JSON, a `note` of text, and DICOM files named `image` or `image:MODALITY`. A
    case whose inputs name different patients is kept, held, and answered 409."""
    preferred(request, JSON)
    return sent(room.create(request.state.client, key, received))


@router.post(":validate", response_model=ValidationOut, openapi_extra=VALIDATE, responses={409: problem(409)})
def validate_case(request: Request, room: Room, received: CaseSubmission) -> Response:
    """What a post of the same would be answered, part by part; nothing is kept. A fault is answered as there."""
    return document(request, room.validate(request.state.client, received))


@router.get("", response_model=CasePage, responses={200: {"headers": headers(some=("Link",))}})
def list_cases(
    request: Request,
    room: Room,
    flag: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:/-]{1,120}$", examples=["missing:labs"])] = None,
    reference: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
    cursor: Annotated[str | None, Query(json_schema_extra={"pattern": f"^{FORM.pattern}$"})] = None,
) -> Response:
    """Cases, newest first: all, those with a flag, or those of a sender's reference; `next` is the cursor of the page
    after."""
    page = room.page(flag, reference, limit, cursor)
    request.state.listed = [case.id for case in page.cases]
    if not page.next:
        return document(request, page)
    after = request.url.include_query_params(limit=limit, cursor=page.next)
    return document(request, page, headers={"Link": f'<{after.path}?{after.query}>; rel="next"'})


@router.get("/{case_id}", response_model=CaseOut)
def get_case(request: Request, room: Room, case_id: CaseId) -> Response:
    """A case, what became of its parts, and whether it is answered."""
    found = room.case(case_id)
    return document(request, found, version=found.version)


@router.post(
    "/{case_id}/inputs",
    status_code=202,
    response_model=CaseOut,
    openapi_extra=INPUTS,
    responses=ANSWERS,
    dependencies=[CLAIMED],
)
def post_inputs(
    request: Request,
    room: Room,
    key: Key,
    case_id: CaseId,
    seen: Seen,
    received: InputsSubmission,
) -> Response:
    """Adds to a case what came late: JSON alone, or parts: one `inputs` of JSON, a `note`, and DICOM files.

    What is new makes the case's next version and, once it is quiet, a result that supersedes the last. Corrections and
    cancellations may come before what they correct."""
    preferred(request, JSON)
    return sent(room.add(request.state.client, key, case_id, received, seen))


@router.put("/{case_id}/modalities/{modality}", response_model=CaseOut, openapi_extra=MARK, responses=MARKED)
def put_modality(
    request: Request,
    room: Annotated[Decisions, Depends(decisions)],
    case_id: CaseId,
    modality: Annotated[str, in_path("[A-Za-z0-9_.-]{1,64}", "labs")],
    seen: Seen,
    body: Body,
) -> Response:
    """Says that nothing more of a modality will come: once that is said of all of them, nobody waits any longer."""
    found = room.mark(request.state.client, case_id, modality, body, seen)
    return document(request, found, version=found.version)


@router.get("/{case_id}/timeline", response_model=TimelineOut)
def get_timeline(request: Request, room: Room, case_id: CaseId) -> Response:
    """Every input, version, result and act of a person, in order: the audit events of the case themselves. What others
    said of the latest result is `result.reviewed`, and no more, to a reader who has not spoken of it."""
    return document(request, room.timeline(case_id, viewer(request.state)))


@router.get("/{case_id}/identity", response_model=IdentityOut)
def get_identity(request: Request, room: Annotated[Decisions, Depends(decisions)], case_id: CaseId) -> Response:
    """What the parts of a case say of their patient where they contradict each other, for who may decide."""
    return document(request, room.identity(request.state.client, case_id))


@router.post(
    "/{case_id}/reconciliations",
    status_code=202,
    response_model=CaseOut,
    openapi_extra=RECONCILE,
    responses=ANSWERS,
    dependencies=[CLAIMED],
)
def post_reconciliation(
    request: Request,
    room: Annotated[Decisions, Depends(decisions)],
    key: Key,
    case_id: CaseId,
    seen: Seen,
    body: Body,
) -> Response:
    """A person's decision on a held case: all parts are of one patient, or some are not and are left out."""
    preferred(request, JSON)
    return sent(room.reconcile(request.state.client, key, case_id, body, seen))

"""/cases/{id}/results/{version}/review: a reader's word on each finding, in two steps: what will be signed, and that it
is."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.auth import viewer
from services.errors import Gone, Refused, ServiceError
from services.http.ids import CaseId, ResultVersion
from services.pages import rendering, review_form, two_steps
from services.pages.signed_in import Form
from services.results.routes import results
from services.results.service import Results
from services.reviews.routes import Room
from services.tables import WITHDRAWN

router = APIRouter(prefix="/cases/{case_id}/results/{version}/review", include_in_schema=False)


Answered = Annotated[Results, Depends(results)]


@router.get("")
def page_review(request: Request, answered: Answered, room: Room, case_id: CaseId, version: ResultVersion) -> Response:
    """The answer by target, a form for a word on each, and the words that this reader may see."""
    return _form(request, answered, room, case_id, version)


@router.post("")
def page_draft_review(
    request: Request, answered: Answered, room: Room, fields: Form, case_id: CaseId, version: ResultVersion
) -> Response:
    """The first step: what will be signed, and sealed for the second. Keeps nothing; `change` goes back to the form."""
    if "change" in fields:
        return _form(request, answered, room, case_id, version, values=fields)
    result = answered.version(case_id, version)
    body = review_form.document(fields, [one.target for one in result.targets])
    try:
        said = room.draft(viewer(request.state), case_id, version, body)
    except (Refused, Gone) as error:
        request.state.code = error.code
        return _form(request, answered, room, case_id, version, values=fields, refused=error)
    request.state.seen = result.id
    sealed = two_steps.sealed(request, result.id, body)
    return rendering.page(
        request, "review_confirm.html", result=result, said=said, fields=fields, words=review_form, sealed=sealed
    )


@router.post("/confirm")
def page_give_review(request: Request, room: Room, fields: Form, case_id: CaseId, version: ResultVersion) -> Response:
    """The second step: gives the review that the first one showed, once however often it is sent."""
    body = two_steps.confirmed(request, f"{case_id}-{version}", fields)
    room.give(viewer(request.state), f"page-{fields['seal']}", case_id, version, body)
    return rendering.see_other(f"/cases/{case_id}/results/{version}/review")


def _form(
    request: Request,
    answered: Results,
    room: Room,
    case_id: str,
    version: int,
    *,
    values: Mapping[str, str] | None = None,
    refused: ServiceError | None = None,
) -> Response:
    """The form, with what was chosen before and what of it was refused. Raises NotFound, and Conflict while the case is
    held."""
    result = answered.version(case_id, version)
    request.state.seen = result.id
    about = room.of_result(case_id, version, viewer(request.state))
    given = [one for one in about.reviews if one.client == request.state.client and one.verdict != WITHDRAWN]
    return rendering.page(
        request,
        "review.html",
        status=refused.status if refused else 200,
        result=result,
        about=about,
        own=given[-1] if given else None,
        words=review_form,
        values=values or {},
        refused=refused,
        faults=review_form.faults(refused.issues) if refused else {},
    )

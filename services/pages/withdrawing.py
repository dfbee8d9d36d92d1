"""/cases/{id}/results/{version}/withdraw: a report is taken out of use, in two steps: what will be said, and that it
is."""

import json

from fastapi import APIRouter, Request, Response

from services.auth import viewer
from services.errors import Conflict, Refused, ServiceError
from services.http.ids import CaseId, ResultVersion
from services.pages import rendering, two_steps
from services.pages.signed_in import Form
from services.results.service import Results
from services.reviews.routes import Room

router = APIRouter(prefix="/cases/{case_id}/results/{version}/withdraw", include_in_schema=False)

STATEMENT = (
    "I have looked at the report, and withdraw it: nothing may rest on it. It is kept, and everybody is told why."
)


@router.get("")
def page_withdraw(request: Request, room: Room, case_id: CaseId, version: ResultVersion) -> Response:
    """The form. Raises NotFound, and Conflict while the case is held."""
    return _form(request, room, case_id, version)


@router.post("")
def page_draft_withdrawal(
    request: Request, room: Room, fields: Form, case_id: CaseId, version: ResultVersion
) -> Response:
    """The first step: what will be said, sealed for the second. Keeps nothing; `change` goes back to the form."""
    reason = two_steps.typed(fields.get("reason", ""))
    if "change" in fields:
        return _form(request, room, case_id, version, reason)
    body = json.dumps({"reason": reason, "record_sha256": fields.get("record_sha256", "")}).encode()
    try:
        said = room.draft_withdrawal(viewer(request.state), case_id, version, body)
    except (Refused, Conflict) as error:
        return _form(request, room, case_id, version, reason, refused=error)
    request.state.seen = f"{case_id}-{version}"
    sealed = two_steps.sealed(request, f"withdraw {case_id}-{version}", body)
    return rendering.page(
        request, "withdraw_confirm.html", case_id=case_id, version=version, said=said, fields=fields,
        statement=STATEMENT, sealed=sealed,
    )  # fmt: skip


@router.post("/confirm")
def page_give_withdrawal(
    request: Request, room: Room, fields: Form, case_id: CaseId, version: ResultVersion
) -> Response:
    """The second step: withdraws the report that the first one showed, once however often it is sent."""
    body = two_steps.confirmed(request, f"withdraw {case_id}-{version}", fields)
    room.withdraw(viewer(request.state), f"page-{fields['seal']}", case_id, version, body)
    return rendering.see_other(f"/cases/{case_id}/results/{version}")


def _form(
    request: Request, room: Room, case_id: str, version: int, reason: str = "", refused: ServiceError | None = None
) -> Response:
    """The form, with what was written before and what of it was refused."""
    results: Results = request.app.state.results
    result = results.version(case_id, version)
    request.state.seen = result.id
    if refused is not None:
        request.state.code = refused.code
    faulty = isinstance(refused, Refused) and any(issue.pointer == "/reason" for issue in refused.issues)
    return rendering.page(
        request,
        "withdraw.html",
        status=refused.status if refused else 200,
        result=result,
        record_sha256=room.of_result(case_id, version, viewer(request.state)).record_sha256,
        withdrawal=room.withdrawal(case_id, version),
        values={"reason": reason},
        refused=refused,
        faults={"reason": "Say why, in at most 1000 characters."} if faulty else {},
    )

"""/cases/{id}/reconcile: a person decides whose the parts of a held case are, in two steps: what will be done, and that
it is."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.audit.asking import asking
from services.cases.decisions import Decisions
from services.cases.routes import decisions
from services.errors import Conflict, Refused, ServiceError, Stale
from services.http.ids import CaseId
from services.pages import reconcile_form, rendering, two_steps
from services.pages.reconcile_form import Said
from services.pages.signed_in import Form

router = APIRouter(prefix="/cases/{case_id}/reconcile", include_in_schema=False)

Room = Annotated[Decisions, Depends(decisions)]


@router.get("")
def page_reconcile(request: Request, room: Room, case_id: CaseId) -> Response:
    """What the parts of a held case say of their patient, side by side, and the form of a decision. Raises NotFound."""
    return _form(request, room, case_id, Said())


@router.post("")
def page_draft_reconciliation(request: Request, room: Room, fields: Form, case_id: CaseId) -> Response:
    """The first step: what will be done, sealed for the second. Keeps nothing; `change` goes back to the form."""
    said = reconcile_form.of_fields(fields)
    if "change" in fields:
        return _form(request, room, case_id, said)
    try:
        draft = room.draft(request.state.client, case_id, said.document, said.if_match)
    except (Refused, Stale, Conflict) as error:
        return _form(request, room, case_id, said, refused=error)
    sealed = {"seen": str(said.seen)} | two_steps.sealed(request, _about(case_id, said.seen), said.document)
    return rendering.page(
        request,
        "reconcile_confirm.html",
        case_id=case_id,
        said=said,
        draft=draft,
        fields=fields,
        words=reconcile_form,
        sealed=sealed,
    )


@router.post("/confirm")
def page_give_reconciliation(request: Request, room: Room, fields: Form, case_id: CaseId) -> Response:
    """The second step: does what the first one showed, once however often it is sent, and goes to the case."""
    seen = reconcile_form.seen(fields)
    body = two_steps.confirmed(request, _about(case_id, seen), fields)
    said = reconcile_form.of_document(body, seen)
    try:
        room.reconcile(request.state.client, f"page-{fields['seal']}", case_id, body, said.if_match)
    except (Refused, Stale, Conflict) as error:
        return _form(request, room, case_id, said, refused=error)
    return rendering.see_other(f"/cases/{case_id}")


def _about(case_id: str, version: int) -> str:
    return f"reconcile {case_id} {version}"


def _form(
    request: Request, room: Decisions, case_id: str, said: Said, *, refused: ServiceError | None = None
) -> Response:
    """The form as the case is now, with what was chosen before and what of it was refused."""
    asked = room.question(request.state.client, case_id)
    if refused is not None:
        request.state.code = refused.code
        if (behind := asking.get()) is not None:
            behind.told = False  # that values were shown is one event; that the decision was refused is another
    return rendering.page(
        request,
        "reconcile.html",
        status=refused.status if refused else 200,
        asked=asked,
        said=said,
        choices=list(reconcile_form.offered(asked.choices, said)),
        values={"decision": said.decision, "reason": said.reason},
        words=reconcile_form,
        refused=refused,
        is_stale=said.seen not in (0, asked.version),
        faults=reconcile_form.faults(refused.issues) if refused else {},
    )

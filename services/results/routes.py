"""/v1/cases/{id}/results"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.http.documented import headers, problem, told
from services.http.ids import CaseId, ResultVersion
from services.http.keys import CLAIMED, KEY_HEADER, Key, sent
from services.http.responses import JSON, document, preferred
from services.results.schemas import AskedOut, ResultOut, ResultsOut
from services.results.service import Results
from services.switch import Switch, may_be_told

router = APIRouter(prefix="/v1/cases/{case_id}/results", tags=["results"])


TOLD = [Depends(may_be_told)]
DOCUMENT = {"parameters": [KEY_HEADER]}
WHERE = ("Location", "ETag", "Cache-Control")
ASKED: dict[int | str, dict[str, Any]] = {
    200: told("AskedOut", "That answer is there already", *WHERE),
    202: {"headers": headers(*WHERE, "Retry-After")},
    409: problem(409) | {"headers": headers(some=("Retry-After",))},
}


async def results(request: Request) -> Results:
    room: Results = request.app.state.results
    return room


@router.get("", response_model=ResultsOut, dependencies=TOLD, responses={200: {"headers": headers(some=("Retry-After",))}})
def list_results(request: Request, room: Annotated[Results, Depends(results)], case_id: CaseId) -> Response:
    """The answers to a case, newest first; none while it is pending: ask again after Retry-After."""
    found = room.of_case(case_id)
    return document(request, found, headers={"Retry-After": "1"} if found.state == "pending" else {})


@router.post(
    "",
    status_code=202,
    response_model=AskedOut,
    openapi_extra=DOCUMENT,
    responses=ASKED,
    dependencies=[CLAIMED],
)
def ask_again(request: Request, room: Annotated[Results, Depends(results)], key: Key, case_id: CaseId) -> Response:
    """Asks for the case's answer by the model of now: after a model was promoted, old answers stay as they are until
    this is said. 200 where that answer is there already."""
    preferred(request, (JSON,))
    switch: Switch = request.app.state.switch
    switch.check_current()
    return sent(room.ask_again(request.state.client, key, case_id))


@router.get("/{version}", response_model=ResultOut, dependencies=TOLD, responses={409: problem(409)})
def get_result(
    request: Request, room: Annotated[Results, Depends(results)], case_id: CaseId, version: ResultVersion
) -> Response:
    """One answer. It never changes; whether another has taken its place is told beside it."""
    return document(request, room.version(case_id, version))

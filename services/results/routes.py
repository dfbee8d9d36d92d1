"""/v1/cases/{id}/results"""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.errors import NotFound
from services.http.ids import CaseId
from services.http.responses import document
from services.results.schemas import ResultOut, ResultsOut
from services.results.service import Results

router = APIRouter(prefix="/v1/cases/{case_id}/results", tags=["results"])


def results(request: Request) -> Results:
    room: Results = request.app.state.results
    return room


@router.get("", response_model=ResultsOut)
def list_results(request: Request, room: Annotated[Results, Depends(results)], case_id: CaseId) -> Response:
    """The answers to a case, newest first; none while it is pending: ask again after Retry-After."""
    found = room.of_case(case_id)
    return document(request, found, headers={"Retry-After": "1"} if found.state == "pending" else {})


@router.get("/{version}", response_model=ResultOut)
def get_result(request: Request, room: Annotated[Results, Depends(results)], case_id: CaseId, version: str) -> Response:
    """One answer; it never changes."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise NotFound("result_not_found", "There is no such result.")
    return document(request, room.version(case_id, int(version)))

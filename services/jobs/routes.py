"""/v1/jobs/{id}"""

import re
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from services.errors import NotFound
from services.http.documented import headers, in_path
from services.http.responses import document
from services.jobs import state

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JOB_ID = re.compile(r"[a-z]{1,16}:[0-9a-f-]{36,48}:[0-9]{1,9}:[0-9a-f]{1,16}")
EXAMPLE = "diagnose:5f0c2a1e-8a55-4b52-9a7e-0d6f0b8f7c11:1:0123456789abcdef"
TOLD = {state.QUEUED: "running", state.DONE: "done", state.DEAD: "failed"}


class JobOut(BaseModel):
    """Work that is owed; `state` is running (begun or not), done or failed, `reason` the code of why it failed."""

    id: str
    kind: str
    state: str
    reason: str
    links: dict[str, str]


@router.get("/{job_id}", response_model=JobOut, responses={200: {"headers": headers(some=("Retry-After",))}})
def get_job(request: Request, job_id: Annotated[str, in_path(JOB_ID.pattern, EXAMPLE)]) -> Response:
    """Whether it is done, and where its result then is; ask again after Retry-After."""
    with request.app.state.database.read() as session:
        found = state.get(session, job_id) if JOB_ID.fullmatch(job_id) else None
    if found is None:
        raise NotFound("job_not_found", "There is no such job.")
    request.state.seen = found.id
    case = f"/v1/cases/{state.case_of(found.subject)}"
    told = JobOut(
        id=found.id,
        kind=found.kind,
        state=TOLD[found.state],
        reason=found.reason,
        links={"case": case, "result": f"{case}/{'report' if found.kind == 'explain' else 'results'}"},
    )
    return document(request, told, headers={"Retry-After": "1"} if found.state == state.QUEUED else {})

"""An error on the wire: application/problem+json (RFC 9457). What was sent is never echoed."""

from pydantic import BaseModel

from services.errors import ServiceError
from services.faults import FAULTS
from services.logs import request_id

MEDIA = "application/problem+json"
TYPE = "urn:clinimm:problem:"


class IssueOut(BaseModel):
    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """`code` is stable and fit for machines; `/v1/capabilities` lists all of them. `trace_id` is the X-Request-Id;
    `limit` and `actual`, what was counted when it was over, come with a 413."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    trace_id: str
    issues: list[IssueOut]
    limit: int | None = None
    actual: int | None = None


def told(error: ServiceError) -> str:
    """The problem as JSON."""
    problem = Problem(
        type=TYPE + error.code,
        title=FAULTS[error.code].said,
        status=error.status,
        detail=error.what,
        instance=f"urn:request:{request_id.get()}",
        code=error.code,
        trace_id=request_id.get(),
        issues=[IssueOut(pointer=issue.pointer, code=issue.code, detail=issue.detail) for issue in error.issues],
        **error.facts,
    )
    return problem.model_dump_json(exclude_none=True)

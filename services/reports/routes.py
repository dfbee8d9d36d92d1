"""/v1/cases/{id}/report"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from services.http.documented import headers, problem
from services.http.ids import CaseId
from services.http.responses import HTML, JSON, content, preferred
from services.reports.service import Reports

router = APIRouter(prefix="/v1/cases/{case_id}/report", tags=["reports"])

# The page is drawn from what patients and senders wrote: nothing in it may run or be fetched.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
MEDIA = {"json": JSON, "html": HTML}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {JSON: {"schema": {"type": "object"}}, HTML: {"schema": {"type": "string"}}}},
    409: problem(409) | {"headers": headers(some=("Retry-After",))},
}


async def reports(request: Request) -> Reports:
    room: Reports = request.app.state.reports
    return room


@router.get("", responses=RESPONSES, response_class=Response)
def get_report(
    request: Request,
    room: Annotated[Reports, Depends(reports)],
    case_id: CaseId,
    form: Annotated[Literal["json", "html"] | None, Query(alias="format")] = None,
) -> Response:
    """The report of the latest result, as JSON or as a page: by `format`, else by Accept. 409 while it is made."""
    media = MEDIA[form] if form else preferred(request, (JSON, HTML))
    if media == JSON:
        return content(request, room.record(case_id), JSON)
    return content(request, room.page(case_id), "text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})

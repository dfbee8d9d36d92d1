"""/v1/cases/{id}/report and /v1/report-schema"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from clinimm.report.schema import MEDIA_TYPE, schema
from services.http.documented import headers, problem
from services.http.ids import CaseId
from services.http.responses import HTML, JSON, content, preferred
from services.reports.service import Reports
from services.switch import may_be_told

router = APIRouter(prefix="/v1", tags=["reports"])
PDF = "application/pdf"

# The page is drawn from what patients and senders wrote: nothing in it may run or be fetched.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
MEDIA = {"json": JSON, "html": HTML, "pdf": PDF}
BINARY = {"schema": {"type": "string", "format": "binary"}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {JSON: {"schema": {"type": "object"}}, HTML: {"schema": {"type": "string"}}, PDF: BINARY}},
    409: problem(409) | {"headers": headers(some=("Retry-After",))},
    410: problem(410),
}


async def reports(request: Request) -> Reports:
    room: Reports = request.app.state.reports
    return room


@router.get(
    "/cases/{case_id}/report", responses=RESPONSES, response_class=Response, dependencies=[Depends(may_be_told)]
)
def get_report(
    request: Request,
    room: Annotated[Reports, Depends(reports)],
    case_id: CaseId,
    form: Annotated[Literal["json", "html", "pdf"] | None, Query(alias="format")] = None,
    withdrawn: Annotated[Literal["true"] | None, Query()] = None,
) -> Response:
    """The report of the latest result: the record as JSON (its schema is at /v1/report-schema), or drawn as a page or
    as PDF, which carry its SHA-256. By `format`, else by Accept. 409 while it is made, 410 if a person withdrew it:
    then only its record is given, and only with `withdrawn=true`."""
    media = MEDIA[form] if form else preferred(request, (JSON, HTML, PDF))
    if media == JSON:
        return content(request, room.record(case_id, withdrawn=withdrawn is not None), JSON)
    if media == PDF:
        return content(request, room.pdf(case_id), PDF, headers={"Content-Disposition": "inline; filename=report.pdf"})
    return content(request, room.page(case_id), "text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY})


@router.get(
    "/report-schema",
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}},
    response_class=Response,
)
def report_schema(request: Request) -> Response:
    """The JSON Schema (draft 2020-12) of the records that are made now."""
    media = preferred(request, (MEDIA_TYPE, JSON))
    return content(request, schema(), media)

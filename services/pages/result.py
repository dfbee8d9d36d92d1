"""/cases/{id}/results/{version}: one answer's report inside the pages, and the same to take away."""

from typing import Literal

from fastapi import APIRouter, Request, Response

from clinimm.report import heat, html
from clinimm.report.canonical import canonical, digest, parsed
from services.artifacts.facts import Model
from services.cases.scans import Scans
from services.errors import NotFound, NotReady
from services.http.ids import CaseId, ResultVersion
from services.http.responses import content
from services.pages import rendering
from services.reports.service import Reports
from services.results.service import Results
from services.reviews.service import Reviews
from services.switch import Switch

router = APIRouter(include_in_schema=False)

MEDIA = {"json": "application/json", "html": rendering.HTML, "pdf": "application/pdf"}
SCAN = "application/octet-stream"
STANDALONE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


@router.get("/cases/{case_id}/results/{version}")
def page_result(request: Request, case_id: CaseId, version: ResultVersion) -> Response:
    """The record of a report, drawn by the report's own templates. Raises NotFound, Conflict while the case is held."""
    results: Results = request.app.state.results
    reports: Reports = request.app.state.reports
    model: Model = request.app.state.model
    reviews: Reviews = request.app.state.reviews
    switch: Switch = request.app.state.switch
    answer = results.version(case_id, version)
    request.state.seen = answer.id
    try:
        record = parsed(reports.record(case_id, version, withdrawn=True))
    except NotReady:
        return rendering.page(request, "report_pending.html", answer=answer)
    shown = html.readable(record)
    return rendering.page(
        request,
        "report.html",
        record=shown,
        viewable=[name for name in shown["inputs"] if heat.layers(shown, name) is not None],
        digest=digest(record),
        sections=list(html.sections(record)),
        answer=answer,
        answers_now=answer.model == model.digest,
        switch=switch.told(answer.model),
        withdrawal=reviews.withdrawal(case_id, version),
    )


@router.get("/cases/{case_id}/results/{version}/scans/{modality}")
def page_scan(request: Request, case_id: CaseId, version: ResultVersion, modality: str) -> Response:
    """The pixels that the answer was given to, for the viewer: NIfTI, as `clinimm.io.display` writes it."""
    results: Results = request.app.state.results
    scans: Scans = request.app.state.scans
    answer = results.version(case_id, version)
    request.state.seen = answer.id
    return Response(scans.nifti(case_id, answer.case_version, modality), 200, rendering.SAFE, SCAN)


@router.get("/cases/{case_id}/results/{version}/maps/{modality}")
def page_map(request: Request, case_id: CaseId, version: ResultVersion, modality: str) -> Response:
    """What the record holds of an image's maps, cell by cell. Raises NotFound where it has no such image."""
    reports: Reports = request.app.state.reports
    request.state.seen = f"{case_id}-{version}"
    found = heat.layers(html.readable(parsed(reports.record(case_id, version, withdrawn=True))), modality)
    if found is None:
        raise NotFound("modality_not_found", "The record has no such film or volume.")
    return content(request, canonical(found), MEDIA["json"], headers=rendering.SAFE)


@router.get("/cases/{case_id}/results/{version}/report.{form}")
def page_download(
    request: Request, case_id: CaseId, version: ResultVersion, form: Literal["json", "html", "pdf"]
) -> Response:
    """The report as a file. Raises as `page_result` does, NotReady while it is made, Gone where it was withdrawn,
    Unavailable for a PDF that cannot be drawn now."""
    reports: Reports = request.app.state.reports
    request.state.seen = f"{case_id}-{version}"
    give = {"json": reports.record, "html": reports.page, "pdf": reports.pdf}[form]
    named = {"Content-Disposition": f'attachment; filename="report-{case_id}-{version}.{form}"'}
    # A page of its own, if it is opened here all the same: nothing runs in it.
    headers = rendering.SAFE | {"Content-Security-Policy": STANDALONE} | named
    return content(request, give(case_id, version), MEDIA[form], headers=headers)

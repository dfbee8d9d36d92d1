"""/v1/cases/{id}/bundle"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.auth import viewer
from services.bundles.service import Bundles
from services.http.documented import problem
from services.http.ids import CaseId
from services.http.responses import content, preferred

router = APIRouter(prefix="/v1", tags=["reports"])
ZIP = "application/zip"
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}},
    409: problem(409),
    413: problem(413),
}


async def bundles(request: Request) -> Bundles:
    room: Bundles = request.app.state.bundles
    return room


@router.get("/cases/{case_id}/bundle", responses=RESPONSES, response_class=Response)
def get_bundle(request: Request, room: Annotated[Bundles, Depends(bundles)], case_id: CaseId) -> Response:
    """All that is on record of a case, as a zip that proves itself: results, reports, reviews, events, and `verify.py`.
    Without the files that were sent. 409 while the case is held, and to a reader who has not spoken of its latest
    result when others have."""
    preferred(request, (ZIP,))
    headers = {"Content-Disposition": f'attachment; filename="{case_id}.zip"'}
    return content(request, room.of_case(case_id, viewer(request.state)), ZIP, headers=headers)

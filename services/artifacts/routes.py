"""/v1/models and /v1/capabilities"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from clinimm.io.lab_table import lab_table
from clinimm.io.transfer_syntaxes import SUPPORTED
from services.artifacts.facts import Model
from services.artifacts.schemas import AnalytesOut, Capabilities, FaultOut, Models, shown, shown_modality
from services.faults import FAULTS
from services.http.bodies import small_body
from services.http.documented import headers, in_path
from services.http.responses import document
from services.switch import Switch, SwitchOut

router = APIRouter(prefix="/v1", tags=["models"])
TURNED: dict[int | str, dict[str, Any]] = {200: {"headers": headers("ETag", "Cache-Control")}}
SWITCH = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/SwitchIn"},
                "example": {"stopped": True, "reason": "wrong_answers"},
            }
        },
    }
}


@router.get("/models", response_model=Models)
def list_models(request: Request) -> Response:
    """The models that answer here, each with its digest, inputs, metrics and card."""
    model = _model(request)
    return document(request, Models(models=[shown(model, _switch(request).told(model.digest))]))


@router.put("/models/{digest}/switch", response_model=SwitchOut, openapi_extra=SWITCH, responses=TURNED)
def put_switch(
    request: Request,
    digest: Annotated[str, in_path("[0-9a-f]{64}", "0" * 64)],
    body: Annotated[bytes, Depends(small_body)],
) -> Response:
    """Stops a model, or lets it answer again. While it is stopped, results and reports of it are 503 `model_stopped` to
    all but auditors; cases are taken as ever, and answered once it may."""
    return document(request, _switch(request).turn(request.state.client, digest, body))


@router.get("/capabilities", response_model=Capabilities)
def capabilities(request: Request) -> Response:
    """What a case may hold: limits, inputs with their analytes and units, DICOM transfer syntaxes; and every code that
    a fault is told by, with what it is called at each door."""
    facts = Capabilities(
        limits=request.app.state.settings.limits,
        media_types=["multipart/form-data", "application/dicom", "application/json"],
        modalities=[shown_modality(modality) for modality in _model(request).modalities],
        analytes=AnalytesOut(version=lab_table().version, sha256=lab_table().sha256),
        transfer_syntaxes=sorted(SUPPORTED),
        faults={code: FaultOut(**vars(fault)) for code, fault in FAULTS.items()},
    )
    return document(request, facts)


def _switch(request: Request) -> Switch:
    room: Switch = request.app.state.switch
    return room


def _model(request: Request) -> Model:
    model: Model = request.app.state.model
    return model

"""/v1/models and /v1/capabilities"""

from fastapi import APIRouter, Request, Response

from clinimm.io.lab_table import lab_table
from clinimm.io.transfer_syntaxes import SUPPORTED
from services.artifacts.facts import Model
from services.artifacts.schemas import AnalytesOut, Capabilities, FaultOut, Models, shown, shown_modality
from services.faults import FAULTS
from services.http.responses import document

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models", response_model=Models)
def list_models(request: Request) -> Response:
    """The models that answer here, each with its digest, inputs, metrics and card."""
    return document(request, Models(models=[shown(_model(request))]))


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


def _model(request: Request) -> Model:
    model: Model = request.app.state.model
    return model

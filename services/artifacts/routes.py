"""/v1/models and /v1/capabilities"""

from fastapi import APIRouter, Request, Response

from clinimm.io.dicom_codecs import DECODERS
from services.artifacts.facts import Model
from services.artifacts.schemas import Capabilities, Models, shown, shown_modality
from services.http.responses import document

router = APIRouter(prefix="/v1", tags=["models"])

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")


@router.get("/models", response_model=Models)
def list_models(request: Request) -> Response:
    """The models that answer here, each with its digest, inputs, metrics and card."""
    return document(request, Models(models=[shown(_model(request))]))


@router.get("/capabilities", response_model=Capabilities)
def capabilities(request: Request) -> Response:
    """What a case may hold: limits, inputs with their analytes and units, DICOM transfer syntaxes."""
    facts = Capabilities(
        limits=request.app.state.settings.limits,
        media_types=["multipart/form-data", "application/dicom", "application/json"],
        modalities=[shown_modality(modality) for modality in _model(request).modalities],
        transfer_syntaxes=sorted({*NATIVE, *map(str, DECODERS)}),
    )
    return document(request, facts)


def _model(request: Request) -> Model:
    model: Model = request.app.state.model
    return model

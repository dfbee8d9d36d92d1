"""A model on the wire."""

from typing import Any

from pydantic import BaseModel

from clinimm.registry import Entry
from clinimm.types import Analyte, Modality
from services.artifacts.facts import Model
from services.faults.fault import Acknowledgment
from services.settings import Limits
from services.switch import SwitchOut


class AnalyteOut(BaseModel):
    """`plausible` bounds what is used, `reference` is the healthy range; both in `unit`, which is UCUM."""

    name: str
    unit: str
    plausible: tuple[float, float] | None
    reference: tuple[float, float] | None


class ModalityOut(BaseModel):
    name: str
    kind: str
    shape: list[int]
    analytes: list[AnalyteOut]


class PromotionOut(BaseModel):
    """When the artifact was let in, in the place of which other; `evaluation` and `manifest` are the hashes of what was
    found and of the test set's manifest, as the registry keeps them."""

    at: str
    previous: str | None
    evaluation: str | None
    manifest: str | None


class ModelOut(BaseModel):
    """`metrics` are those of the artifact's own test; `card` is its model card, in Markdown. `promotion` is null for a
    model that was not promoted and answers all the same because the operator said so. `switch` tells whether people
    have stopped it; null where nobody ever did."""

    digest: str
    name: str
    targets: list[str]
    modalities: list[ModalityOut]
    metrics: dict[str, Any]
    card: str
    promotion: PromotionOut | None
    switch: SwitchOut | None = None


class Models(BaseModel):
    models: list[ModelOut]


class AnalytesOut(BaseModel):
    """Which table of analytes laboratory values are read by."""

    version: str
    sha256: str


class FaultOut(BaseModel):
    """A fault at each door: HTTP's status, of a problem or of a part if it were all there was; DICOM's failure reason,
    0 where the instance is stored all the same; FHIR's issue code; and HL7 v2's acknowledgment."""

    status: int
    dicom: int
    fhir: str
    hl7: Acknowledgment
    said: str


class Capabilities(BaseModel):
    """What a request may bring: the limits, and how the parts of a case are named."""

    limits: Limits
    media_types: list[str]
    modalities: list[ModalityOut]
    analytes: AnalytesOut
    transfer_syntaxes: list[str]
    faults: dict[str, FaultOut]


def shown_modality(modality: Modality) -> ModalityOut:
    analytes = [_shown_analyte(analyte) for analyte in modality.analytes]
    return ModalityOut(name=modality.name, kind=modality.kind, shape=list(modality.shape), analytes=analytes)


def shown(model: Model, switch: SwitchOut | None = None) -> ModelOut:
    return ModelOut(
        digest=model.digest,
        name=model.config.name,
        targets=list(model.config.target_names),
        modalities=[shown_modality(modality) for modality in model.modalities],
        metrics=dict(model.metrics),
        card=model.card,
        promotion=None if model.promotion is None else _shown_promotion(model.promotion),
        switch=switch,
    )


def _shown_promotion(entry: Entry) -> PromotionOut:
    return PromotionOut(at=entry.at, previous=entry.previous, evaluation=entry.evaluation, manifest=entry.manifest)


def _shown_analyte(analyte: Analyte) -> AnalyteOut:
    return AnalyteOut(name=analyte.name, unit=analyte.unit, plausible=analyte.plausible, reference=analyte.reference)

"""A stored case as the library's noun, for the worker that answers it."""

from collections.abc import Sequence
from datetime import datetime

from clinimm.data.clock import LATE
from clinimm.errors import DamagedInput, InputError
from clinimm.io.text import clean_note
from clinimm.types import Case, ImageFile, Input, InputState, Kind, Measurement, Measurements, Modality, Note, Status
from services.blobs import Blobs
from services.cases import door
from services.cases.store import StoredCase, StoredImage, StoredLab


def load(stored: StoredCase, modalities: Sequence[Modality], blobs: Blobs) -> Case:
    """What each modality of the model is given; what cannot be given is absent with its reason."""
    inputs: dict[str, Input] = {}
    absent: dict[str, InputState] = {}
    for modality in modalities:
        given = _given(modality, stored, modalities, blobs)
        if isinstance(given, InputState):
            absent[modality.name] = given
        elif given is not None:
            inputs[modality.name] = given
    return Case(stored.id, stored.patient_id, inputs, index_time=stored.index_time, absent=absent)


def door_flags(stored: StoredCase) -> list[str]:
    """Words for what the door refused or kept unused, which the model never sees."""
    images = [f"rejected:{image.modality or 'image'}" for image in stored.images if image.outcome == door.REJECTED]
    labs = [f"{lab.code}:{lab.name}" for lab in stored.labs if lab.code in ("superseded", LATE.reason)]
    return images + labs


def _given(
    modality: Modality, stored: StoredCase, modalities: Sequence[Modality], blobs: Blobs
) -> Input | InputState | None:
    if modality.kind is Kind.IMAGE:
        return _film(modality, [image for image in stored.images if image.modality == modality.name], blobs)
    if modality.kind is Kind.TEXT:
        first = next(other for other in modalities if other.kind is Kind.TEXT)
        return _note(stored.note, stored.note_acquired_at) if modality == first else None
    return _panel(stored.labs, modality, modalities)


def _film(modality: Modality, images: Sequence[StoredImage], blobs: Blobs) -> ImageFile | InputState | None:
    names = dict.fromkeys(image.sha256 for image in images if image.sha256 is not None)
    if names:
        return ImageFile(tuple(blobs.path(name) for name in names))
    if images:
        return InputState(Status.REJECTED, images[0].code, f"refused as it came in: {modality.name}")
    return None


def _note(text: str | None, acquired_at: datetime | None) -> Note | InputState | None:
    if text is None:
        return None
    try:
        return clean_note(text, acquired_at)
    except DamagedInput as error:
        return InputState(Status.UNREADABLE, error.code, error.what)
    except InputError as error:
        return InputState(Status.REJECTED, error.code, error.what)


def _panel(
    labs: Sequence[StoredLab], modality: Modality, modalities: Sequence[Modality]
) -> Measurements | InputState | None:
    """The labs that this panel names; those that no panel names go to the first, which says that they are unused. A
    panel all of whose values came after the question is refused for that, as any other input is."""
    panels = [other for other in modalities if other.kind is Kind.TABULAR]
    elsewhere = {a.name for other in panels if other != modality for a in other.analytes}
    mine = {a.name for a in modality.analytes}
    taken = [
        lab
        for lab in labs
        if lab.code not in ("superseded", LATE.reason)
        and (lab.name in mine or (modality == panels[0] and lab.name not in elsewhere))
    ]
    times = [lab.collected_at for lab in taken if lab.collected_at is not None]
    values = tuple(Measurement(lab.name, float(lab.value), lab.unit) for lab in taken)
    if values:
        return Measurements(values, max(times, default=None))
    return LATE if any(lab.code == LATE.reason and lab.name in mine for lab in labs) else None

"""A stored case as the library's noun, for the worker that answers it."""

from collections.abc import Sequence

from clinimm.data.clock import LATE
from clinimm.io.text import clean_note
from clinimm.types import Case, ImageFile, Input, InputState, Kind, Measurement, Measurements, Modality, Status
from services.blobs import Blobs
from services.cases import notes
from services.cases.content import KEPT, QUARANTINED, Content, Verdict, note_key, settled
from services.cases.stored import StoredCase


def load(stored: StoredCase, modalities: Sequence[Modality], blobs: Blobs) -> Case:
    """What each modality of the model is given; what cannot be given is absent with its reason."""
    content = settled(stored, modalities)
    inputs: dict[str, Input] = {}
    absent: dict[str, InputState] = {}
    for modality in modalities:
        given = _given(modality, stored, content, modalities, blobs)
        if isinstance(given, InputState):
            absent[modality.name] = given
        elif given is not None:
            inputs[modality.name] = given
        elif stored.complete.get(modality.name):
            absent[modality.name] = InputState(Status.ABSENT, stored.complete[modality.name])
    return Case(stored.id, stored.patient_id, inputs, index_time=stored.index_time, absent=absent)


def _given(
    modality: Modality, stored: StoredCase, content: Content, modalities: Sequence[Modality], blobs: Blobs
) -> Input | InputState | None:
    if modality.kind is Kind.IMAGE:
        return _film(modality, stored, content, blobs)
    if modality.kind is Kind.TEXT:
        first = next(other for other in modalities if other.kind is Kind.TEXT)
        return _note(stored, content) if modality == first else None
    return _panel(stored, content, modality)


def _film(modality: Modality, stored: StoredCase, content: Content, blobs: Blobs) -> ImageFile | InputState | None:
    names = dict.fromkeys(image.sha256 for image in content.films if image.modality == modality.name and image.sha256)
    if names:
        return ImageFile(tuple(blobs.path(name) for name in names), digests=tuple(names))
    mine = [image for image in stored.images if image.modality == modality.name and image.outcome not in KEPT]
    if not mine:
        return None
    first = min(mine, key=lambda image: (image.outcome, image.code))
    status = Status.UNREADABLE if first.outcome == QUARANTINED else Status.REJECTED
    return InputState(status, first.code, f"refused as it came in: {modality.name}")


def _note(stored: StoredCase, content: Content) -> Input | InputState | None:
    if content.note is not None:
        return clean_note(content.note.text, content.note.acquired_at)
    refused = [(note, verdict) for note in stored.notes if (verdict := content.verdicts[f"notes/{note.position}"]).code]
    if not refused:
        return None
    note, verdict = min(refused, key=lambda one: (one[1].outcome, one[1].code, note_key(one[0])))
    status = Status.UNREADABLE if notes.is_damaged(note) else Status.REJECTED
    return InputState(status, verdict.code, "refused as it came in: note")


def _refused(verdict: Verdict) -> bool:
    return verdict.outcome == QUARANTINED or verdict.code in ("stale", "censored", "coded_value")


def _panel(stored: StoredCase, content: Content, modality: Modality) -> Measurements | InputState | None:
    """The values of this panel's analytes. A panel all of whose values came after the question is refused for that, as
    any other input is, and so is one that has another reason for all of them."""
    mine = {analyte.name for analyte in modality.analytes}
    used = [lab for lab in content.labs if lab.analyte in mine]
    verdicts = (content.verdicts[f"labs/{lab.position}"] for lab in stored.labs)
    refused = [verdict for verdict in verdicts if verdict.analyte in mine and _refused(verdict)]
    if used:
        times = [lab.collected_at for lab in used if lab.collected_at is not None]
        values = tuple(Measurement(lab.analyte, lab.value, lab.unit, settled=True) for lab in used)
        others = {verdict.analyte for verdict in refused} - {lab.analyte for lab in used}
        return Measurements(values, max(times, default=None), len(others))
    codes = {verdict.code for verdict in refused}
    if not codes:
        return None
    if codes == {LATE.reason}:
        return LATE
    status = Status.STALE if codes == {"stale"} else Status.REJECTED
    return InputState(status, codes.pop() if len(codes) == 1 else "no_usable_value", "no value of it can be used")

"""A case as it is told."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from clinimm.types import Modality
from services.cases import store
from services.cases.answers import CaseLine, CaseOut, PartOut, PatientOut, StudyOut, links
from services.cases.content import ACCEPTED, STORED, Verdict, settled
from services.cases.stored import Line, StoredCase
from services.jobs import state
from services.jobs.state import Standing

HELD = "held"


def told(
    standing: Standing,
    case: StoredCase,
    modalities: Sequence[Modality],
    parts: Sequence[tuple[str, bool]] | None = None,
) -> CaseOut:
    """The case with what became of these of its parts, or of all."""
    return CaseOut(
        id=case.id,
        version=case.version,
        reference=case.reference,
        patient=PatientOut(id=case.patient_id),
        state=HELD if case.held else standing.word,
        reason=case.held or standing.reason,
        index_time=case.index_time,
        created_at=case.created_at,
        inputs_hash=case.inputs_hash,
        complete=sorted(case.complete),
        studies=_studies(case),
        parts=parts_of(case, modalities, parts),
        links=links(case.id) | ({"identity": f"/v1/cases/{case.id}/identity"} if case.held else {}),
    )


def parts_of(
    case: StoredCase,
    modalities: Sequence[Modality],
    parts: Sequence[tuple[str, bool]] | None = None,
) -> list[PartOut]:
    """What became of these parts, or of all; of one that was there already, that."""
    verdicts = settled(case, modalities).verdicts
    chosen = [(part, False) for part in _all(case)] if parts is None else parts
    return [_part(case, part, verdicts[part], repeated=repeated) for part, repeated in chosen]


def lines(session: Session, found: Sequence[Line]) -> list[CaseLine]:
    jobs = state.of(session, "diagnose", [line.id for line in found])
    waiting = store.waiting(session, [line.id for line in found])
    return [
        CaseLine(
            id=line.id,
            version=line.version,
            reference=line.reference,
            state=HELD if line.held else Standing(jobs.get(line.id), line.id in waiting).word,
            created_at=line.created_at,
            flags=list(line.flags),
            links=links(line.id),
        )
        for line in found
    ]


def _all(case: StoredCase) -> list[str]:
    counts = {"notes": len(case.notes), "labs": len(case.labs), "images": len(case.images)}
    return [f"{kind}/{position}" for kind, count in counts.items() for position in range(count)]


def _part(case: StoredCase, part: str, verdict: Verdict, *, repeated: bool) -> PartOut:
    kind, _, position = part.partition("/")
    outcome = STORED if repeated and verdict.outcome == ACCEPTED else verdict.outcome
    shown = PartOut(part=part, outcome=outcome, code=verdict.code, flags=list(verdict.flags))
    if kind != "images":
        return shown
    image = case.images[int(position)]
    facts = {
        "modality": image.modality,
        "sha256": image.sha256,
        "original_sha256": image.original_sha256,
        "sop_instance_uid": image.instance.sop_uid if image.instance else None,
    }
    return shown.model_copy(update=facts)


def _studies(case: StoredCase) -> list[StudyOut]:
    found = {image.instance.sop_uid: image.instance for image in case.images if image.instance is not None}
    by_study: dict[str, list[tuple[str, int]]] = {}
    for instance in found.values():
        by_study.setdefault(instance.study_uid, []).append((instance.series_uid, instance.bytes))
    return [
        StudyOut(
            study_instance_uid=study,
            series=len({series for series, _ in held}),
            instances=len(held),
            bytes=sum(size for _, size in held),
        )
        for study, held in sorted(by_study.items())
        if study
    ]

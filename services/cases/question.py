"""What a held case asks a person: what its parts say of their patient, side by side, and what could be left out."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.cases import hold
from services.cases.hold import Contradiction
from services.cases.stored import StoredAct, StoredCase

Said = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Side:
    """A value, and the sources that say it: `request`, or parts."""

    value: str = field(repr=False)
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Dispute:
    """A field in which sources contradict each other; `settled` where a person said that they do not."""

    field: str
    sides: tuple[Side, ...]
    settled: bool


@dataclass(frozen=True)
class Choice:
    """Parts of which all or none are left out: images of a study that say the same of their patient, a note, laboratory
    values that say the same or, where they say nothing, were collected at once. `parts` are named, values by their
    analyte; `at` is when all of them were acquired or collected; `version` is that of the case in which the last of
    them came; `says` holds field and value of what others contradict."""

    parts: Mapping[str, str]
    modality: str | None
    at: datetime | None
    version: int
    says: Said = field(repr=False)


@dataclass(frozen=True)
class Question:
    """`acts` are what people decided before. Where the case is not held there is nothing to decide: no disputes, no
    choices."""

    case_id: str
    version: int
    inputs_hash: str
    held: bool
    disputes: tuple[Dispute, ...]
    choices: tuple[Choice, ...]
    acts: tuple[StoredAct, ...]


def of(case: StoredCase, contradictions: Iterable[Contradiction]) -> Question:
    """Of the case as it is now, and all its contradictions."""
    found = disputes(case, contradictions) if case.held else ()
    offered = tuple(choices(case, found)) if case.held else ()
    return Question(case.id, case.version, case.inputs_hash, bool(case.held), found, offered, case.acts)


def disputes(case: StoredCase, contradictions: Iterable[Contradiction]) -> tuple[Dispute, ...]:
    """By field, open ones and settled ones apart; sides and sources in the order of the case, the request first."""
    order = {one.source: place for place, one in enumerate(hold.identities(case))}
    told: dict[tuple[str, bool], dict[str, set[str]]] = {}
    for one in contradictions:
        sides = told.setdefault((one.field, one.settled), {})
        for source, value in hold.values(case, one).items():
            sides.setdefault(value, set()).add(source)
    return tuple(Dispute(name, _sides(sides, order), settled) for (name, settled), sides in told.items())


def _sides(told: Mapping[str, set[str]], order: Mapping[str, int]) -> tuple[Side, ...]:
    sides = (Side(value, tuple(sorted(sources, key=order.__getitem__))) for value, sources in told.items())
    return tuple(sorted(sides, key=lambda side: order[side.sources[0]]))


def choices(case: StoredCase, found: Sequence[Dispute]) -> Iterator[Choice]:
    """All parts but those that were left out already, in their order."""
    says: dict[str, Said] = defaultdict(tuple)
    for dispute in found:
        for side in () if dispute.settled else dispute.sides:
            for source in side.sources:
                says[source] += ((dispute.field, side.value),)
    gone = {part for act in case.acts for part in act.excluded}
    alike: dict[Hashable, Choice] = {}
    for key, one in _parts(case, says):
        if not gone & one.parts.keys():
            alike[key] = _joined(alike[key], one) if key in alike else one
    yield from alike.values()


def _parts(case: StoredCase, says: Mapping[str, Said]) -> Iterator[tuple[Hashable, Choice]]:
    """Each part by itself, and what those have in common that are chosen together."""
    for image in case.images:
        part = f"images/{image.position}"
        study = image.instance.study_uid if image.instance else None
        yield (study, image.modality, says[part]), Choice({part: ""}, image.modality, None, image.version, says[part])
    for note in case.notes:
        part = f"notes/{note.position}"
        yield part, Choice({part: ""}, None, note.acquired_at, note.version, says[part])
    for lab in case.labs:
        part = f"labs/{lab.position}"
        key = ("labs", says[part] or lab.collected_at)
        yield key, Choice({part: lab.name}, None, lab.collected_at, lab.version, says[part])


def _joined(one: Choice, other: Choice) -> Choice:
    parts = {**one.parts, **other.parts}
    at = one.at if one.at == other.at else None
    return Choice(parts, one.modality, at, max(one.version, other.version), one.says)

"""Whether all parts of a case are of one patient. Where they are not, it is held: no answer until a person decides."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clinimm.identity import Identity, key, mismatches, of_note
from clinimm.types import Abstention
from services.cases.stored import StoredCase
from services.secrets import kept_secret

HELD = str(Abstention.IDENTITY_CONFLICT)
KEY = "identity.key"


@dataclass(frozen=True)
class Contradiction:
    """Parts that cannot be of one patient, by what `field` says; the key that its settlement is remembered by, and
    whether a person has settled it."""

    field: str
    sources: tuple[str, ...]
    key: str
    settled: bool


def contradictions(case: StoredCase, secret: bytes) -> list[Contradiction]:
    """All of a case, those that were settled too. What was excluded is not compared. Parts that say the same of their
    patient, as the films of a study do, contradict others together."""
    told = identities(case)
    settled = {one for act in case.acts for one in act.settled}
    alike: dict[Identity, list[str]] = {}
    for one in told:
        alike.setdefault(replace(one, source=""), []).append(one.source)
    few = [replace(content, source=sources[0]) for content, sources in alike.items()]
    of_one = {sources[0]: sources for sources in alike.values()}
    found = []
    for mismatch in mismatches(few):
        sources = [source for side in dict.fromkeys(mismatch.sources) for source in of_one[side]]
        name = key(mismatch, few, secret)
        found.append(Contradiction(mismatch.field, tuple(sources), name, name in settled))
    return found


def reason(case: StoredCase, secret: bytes) -> str:
    """Why the case is to be held, or ""."""
    return HELD if any(not one.settled for one in contradictions(case, secret)) else ""


def identities(case: StoredCase) -> list[Identity]:
    """Whose each part says it is, and whose the request did."""
    excluded = {part for act in case.acts for part in act.excluded}
    found = [_recorded(_without_death(case.patient), "request")]
    found += [_recorded(i.instance.identity, f"images/{i.position}") for i in case.images if i.instance is not None]
    found += [_recorded(note.identity, f"notes/{note.position}") for note in case.notes]
    found += [_header(note.text, f"notes/{note.position}") for note in case.notes]
    found += [_recorded(_of_lab(lab.original), f"labs/{lab.position}") for lab in case.labs]
    return [one for one in found if one is not None and one.source not in excluded]


def values(case: StoredCase, contradiction: Contradiction) -> dict[str, str]:
    """What each part says, for who may see it; both, where a note says one thing and its header another."""
    told: dict[str, dict[str, None]] = {}
    for one in identities(case):
        value = getattr(one, contradiction.field)
        if one.source in contradiction.sources and value is not None:
            issued = f" ({one.issuer})" if contradiction.field == "patient_id" and one.issuer else ""
            told.setdefault(one.source, {})[f"{value}{issued}"] = None
    return {source: " and ".join(said) for source, said in told.items()}


def read_secret(folder: Path) -> bytes:
    """The key that settlements are remembered under, patients named, and rows bound."""
    return kept_secret(folder / KEY)


def known_secret(folder: Path) -> bytes | None:
    """The same where there is one; none is made."""
    return read_secret(folder) if (folder / KEY).is_file() else None


def _recorded(record: Mapping[str, object], source: str) -> Identity | None:
    return replace(Identity.from_record(record), source=source) if record else None


def _without_death(patient: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in patient.items() if name != "deceased_at"}


def _header(text: str, source: str) -> Identity | None:
    found = of_note(text)
    return None if found is None else replace(found, source=source)


def _of_lab(original: Mapping[str, object]) -> Mapping[str, object]:
    """A lab's `patient`, as it was sent, as a record."""
    sent = original.get("patient")
    if not isinstance(sent, dict):
        return {}
    names = {"patient_id": "id", "issuer": "issuer", "birth_date": "birth_date", "sex": "sex", "name": "name"}
    return {"source": "", "removed": False, **{ours: sent.get(theirs) for ours, theirs in names.items()}}

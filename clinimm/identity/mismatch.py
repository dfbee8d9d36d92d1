"""Where what inputs say of their patient cannot be true of one person."""

import hmac
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import combinations, product
from typing import Any

from clinimm.errors import ClinimmError, ConfigError
from clinimm.identity.names import contradict, spellings
from clinimm.identity.person import Identity, given

FEWEST_SECRET_BYTES = 16
_NOBODY_BORN = date(1900, 1, 1)  # what systems write for an unknown day, or earlier


@dataclass(frozen=True)
class Mismatch:
    """Two sources, in alphabetical order, whose `field` cannot be one person's. Holds no value of either."""

    field: str
    sources: tuple[str, str]

    def record(self) -> dict[str, Any]:
        """The mismatch as plain JSON types."""
        return {"field": self.field, "sources": list(self.sources)}


def mismatches(identities: Iterable[Identity]) -> tuple[Mismatch, ...]:
    """Every pair of sources that contradict each other, by field: patient_id, birth_date, sex, name.

    The order of `identities` does not matter, and one more never takes a mismatch away. Not compared: what is not
    given, and identities that were removed. Ids are compared as written (case and leading zeros count) unless two
    different issuers are named: one hospital's ids say nothing of another's, but an id without issuer may be of any.
    Sex O contradicts nothing, since it stands for "not known" as often as for "other". Names: `names.contradict`."""
    found = {mismatch for mismatch, _ in _contradictions(identities)}
    fields = list(_RULES)
    return tuple(sorted(found, key=lambda one: (fields.index(one.field), one.sources)))


def key(mismatch: Mismatch, identities: Iterable[Identity], secret: bytes) -> str:
    """What to remember `mismatch` by once a person has settled it: hex HMAC-SHA256 of the field and of the values that
    contradict each other, whichever of its two sources holds which. Other values have another key, other sources not.

    Raises ConfigError if `secret` has fewer than 16 bytes, ClinimmError if `identities` do not have the mismatch."""
    if len(secret) < FEWEST_SECRET_BYTES:
        raise ConfigError("the secret is too short", mend=f"give at least {FEWEST_SECRET_BYTES} random bytes")
    pairs = {json.dumps(sorted(pair)) for found, pair in _contradictions(identities) if found == mismatch}
    if not pairs:
        raise ClinimmError("these identities do not have this mismatch", mend="take it from mismatches(identities)")
    return hmac.digest(secret, json.dumps([mismatch.field, sorted(pairs)]).encode(), "sha256").hex()


def _contradictions(identities: Iterable[Identity]) -> Iterator[tuple[Mismatch, tuple[Any, Any]]]:
    """Each mismatch with the values that make it; again if the same two sources have several such values."""
    compared = [identity for identity in identities if not identity.removed]
    for field, (value_of, differ) in _RULES.items():
        sources: dict[Any, set[str]] = defaultdict(set)
        for identity in compared:
            if value := value_of(identity):
                sources[value].add(identity.source)
        for ours, theirs in combinations(sources, 2):
            if differ(ours, theirs):
                for a, b in product(sources[ours], sources[theirs]):
                    yield Mismatch(field, (min(a, b), max(a, b))), (ours, theirs)


def _patient_id(identity: Identity) -> tuple[str, str] | None:
    issuer, patient_id = given(identity.issuer), given(identity.patient_id)
    return None if patient_id is None else (patient_id, (issuer or "").casefold())


def _ids_differ(ours: tuple[str, str], theirs: tuple[str, str]) -> bool:
    return ours[0] != theirs[0] and (ours[1] == theirs[1] or not (ours[1] and theirs[1]))


def _birth_date(identity: Identity) -> str | None:
    born = identity.birth_date
    return None if born is None or born <= _NOBODY_BORN else born.isoformat()


def _sex(identity: Identity) -> str | None:
    return None if identity.sex == "O" else identity.sex


def _name(identity: Identity) -> Any:
    return spellings(given(identity.name) or "")


# By field: what is compared, fit for JSON and falsy where not given, and when two of it contradict each other.
_RULES: Mapping[str, tuple[Callable[[Identity], Any], Callable[[Any, Any], bool]]] = {
    "patient_id": (_patient_id, _ids_differ),
    "birth_date": (_birth_date, lambda ours, theirs: ours != theirs),
    "sex": (_sex, lambda ours, theirs: ours != theirs),
    "name": (_name, contradict),
}

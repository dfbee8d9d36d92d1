"""Whose an input says it is."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, get_args

from clinimm.errors import InputError

Sex = Literal["M", "F", "O"]

_NOT_GIVEN = frozenset(
    (
        *("anon", "anonym", "anonymous", "anonymized", "anonymised", "deidentified", "de-identified", "pseudonymized"),
        *("unknown", "unk", "unbekannt", "not known", "not available", "not given", "not recorded", "not provided"),
        *("n/a", "n.a.", "na", "none", "nil", "null", "undefined", "unspecified", "removed", "redacted", "withheld"),
    )
)
_MARKS = re.compile(r"^[\W_]+|[\W_]+$")
_SEXES: Mapping[str, Sex] = {
    **dict.fromkeys(("m", "male", "man", "männlich", "maennlich", "mann", "masculin", "masculino", "maschile"), "M"),
    **dict.fromkeys(("f", "female", "woman", "w", "weiblich", "frau", "féminin", "femenino", "femminile"), "F"),
    **dict.fromkeys(("o", "other", "x", "d", "divers", "diverse", "non-binary", "nonbinary", "intersex"), "O"),
}


@dataclass(frozen=True)
class Identity:
    """Whose `source` ("request", "images/0", "notes/0", "labs/3") says it is, as it was written there; None is not
    given. `removed` says that the source had its identity taken out (DICOM 0012,0062): nothing of it is compared.

    What names the patient is no part of the `repr`, so that no log or traceback shows it."""

    source: str
    patient_id: str | None = field(default=None, repr=False)
    issuer: str | None = field(default=None, repr=False)
    birth_date: date | None = field(default=None, repr=False)
    sex: Sex | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    removed: bool = False

    def record(self) -> dict[str, Any]:
        """The identity as plain JSON types."""
        told = {"source": self.source, "patient_id": self.patient_id, "issuer": self.issuer}
        born = None if self.birth_date is None else self.birth_date.isoformat()
        return told | {"birth_date": born, "sex": self.sex, "name": self.name, "removed": self.removed}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Identity":
        """The identity whose `record` this is. Raises InputError `identity_invalid`."""
        try:
            born = record["birth_date"]
            found = cls(**{**record, "birth_date": None if born is None else date.fromisoformat(born)})
        except (KeyError, TypeError, ValueError):
            raise _invalid() from None  # the errors of Python quote the value
        texts = (found.patient_id, found.issuer, found.name)
        if not isinstance(found.source, str) or not isinstance(found.removed, bool):
            raise _invalid()
        if any(not isinstance(text, str | None) for text in texts) or found.sex not in (None, *get_args(Sex)):
            raise _invalid()
        return found


def _invalid() -> InputError:
    return InputError("identity_invalid", "this is no record of an identity", mend="write it with Identity.record")


def given(text: str | None) -> str | None:
    """`text` in NFKC without outer white space; None where that is empty, only marks, or a word for "not given"."""
    clean = unicodedata.normalize("NFKC", text or "").strip()
    bare = _MARKS.sub("", clean).casefold()
    return None if not bare or bare in _NOT_GIVEN or clean.casefold() in _NOT_GIVEN else clean


def read_sex(text: str) -> Sex | None:
    """The sex that `text` is the word or letter for, in English, German, French, Italian or Spanish."""
    return _SEXES.get(unicodedata.normalize("NFKC", text).strip().casefold())

"""Whose a clinical note says it is: its header alone, and only what can be read in one way.

A wrong reading holds a case for nothing, so whatever is not surely a header is left unread: text after the first
heading or sentence, lines that speak of anyone else, ambiguous days, names that could be prose, values in conflict."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from clinimm.identity.days import read_day
from clinimm.identity.header_words import NO_NAME, SECTION, TITLE
from clinimm.identity.others import KIN_OR_STRANGER
from clinimm.identity.person import Identity, given, read_sex

_LINES = 20
_LONGEST_LINE = 160
_MOST_WORDS_UNLABELED = 12

_LABELS = {
    "patient_id": (
        r"patient(?:'s)?[ -]?(?:id|identifier|no\.?|number)|medical record (?:number|no\.?)|mrn|"
        r"patienten-?(?:id|nummer|nr\.?)"
    ),
    "birth_date": r"d\.?o\.?b\.?|date of birth|birth ?date|birthday|geburtsdatum|geboren(?: am)?|geb\.?(?:-?datum)?",
    "sex": r"sex|gender|geschlecht",
    "name": r"(?:patient|pt)(?:'?s)?\.?[ -]?(?:full )?name|full name|name of (?:the )?patient|patientenname",
    "family": r"(?:last|family) ?name|surname|nachname|familienname",
    "first": r"(?:first|given) ?names?|forenames?|vornamen?",
}
_MARK = r"\s*(?:[:=|][ \t]*\#?|\t)\s*"
# The value of what is often written without a colon ("MRN 12345 DOB 1950-03-01") shows what it is.
_BARE = r"(?P<bare_id>mrn|patient id)\s+\#?(?=[a-z]{0,3}\d)|(?P<bare_day>dob|geb\.)\s+(?=\d{1,4}[-./]|\d{8}\b)"
_LABEL = re.compile(
    r"(?<![\w'/-])(?:" + "|".join(f"(?:(?P<{kind}>{words}){_MARK})" for kind, words in _LABELS.items()) + f"|{_BARE})",
    re.I,
)
_PLAIN = re.compile(rf"\s*(?P<plain>name|patient(?:in)?|pat\.?|pt\.?){_MARK}", re.I)  # mere "Patient:", at the start
_BARE_KINDS = {"bare_id": "patient_id", "bare_day": "birth_date"}
_MARKUP = re.compile(r"[*_#>`]{2,}|^[\s*#>|-]+")
_CUT = re.compile(r"\s*[|\t;]\s*|\s{2,}|\s+\(")

_ID = re.compile(r"(?=[\w.-]*\d)[A-Za-z0-9][\w.-]{1,62}[A-Za-z0-9](?![\w/])(?!\s+\d)")
_AGE = re.compile(r"\d{1,3}[- ]?(?:[mfwdy]|y/?o|y(?:ea)?rs?|mo(?:nth)?s?|days?|weeks?|jahre?)(?![a-z0-9])", re.I)
_DAY = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?!\d)")
_SEX = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)?)\s*(?:$|[,.;|()]|(?=\d|age\b|alter\b))", re.I)
_NAME_WORD = re.compile(r"[^\W\d_][^\W\d_'\u2019.-]*(?:['\u2019.-][^\W\d_]*)*")
_PARTICLES = frozenset(
    ("de", "da", "do", "dos", "das", "del", "della", "di", "du", "la", "le", "van", "von", "der", "den", "zu", "bin")
)
_MOST_NAME_WORDS = 5


def of_note(text: str, source: str = "notes/0") -> Identity | None:
    """Whose the note is by its header: the first 20 lines at most, up to its first heading or sentence; None where it
    names nobody. A field given twice with different values is left out.

    Read are "Patient:", "Name:", "Patient ID:", "MRN", "DOB", "Sex:" and the like, in English and German. A name after
    a mere "Name:" or in capitals after "Patient:" needs a patient id or a birth date beside it, or a comma in it."""
    found: dict[str, set[Any]] = defaultdict(set)
    for kind, value in _header(text):
        if (read := _READERS[kind](value)) is not None:
            found[kind].add(read)
    patient_id, birth_date, sex = (_only(found[kind]) for kind in ("patient_id", "birth_date", "sex"))
    name = _only(found["name"]) or _both(_only(found["family"]), _only(found["first"]))
    if name is None and not found["name"] and (plain := _only(found["plain"])) is not None:
        sure = bool({"patient_id", "birth_date"} & {kind for kind, values in found.items() if values})
        name = plain[1] if sure or plain[0] else None
    if (patient_id, birth_date, sex, name) == (None,) * 4:
        return None
    return Identity(source, patient_id=patient_id, birth_date=birth_date, sex=sex, name=name)


def _header(text: str) -> Iterator[tuple[str, str]]:
    """Label and value of everything labeled in the header."""
    for line in text.split("\n", _LINES)[:_LINES]:
        head = _MARKUP.sub("", line[:_LONGEST_LINE].rstrip())
        if KIN_OR_STRANGER.search(head) or (SECTION.match(head) and not TITLE.fullmatch(head)):
            return
        labeled = list(_labeled(head))
        if not labeled and len(head.split()) > _MOST_WORDS_UNLABELED:
            return
        yield from labeled
        if len(line) > _LONGEST_LINE:
            return


def _labeled(line: str) -> Iterator[tuple[str, str]]:
    """Label and value of all labels of a line that begins with one."""
    starts = [(found.start(), found.end(), str(found.lastgroup)) for found in _LABEL.finditer(line)]
    if plain := _PLAIN.match(line):
        starts = [(0, plain.end(), "plain"), *(start for start in starts if start[0] >= plain.end())]
    if not starts or line[: starts[0][0]].strip():
        return
    for (_, begin, kind), (end, *_) in pairwise([*starts, (len(line), 0, "")]):
        yield _BARE_KINDS.get(kind, kind), line[begin:end].strip()


def _only(values: set[Any]) -> Any:
    return next(iter(values)) if len(values) == 1 else None


def _both(family: str | None, first: str | None) -> str | None:
    return f"{family}, {first}" if family and first else family or None


def _read_id(value: str) -> str | None:
    found = _ID.match(value)
    if found is None or _AGE.match(value) or _DAY.match(value):
        return None
    return found.group()


def _read_sex(value: str) -> str | None:
    """The sex that `value` begins with; None for a form with nothing ticked ("M/F") and for prose."""
    found = _SEX.match(value)
    told = {sex for word in re.findall(r"[^\W\d_]+", value) if (sex := read_sex(word))}
    return read_sex(found.group(1)) if found and len(told) == 1 else None


def _read_name(value: str) -> str | None:
    """The name that `value` is; None where it could be anything else."""
    name = given(_CUT.split(value, maxsplit=1)[0].rstrip(" ,;|(-\u2013"))
    if name is None or name.count(",") > 1:
        return None
    words = re.split(r"[\s,^=]+", name.strip(" ,^="))
    proper = all(_NAME_WORD.fullmatch(word) and not _lower(word) for word in words)
    known = any(part in NO_NAME for word in words for part in re.split(r"[.'\u2019-]", word.casefold()))
    return name if proper and not known and len(words) <= _MOST_NAME_WORDS else None


def _lower(word: str) -> bool:
    return word[0].islower() and word not in _PARTICLES


def _read_plain(value: str) -> tuple[bool, str] | None:
    """The name after a mere "Patient:" or "Name:", and whether its own form shows that it is one."""
    name = _read_name(value)
    if name is None:
        return None
    parted = "," in name or "^" in name
    return (parted or (len(name.split()) > 1 and not name.isupper()), name)


_READERS: Mapping[str, Callable[[str], Any]] = {
    "patient_id": _read_id,
    "birth_date": read_day,
    "sex": _read_sex,
    "name": _read_name,
    "family": _read_name,
    "first": _read_name,
    "plain": _read_plain,
}

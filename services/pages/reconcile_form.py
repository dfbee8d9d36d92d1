"""The form of a reconciliation: its fields as the API's document and back, and its parts as people name them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.cases.question import Choice
from services.errors import Issue
from services.pages.two_steps import typed

LEAVE = "leave-"
DECISIONS: Mapping[str, str] = {
    "same_patient": "All parts are of one patient",
    "exclude": "The parts checked below are not of this patient: leave them out",
}
_COMPARED = "I have compared what the parts say of their patient, with the original documents at hand"
STATEMENTS: Mapping[str, str] = {
    "same_patient": f"{_COMPARED}: all parts of this case are of one patient.",
    "exclude": f"{_COMPARED}: the parts named above are not of this patient, and no answer may rest on them.",
}
FIELDS: Mapping[str, str] = {
    "patient_id": "Patient id",
    "birth_date": "Birth date",
    "sex": "Sex",
    "name": "Name",
}
_MEND: Mapping[str, str] = {
    "decision": "Choose one.",
    "exclude": "Check the parts that are not of this patient; none if all are of one.",
    "reason": "Say why, in at most 1000 characters.",
}


@dataclass(frozen=True)
class Said:
    """What was chosen and written; `seen` is the version of the case that it was chosen at, 0 where nothing was yet."""

    decision: str = ""
    reason: str = field(default="", repr=False)
    exclude: tuple[str, ...] = ()
    seen: int = 0

    @property
    def if_match(self) -> str:
        return f'"{self.seen}"'

    @property
    def document(self) -> bytes:
        """In the words of the API; what was left out is missing in it, too."""
        words = {"decision": self.decision, "reason": self.reason, "exclude": self.exclude}
        return json.dumps({name: value for name, value in words.items() if value}, ensure_ascii=False).encode()


def of_fields(fields: Mapping[str, str]) -> Said:
    """What a form says."""
    exclude = [part for name, value in fields.items() if name.startswith(LEAVE) for part in value.split()]
    decision, reason = fields.get("decision", ""), typed(fields.get("reason", ""))
    return Said(decision, reason, tuple(dict.fromkeys(exclude)), seen(fields))


def of_document(body: bytes, version: int) -> Said:
    """What a document of ours says, chosen at this version."""
    said = json.loads(body)
    return Said(said["decision"], said["reason"], tuple(said.get("exclude", ())), version)


def seen(fields: Mapping[str, str]) -> int:
    """The version of the case that a form was drawn of."""
    text = fields.get("seen", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def faults(issues: Sequence[Issue]) -> dict[str, str]:
    """What is to be mended, by field."""
    names = [issue.pointer.split("/")[1] for issue in issues if issue.pointer]
    return {name: _MEND[name] for name in names if name in _MEND}


def offered(choices: Iterable[Choice], said: Said) -> Iterator[tuple[Choice, bool]]:
    """The choices, each with whether it was made. Parts that came to others since do not take over what was said of
    those: they are a choice of their own."""
    for choice in choices:
        for is_chosen in (True, False):
            parts = {part: name for part, name in choice.parts.items() if (part in said.exclude) == is_chosen}
            if parts:
                yield replace(choice, parts=parts), is_chosen


def runs(sources: Iterable[str]) -> list[str]:
    """Sources as people name them, neighbors together: `images/0 to images/299 (300)`."""
    found: list[list[str]] = []
    for source in sources:
        kind, _, position = source.partition("/")
        if found and position and found[-1][-1] == f"{kind}/{int(position) - 1}":
            found[-1].append(source)
        else:
            found.append([source])
    return [_run(run) for run in found]


def _run(run: Sequence[str]) -> str:
    if len(run) > 1:
        return f"{run[0]} to {run[-1]} ({len(run)})"
    return "the request" if run[0] == "request" else run[0]

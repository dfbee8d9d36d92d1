"""The form of a review: its fields as the API's document."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.errors import Issue
from services.pages.two_steps import typed

REASONS: Mapping[str, str] = {
    "not_seen_on_image": "The image does not show it",
    "seen_on_image": "The image shows it",
    "note_says_otherwise": "The note says otherwise",
    "labs_say_otherwise": "The laboratory values say otherwise",
    "input_unfit": "An input is unfit: poor, cut, or not of this question",
    "context_missing": "What the model was not given decides it",
    "later_evidence": "Later or other evidence",
    "other": "Another reason",
}
ANSWERS: Mapping[str, str] = {"true": "yes", "false": "no", "unclear": "unclear", "none": "no answer"}
VERDICTS: Mapping[str, str] = {"accept": "Accept", "reject": "Reject", "modify": "Modify"}
_LOOKED = "I have looked at this record with the original images, notes and laboratory values at hand"
STATEMENTS: Mapping[str, str] = {
    "signed_off": f"{_LOOKED}, and sign off the answer with the findings as they stand above.",
    "rejected": f"{_LOOKED}, and reject the answer: no decision may rest on it.",
}
_MEND: Mapping[str, str] = {
    "verdict": "Choose one.",
    "answer": "Choose an answer other than the model's.",
    "reason": "Say why.",
    "text": "Say why, in at most 1000 characters.",
}


def document(fields: Mapping[str, str], targets: Sequence[str]) -> bytes:
    """The review that the fields say, in the words of the API; what was left out is missing in it, too."""
    said = {name: typed(fields.get(name, "")) for name in ("verdict", "reason")}
    findings = [_finding(fields, place, target) for place, target in enumerate(targets)]
    whole = _given(said) | {"findings": findings, "record_sha256": fields.get("record", "")}
    return json.dumps(whole, ensure_ascii=False, sort_keys=True).encode()


def faults(issues: Sequence[Issue]) -> dict[str, str]:
    """What is to be mended, by field."""
    return {name: _MEND[name.rpartition("-")[2]] for name in map(_field, issues) if name.rpartition("-")[2] in _MEND}


def _finding(fields: Mapping[str, str], place: int, target: str) -> dict[str, Any]:
    verdict = fields.get(f"f{place}-verdict", "")
    asked = {"accept": (), "modify": ("answer", "reason", "text")}.get(verdict, ("reason", "text"))
    said = {name: typed(fields.get(f"f{place}-{name}", "")) for name in asked}
    return {"target": target} | _given({"verdict": verdict} | said)


def _given(said: Mapping[str, str]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value}


def _field(issue: Issue) -> str:
    """The field that a place of the document came from: `/findings/2/answer` is `f2-answer`."""
    steps = issue.pointer.split("/")[1:]
    if steps[:1] != ["findings"]:
        return steps[0] if steps else ""
    return f"f{steps[1]}-{steps[2] if len(steps) > 2 else 'verdict'}" if len(steps) > 1 else ""

"""Reads the JSON of a request: every fault named at once, nothing of it echoed."""

from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel

from services.cases.schemas import InputsIn, LabIn
from services.errors import Issue, Refused, TooLarge
from services.http import strict_json
from services.settings import Limits

Document = TypeVar("Document", bound=BaseModel)


def parse(schema: type[Document], data: bytes, limits: Limits) -> Document:
    """The document that JSON describes. Raises BadRequest, TooLarge, or Refused that lists every fault."""
    document = strict_json.document(schema, data, depth=limits.json_depth, code="bad_case")
    if isinstance(document, InputsIn):
        _check_inputs(document, limits)
    return document


def _check_inputs(inputs: InputsIn, limits: Limits) -> None:
    _check("note_too_long", len(inputs.note.text) if inputs.note else 0, limits.note_chars)
    _check("too_many_labs", len(inputs.labs), limits.labs)
    _check("too_many_images", len(inputs.images), limits.images)
    issues = [issue for i, lab in enumerate(inputs.labs) for issue in _lab_issues(i, lab)]
    if issues:
        raise Refused("bad_case", "The document breaks its schema.", issues=issues)


def _lab_issues(index: int, lab: LabIn) -> Iterator[Issue]:
    if not lab.name and lab.code is None:
        yield Issue(f"/labs/{index}/name", "missing", "Give a name or a code.")
    withdrawn = lab.status in ("cancelled", "entered-in-error")
    if lab.value is None and lab.coded is None and not withdrawn:
        yield Issue(f"/labs/{index}/value", "missing", "Give a value or a coded one.")
    if lab.comparator and lab.value is None:
        yield Issue(f"/labs/{index}/comparator", "without_value", "A bound needs its value.")
    if withdrawn and lab.id is None:
        yield Issue(f"/labs/{index}/id", "missing", "Name the value that is taken back.")


def _check(code: str, actual: int, limit: int) -> None:
    if actual > limit:
        raise TooLarge(code, "The document has too much of it.", limit=limit, actual=actual)

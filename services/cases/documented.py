"""What FastAPI cannot see of the routes that take inputs: their headers and bodies, for the API's document."""

from typing import Any

from services.cases.schemas import EXAMPLE_CASE, EXAMPLE_INPUTS, CaseIn, InputsIn, ModalityIn, ReconciliationIn
from services.http.keys import KEY_HEADER


def _if_match(required: bool) -> dict[str, Any]:
    return {
        "name": "If-Match",
        "in": "header",
        "required": required,
        "description": "The ETag of the case that was seen: 412 if it has another version since.",
        "schema": {"type": "string", "maxLength": 300},
        "example": "*",
    }


def _reference(schema: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema.__name__}"}


def _inputs(part: str, schema: type, example: dict[str, Any], *, needed: bool) -> dict[str, Any]:
    form = {
        "type": "object",
        "required": [part] if needed else [],
        "additionalProperties": False,
        "properties": {
            part: _reference(schema),
            "note": {"type": "string"},
            "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
        },
    }
    encoding = {
        part: {"contentType": "application/json"},
        "note": {"contentType": "text/plain"},
        "image": {"contentType": "application/dicom"},
    }
    examples = {"film, note and labs": {"value": {part: example}}}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form, "examples": examples, "encoding": encoding},
            "application/json": {"schema": _reference(schema), "example": example},
        },
    }


def _json(schema: type, example: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _reference(schema), "example": example}}}


_CASE = _inputs("case", CaseIn, EXAMPLE_CASE, needed=True)
CREATE: dict[str, Any] = {"parameters": [KEY_HEADER], "requestBody": _CASE}
VALIDATE: dict[str, Any] = {"requestBody": _CASE}
INPUTS: dict[str, Any] = {
    "parameters": [KEY_HEADER, _if_match(False)],
    "requestBody": _inputs("inputs", InputsIn, EXAMPLE_INPUTS, needed=False),
}
MARK: dict[str, Any] = {
    "parameters": [_if_match(True)],
    "requestBody": _json(ModalityIn, {"complete": True, "absent_reason": "not_ordered"}),
}
RECONCILE: dict[str, Any] = {
    "parameters": [KEY_HEADER, _if_match(True)],
    "requestBody": _json(ReconciliationIn, {"decision": "same_patient", "reason": "Maiden name on the old film."}),
}

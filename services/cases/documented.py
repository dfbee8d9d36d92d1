"""What FastAPI cannot see of the routes that take inputs: their headers and bodies, for the API's document."""

from typing import Any

from services.cases.schemas import EXAMPLE_CASE, EXAMPLE_INPUTS, CaseIn, InputsIn, ModalityIn, ReconciliationIn
from services.http.documented import headers, problem, told
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
        "patternProperties": {"^image:[A-Za-z0-9_.-]{1,64}$": {}},
        "properties": {
            part: _reference(schema),
            "note": {"type": "string"},
            "image": {"description": "A DICOM file; the part may be repeated, and name its modality: `image:cxr`."},
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
TAKEN = ("Location", "Content-Location", "ETag", "Cache-Control")
FROM_A_CASE = ("get_case", "post_inputs", "put_modality", "get_timeline", "post_reconciliation")


def _links() -> dict[str, Any]:
    """What can be asked of the case that is answered."""
    return {name: {"operationId": name, "parameters": {"case_id": "$response.body#/id"}} for name in FROM_A_CASE}


ANSWERS: dict[int | str, dict[str, Any]] = {
    200: told("CaseOut", "It is there already, and answered", *TAKEN) | {"links": _links()},
    202: {"headers": headers(*TAKEN, "Retry-After"), "links": _links()},
    409: problem(409) | {"headers": headers(some=("Location", "Retry-After"))},
}
MARKED: dict[int | str, dict[str, Any]] = {200: {"headers": headers("ETag", "Cache-Control")}}
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

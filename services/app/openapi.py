"""The API's document: FastAPI's own, with what it cannot see by itself.

What every operation of a kind may be answered is said here, once, from what the operation takes; what one alone may be
answered is said where its route is."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from services.audit.asking import PURPOSES
from services.cases.schemas import CaseIn, InputsIn, ModalityIn, ReconciliationIn
from services.http.documented import headers, problem
from services.http.problem import Problem
from services.reviews.schemas import ReviewIn, WithdrawalIn
from services.settings import Limits
from services.switch import SwitchIn

REFERENCE = "#/components/schemas/{model}"
OPEN = ("/healthz",)
NAMED = {401: "WWW-Authenticate", 405: "Allow", 503: "Retry-After"}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETags of answers that are there already: 304 if nothing has changed.",
    "schema": {"type": "string"},
}
PURPOSE = {
    "name": "X-Purpose-Of-Use",
    "in": "header",
    "required": False,
    "description": "What the client asks for, by HL7 v3's PurposeOfUse: it is put on record with the event.",
    "schema": {"type": "string", "enum": list(PURPOSES)},
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        about = f"{app.description}\n\n{_limits(app.state.settings.limits)}"
        schema = get_openapi(title=app.title, version=app.version, description=about, routes=app.routes)
        components = schema.setdefault("components", {})
        for model in (Problem, CaseIn, InputsIn, ModalityIn, ReconciliationIn, ReviewIn, WithdrawalIn, SwitchIn):
            components.setdefault("schemas", {}).update(_with_parts(model))
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}, {}]
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                _complete(path, method, operation)
        for unsent in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(unsent, None)
        app.openapi_schema = schema
    return app.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """The refusals of an operation and the header fields of all its answers."""
    answers = operation["responses"]
    answers.pop("422", None)  # FastAPI's own form of it is never sent
    if path.startswith("/v1/"):
        operation.setdefault("parameters", []).append(PURPOSE)
    if method == "get" and path.startswith("/v1/"):
        operation.setdefault("parameters", []).append(IF_NONE_MATCH)
        answers["304"] = {"description": "Nothing has changed", "headers": headers("ETag", "Cache-Control")}
        answers["200"]["headers"] = headers("ETag", "Cache-Control") | answers["200"].get("headers", {})
    if path in OPEN:
        operation["security"] = []
    for status in sorted(_refusals(path, operation)):
        answers.setdefault(str(status), problem(status))
    for status, answer in answers.items():
        always = ("X-Request-Id", *([NAMED[int(status)]] if int(status) in NAMED else []))
        answer["headers"] = headers(*always) | answer.get("headers", {})


def _refusals(path: str, operation: dict[str, Any]) -> Iterator[int]:
    """The statuses that an operation may be refused with, by what it takes."""
    takes = {(one["in"], one["name"]): one["required"] for one in operation.get("parameters", [])}
    places = {place for place, _ in takes}
    yield from (405, 431, 500)
    if path not in OPEN:
        yield from (401, 403, 503)
    if path.startswith("/v1/"):
        yield from (400, 406)
    if "path" in places:
        yield 404
    if "query" in places:
        yield 422
    if "requestBody" in operation:
        yield from (400, 408, 413, 415, 422, 507)
    if ("header", "Idempotency-Key") in takes:
        yield from (400, 409, 413, 422, 507)
    if ("header", "If-Match") in takes:
        yield from (412, 428) if takes["header", "If-Match"] else (412,)


def _limits(limits: Limits) -> str:
    """The limits as a table, for who reads the document."""
    rows = [f"| {name} | {getattr(limits, name)} | {one.description} |" for name, one in Limits.model_fields.items()]
    return "\n".join(["| limit | most | of |", "|---|---|---|", *rows])


def _with_parts(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=REFERENCE)
    return {**schema.pop("$defs", {}), model.__name__: schema}

"""Errors as application/problem+json (RFC 9457). What was sent is never echoed."""

import logging
import re

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from services.db import is_away, is_full
from services.errors import (
    BadRequest,
    Issue,
    MethodNotAllowed,
    NotFound,
    Refused,
    ServiceError,
    StorageFull,
    Unavailable,
)
from services.http import problem

log = logging.getLogger(__name__)


def handle_in(app: FastAPI) -> None:
    app.add_exception_handler(ServiceError, lambda request, error: answer(request, as_service_error(error)))
    app.add_exception_handler(RequestValidationError, lambda request, error: answer(request, as_service_error(error)))
    app.add_exception_handler(HTTPException, _http)


def as_service_error(error: Exception) -> ServiceError:
    """The refusal that an error means; an unknown one is our own fault, and says nothing."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestValidationError):
        issues = [Issue("/" + "/".join(map(str, fault["loc"][:2])), fault["type"]) for fault in error.errors()]
        return Refused("bad_parameters", "A parameter is not as documented.", issues=issues)
    if is_full(error):
        return storage_full()
    if isinstance(error, SQLAlchemyError) and is_away(error):
        return Unavailable("database_unavailable", "The database cannot be reached.")
    return ServiceError("internal", "The service failed; name the trace_id to its operator.")


def storage_full() -> StorageFull:
    return StorageFull("storage_full", "There is no room left to keep it.", headers={"Retry-After": "30"})


def answer(request: Request, error: ServiceError) -> Response:
    """The refusal as JSON, or as the route would have it told (`state.tell`)."""
    request.state.code = error.code
    if (tell := getattr(request.state, "tell", None)) is not None:
        told: Response = tell(request, error)
        return told
    headers = {"Cache-Control": "no-store", **error.headers}
    return Response(problem.told(error), error.status, headers, problem.MEDIA)


def _http(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such path, no such method. OPTIONS is no method of any route, and answered here."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405 and request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": _allowed(request)})
    if status == 405:
        refusal: ServiceError = MethodNotAllowed(
            "method_not_allowed", "Not a method of this path.", headers={"Allow": _allowed(request)}
        )
    elif status == 404:
        refusal = NotFound("not_found", "There is no such path.")
    else:
        refusal = BadRequest("bad_request", "The request cannot be read.")
    return answer(request, refusal)


def _allowed(request: Request) -> str:
    """Every method of the path: Starlette names those of one route only."""
    methods = {"get"}
    for template, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), request.url.path):
            methods = set(operations)
    implied = {"options", "head"} if "get" in methods else {"options"}
    return ", ".join(sorted(method.upper() for method in methods | implied))

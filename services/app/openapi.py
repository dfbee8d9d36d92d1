"""The API's document: FastAPI's own, with the schemas that it cannot see by itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from services.cases.schemas import CaseIn, InputsIn, ModalityIn, ReconciliationIn
from services.http.problem import Problem
from services.reviews.schemas import ReviewIn
from services.settings import Limits

REFERENCE = "#/components/schemas/{model}"


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema is None:
        about = f"{app.description}\n\n{_limits(app.state.settings.limits)}"
        schema = get_openapi(title=app.title, version=app.version, description=about, routes=app.routes)
        components = schema.setdefault("components", {})
        for model in (Problem, CaseIn, InputsIn, ModalityIn, ReconciliationIn, ReviewIn):
            components.setdefault("schemas", {}).update(_with_parts(model))
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}, {}]
        app.openapi_schema = schema
    return app.openapi_schema


def _limits(limits: Limits) -> str:
    """The limits as a table, for who reads the document."""
    rows = [
        f"| {name} | {getattr(limits, name)} | {field.description} |" for name, field in Limits.model_fields.items()
    ]
    return "\n".join(["| limit | most | of |", "|---|---|---|", *rows])


def _with_parts(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=REFERENCE)
    return {**schema.pop("$defs", {}), model.__name__: schema}

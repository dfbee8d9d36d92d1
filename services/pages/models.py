"""/models: what answers here, and what it says of itself. For researchers too: nothing of a case is on these pages."""

import json
import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from clinimm.errors import ArtifactError
from services.artifacts import facts
from services.artifacts.facts import Model
from services.artifacts.releases import releases
from services.artifacts.schemas import shown
from services.auth import PEOPLE, Role
from services.errors import NotFound
from services.pages import rendering
from services.pages.card import blocks
from services.pages.signed_in import Form
from services.pages.worklist import worklist
from services.settings import Settings
from services.switch import Switch
from services.worklist.service import Worklist

router = APIRouter(include_in_schema=False)
DIGEST = re.compile(r"[0-9a-f]{64}")
REASONS = {
    "wrong_answers": "it gives wrong answers",
    "drift": "its cases are not those it learned from",
    "inputs_changed": "a device or a sender changed",
    "recalled": "whoever made it took it back",
    "precaution": "as a precaution",
    "cleared": "it was looked into, and may answer",
}
FEWEST = 5  # a count below is not told to who may not see cases
Room = Annotated[Worklist, Depends(worklist)]


@router.get("/models")
def page_models(request: Request, room: Room) -> Response:
    """The model that answers now, and those that answered before it."""
    model: Model = request.app.state.model
    fewest = FEWEST if request.state.role is Role.RESEARCHER else 1
    settings: Settings = request.app.state.settings
    switch = request.app.state.switch.told(model.digest)
    try:
        told, fault = releases(settings.registry), ""
    except ArtifactError as error:
        told, fault = [], error.what
    return rendering.page(
        request,
        "models.html",
        model=model,
        answered=room.answered(),
        fewest=fewest,
        releases=told,
        fault=fault,
        stopped=switch is not None and switch.stopped,
    )


@router.get("/models/{digest}")
def page_model(request: Request, digest: str) -> Response:
    """What an artifact says of itself. Raises NotFound where none of that digest is here."""
    model = _model(request, digest)
    request.state.seen = digest
    is_current = model is request.app.state.model
    switch: Switch = request.app.state.switch
    told, card = shown(model, switch.told(digest)), blocks(model.card)
    may_switch = request.state.role in PEOPLE | {Role.LOCAL}
    return rendering.page(
        request, "model.html", model=model, facts=told, card=card, is_current=is_current, may_switch=may_switch,
        reasons=REASONS,
    )  # fmt: skip


@router.post("/models/{digest}/switch")
def page_switch(request: Request, fields: Form, digest: str) -> Response:
    """Stops a model, or lets it answer again. Raises NotFound, Refused for a form that says neither."""
    switch: Switch = request.app.state.switch
    said = {"stopped": fields.get("stopped") == "yes", "reason": fields.get("reason", "")}
    switch.turn(request.state.client, digest, json.dumps(said).encode())
    return rendering.see_other(f"/models/{digest}")


def _model(request: Request, digest: str) -> Model:
    current: Model = request.app.state.model
    settings: Settings = request.app.state.settings
    if digest == current.digest:
        return current
    place = settings.registry / "artifacts" / digest if settings.registry and DIGEST.fullmatch(digest) else None
    if place is None or not place.is_dir():
        raise NotFound(
            "model_not_found",
            "There is no model of this digest here.",
            mend="If it answered before, its artifact is kept where it was trained, or in the registry that let it in.",
        )
    return facts.read(place, settings.registry)

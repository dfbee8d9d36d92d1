"""What every page asks: who it is from, that a form is one of ours, and that a refusal is told as a page."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl, quote

from fastapi import Depends, Request, Response

from services.audit.asking import asking
from services.auth import Client
from services.errors import BadRequest, Forbidden, ServiceError, Unauthorized, UnsupportedMedia
from services.http.bodies import read_body
from services.pages import rendering
from services.pages.session import COOKIE, Session, Sessions

FORM = "application/x-www-form-urlencoded"
FIELDS = 400
OWN = frozenset({"", "same-origin", "none"})


def told_as_page(request: Request, error: ServiceError) -> Response:
    """A refusal: to whoever is not signed in and only looks, the way there and back."""
    if isinstance(error, Unauthorized) and request.method == "GET":
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return rendering.see_other(f"/login?next={quote(where)}")
    return rendering.problem(request, error)


async def as_page(request: Request) -> None:
    """From here on what is refused is told as a page."""
    request.state.tell = told_as_page


async def signed_in(request: Request) -> None:
    """Raises Unauthorized."""
    sessions: Sessions = request.app.state.sessions
    session, client = sessions.read(request.cookies.get(COOKIE, ""))
    admit(request, session, client)


def admit(request: Request, session: Session, client: Client) -> None:
    """From here on the request is this client's."""
    request.state.session, request.state.client, request.state.role = session, client.name, client.role
    if (behind := asking.get()) is not None:
        behind.role = client.role


async def sent_form(request: Request) -> Mapping[str, str]:
    """The fields of a form, each once. Raises BadRequest, TooLarge or UnsupportedMedia."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMedia("media_type_unsupported", f"Send {FORM}.")
    if request.headers.get("sec-fetch-site", "") not in OWN:
        raise Forbidden("form_not_ours", "This form was not sent from a page of this service.")
    data = await read_body(request, request.app.state.settings.limits.small_json_bytes)
    try:
        pairs = parse_qsl(data.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest("bad_request", "The form cannot be read.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadRequest("bad_request", "A field of the form comes twice.")
    return fields


async def own_form(request: Request, fields: Annotated[Mapping[str, str], Depends(sent_form)]) -> Mapping[str, str]:
    """The fields of a form that a page of this session holds. Raises Forbidden `form_not_ours` besides."""
    sessions: Sessions = request.app.state.sessions
    if not sessions.is_form_word(request.state.session, fields.get("word", "")):
        raise Forbidden("form_not_ours", "This form is not of this session; load its page again.")
    return {name: value for name, value in fields.items() if name != "word"}


Form = Annotated[Mapping[str, str], Depends(own_form)]

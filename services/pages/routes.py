"""/, /login, /logout and /static: where people come in."""

import re
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services import audit
from services.auth import Role
from services.db import Database
from services.errors import NotFound, Unauthorized
from services.http.responses import content
from services.pages import rendering
from services.pages.session import COOKIE, Sessions
from services.pages.signed_in import Form, admit, as_page, sent_form

open_router = APIRouter(include_in_schema=False, dependencies=[Depends(as_page)])
router = APIRouter(include_in_schema=False)

MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
OWN_PATH = re.compile(r"/(?!/)[^\\\s]*")


@open_router.get("/login")
def page_login(request: Request, next: str = "/") -> Response:  # noqa: A002
    """Asks for a token; where the service has no clients, only whether to come in."""
    return _asked(request, next)


@open_router.post("/login")
def page_sign_in(request: Request, fields: Annotated[Mapping[str, str], Depends(sent_form)]) -> Response:
    """Opens a session for whose token it is."""
    sessions: Sessions = request.app.state.sessions
    try:
        session, client = sessions.open(fields.get("token", "").strip())
    except Unauthorized as error:
        request.state.code = error.code
        return _asked(request, fields.get("next", "/"), status=401)
    admit(request, session, client)
    _record(request, client.name, "session.opened", session.id)
    response = rendering.see_other(_own(fields.get("next", "/")))
    rendering.keep(request, response, sessions.cookie(session))
    return response


@router.post("/logout")
def page_sign_out(request: Request, fields: Form) -> Response:
    """Takes the session from the browser."""
    _record(request, request.state.client, "session.closed", request.state.session.id)
    response = rendering.see_other("/login")
    response.delete_cookie(COOKIE)
    return response


@router.get("/")
def page_home(request: Request) -> Response:
    """To where this client's work begins."""
    return rendering.see_other("/models" if request.state.role is Role.RESEARCHER else "/worklist")


@open_router.get("/static/{name:path}")
def page_file(request: Request, name: str) -> Response:
    """A style sheet or a script of ours, named with its hash by the pages that need it. Raises NotFound."""
    path = rendering.FILES.get(name)
    if path is None or path.suffix not in MEDIA:
        raise NotFound("not_found", "There is no such path.")
    return content(request, path.read_bytes(), MEDIA[path.suffix], headers={"Cache-Control": "public, max-age=86400"})


def _asked(request: Request, after: str, *, status: int = 200) -> Response:
    sessions: Sessions = request.app.state.sessions
    facts = {"after": _own(after), "is_open": sessions.tokens.are_off, "refused": status == 401}
    return rendering.page(request, "login.html", status=status, **facts)


def _own(path: str) -> str:
    """A path of ours to go on to; never another site's."""
    return path if OWN_PATH.fullmatch(path) else "/"


def _record(request: Request, client: str, action: str, session_id: str) -> None:
    database: Database = request.app.state.database
    with database.write() as session:
        audit.record(session, client, action, session_id)

"""Templates drawn, with the header fields that keep a page inert: nothing runs in it or is loaded but what is ours."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined

from clinimm.report import formats, html
from services.errors import ServiceError
from services.faults import FAULTS
from services.http.ids import CASE_ID
from services.logs import request_id
from services.pages.session import COOKIE, LONGEST_SECONDS, Session, Sessions

HTML = "text/html; charset=utf-8"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_HERE = Path(__file__).parent
_STATIC, _REPORT = _HERE / "static", html.SECTIONS_STYLE.parent
FILES = {path.relative_to(_STATIC).as_posix(): path for path in _STATIC.rglob("*.*")} | {
    "report.css": html.SECTIONS_STYLE
}
"""What is served under /static/, by its name there."""


def page(request: Request, template: str, *, status: int = 200, **facts: Any) -> Response:
    """A template drawn for whoever is signed in, whose session it keeps awake."""
    session: Session | None = getattr(request.state, "session", None)
    sessions: Sessions = request.app.state.sessions
    word = sessions.form_word(session) if session else ""
    told = {"role": str(getattr(request.state, "role", "")), "client": getattr(request.state, "client", "")}
    text = _environment().get_template(template).render(word=word, path=request.url.path, **told, **facts)
    response = Response(text, status, SAFE, HTML)
    if session is not None:
        keep(request, response, sessions.cookie(session))
    return response


def see_other(path: str) -> Response:
    """Leads on from a form to a page of ours."""
    return Response(status_code=303, headers=SAFE | {"Location": path})


def keep(request: Request, response: Response, cookie: str) -> None:
    """Gives the browser its session; no script reads it, no other site's form brings it."""
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, cookie, max_age=LONGEST_SECONDS, httponly=True, samesite="lax", secure=secure)


def problem(request: Request, error: ServiceError) -> Response:
    """A refusal as a page, as plain as the API's: what it was, and never what was sent."""
    given = request.path_params.get("case_id", "")
    case_id = given if error.status != 404 and CASE_ID.fullmatch(given) else ""
    facts = {"title": FAULTS[error.code].said, "error": error, "trace_id": request_id.get(), "case_id": case_id}
    response = page(request, "problem.html", status=error.status, **facts)
    response.headers.update(error.headers)
    return response


@cache
def versioned(name: str) -> str:
    """Where a file of ours is served, by its content: what a browser has of an older version is not taken for it."""
    return f"/static/{name}?v={hashlib.sha256(FILES[name].read_bytes()).hexdigest()[:12]}"


def in_few(flags: Sequence[str]) -> list[str]:
    """Flags as a list shows them: what is missing and abstained from stands beside them already; more than two of one
    kind are counted, `age_unknown: 9`."""
    kinds: dict[str, list[str]] = {}
    for flag in flags:
        kinds.setdefault(flag.partition(":")[0], []).append(flag)
    told = {kind: same for kind, same in kinds.items() if kind not in ("missing", "abstained")}
    return [one for kind, same in told.items() for one in (same if len(same) < 3 else [f"{kind}: {len(same)}"])]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=ChoiceLoader(
            [FileSystemLoader(_HERE / "templates"), PrefixLoader({"report": FileSystemLoader(_REPORT)})]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["file"] = versioned
    for name in (
        *("visible", "signed", "number", "plain", "percent", "moment", "level", "answer_set", "estimate"),
        *("failed", "largest", "strongest", "segments", "by_size", "oddness"),
    ):
        made.filters[name] = getattr(formats, name)
    made.filters["range"] = lambda ends: "none" if ends is None else " to ".join(formats.number(end) for end in ends)
    made.filters["in_few"] = in_few
    made.filters["time"] = lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return made

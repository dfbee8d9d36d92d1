"""Who comes in, how long they may stay, and that nobody else can make them send a form."""

import base64
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from service_processes import running_api

from services.auth import Role, Tokens, add_client
from services.db import Database
from services.errors import Unauthorized
from services.pages.session import COOKIE, IDLE_SECONDS, LONGEST_SECONDS, Sessions
from services.settings import Settings
from services.tables import EventRow

SECRET = bytes(range(32))


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def sign_in(api: httpx.Client, token: str, after: str = "/") -> httpx.Response:
    return api.post("/login", data={"token": token, "next": after})


def word_of(page: str) -> str:
    return page.partition('name="word" value="')[2].partition('"')[0]


def test_session_is_its_clients_until_its_token_is_withdrawn(tokens: Path) -> None:
    token = add_client(tokens, "ann", Role.AUDITOR)
    add_client(tokens, "ben", Role.CLINICIAN)
    sessions = Sessions(SECRET, Tokens.read(tokens))
    session, client = sessions.open(token)
    cookie = sessions.cookie(session)
    assert (client.name, client.role) == ("ann", Role.AUDITOR)
    assert sessions.read(cookie)[1] == client
    assert token not in base64.urlsafe_b64decode(cookie.partition(".")[0] + "==").decode()
    tokens.write_text("\n".join(line for line in tokens.read_text().splitlines() if not line.startswith("ann")) + "\n")
    add_client(tokens, "ann", Role.AUDITOR)  # the same name, another token
    with pytest.raises(Unauthorized):
        Sessions(SECRET, Tokens.read(tokens)).read(cookie)


def test_session_ends_without_use_and_after_a_day_of_work(tokens: Path) -> None:
    sessions = Sessions(SECRET, Tokens.read(_one(tokens)))
    session, _ = sessions.open((tokens.parent / "secret").read_text())
    now = int(time.time())
    assert sessions.read(sessions.cookie(replace(session, seen=now - IDLE_SECONDS + 5)))
    for late in (replace(session, seen=now - IDLE_SECONDS - 5), replace(session, began=now - LONGEST_SECONDS - 5)):
        with pytest.raises(Unauthorized):
            sessions.read(sessions.cookie(late))


@pytest.mark.parametrize("change", ["name", "seal", "secret", "empty", "junk"])
def test_cookie_that_was_not_given_by_us_is_refused(tokens: Path, change: str) -> None:
    sessions = Sessions(SECRET, Tokens.read(_one(tokens)))
    session, _ = sessions.open((tokens.parent / "secret").read_text())
    body, _, seal = sessions.cookie(session).partition(".")
    other = base64.urlsafe_b64encode(json.dumps(asdict(replace(session, name="ben"))).encode()).decode().rstrip("=")
    given = {
        "name": f"{other}.{seal}",
        "seal": f"{body}.{seal[:-1]}{'0' if seal[-1] != '0' else '1'}",
        "secret": Sessions(bytes(32), sessions.tokens).cookie(session),
        "empty": "",
        "junk": "é.%00.",
    }[change]
    with pytest.raises(Unauthorized):
        sessions.read(given)


def _one(tokens: Path) -> Path:
    (tokens.parent / "secret").write_text(add_client(tokens, "ann", Role.AUDITOR))
    return tokens


def test_pages_lead_to_the_login_and_back(settings: Settings, tokens: Path) -> None:
    token = add_client(tokens, "ann", Role.RESEARCHER)
    with running_api(settings.model_copy(update={"tokens_file": tokens})) as api:
        away = api.get("/")
        assert (away.status_code, away.headers["location"]) == (303, "/login?next=/")
        assert sign_in(api, "wrong").status_code == 401
        assert COOKIE not in api.cookies
        back = sign_in(api, token, "/models?a=b")
        assert (back.status_code, back.headers["location"]) == (303, "/models?a=b")
        kept = back.headers["set-cookie"].lower()
        assert "httponly" in kept
        assert "samesite=lax" in kept
        assert api.get("/").headers["location"] == "/models"
        assert sign_in(api, token, "//elsewhere.example/x").headers["location"] == "/"
        assert api.post("/logout", data={"word": "0" * 64}).status_code == 403
        assert api.post("/logout", data={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code in (403, 415)
        assert api.get("/").status_code == 303
        refused = api.post("/logout", data={"word": "0" * 64})
        assert word_of(refused.text)
        assert api.post("/logout", data={"word": word_of(refused.text)}).headers["location"] == "/login"
        assert api.get("/").headers["location"] == "/login?next=/"
    told = [(row.action, row.actor, row.outcome) for row in _events(settings)]
    assert told[0] == ("request.refused", "", "refused")
    assert told[1] == ("request.refused", "", "refused")
    assert ("session.opened", "ann", "done") in told
    assert ("session.closed", "ann", "done") in told


def _events(settings: Settings) -> list[EventRow]:
    database = Database(settings.url)
    with database.read() as session:
        found = list(session.scalars(sa.select(EventRow).order_by(EventRow.seq)))
    database.close()
    return found


def test_service_without_clients_asks_only_whether_to_come_in(api: httpx.Client) -> None:
    shown = api.get("/login")
    assert "no clients" in shown.text
    assert 'type="password"' not in shown.text
    assert sign_in(api, "").status_code == 303
    assert api.get("/").headers["location"] == "/worklist"


def test_every_page_is_inert_and_kept_by_nobody(api: httpx.Client) -> None:
    shown = api.get("/login")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "unsafe" not in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"] == "no-store"
    assert "<style" not in shown.text
    assert " style=" not in shown.text
    assert " onclick=" not in shown.text


def test_only_our_own_files_are_served(api: httpx.Client) -> None:
    shown = api.get("/login").text
    for name in ("pages.css", "vendor/htmx-4.0.1.min.js"):
        path = shown.partition(f"/static/{name}")[1] + shown.partition(f"/static/{name}")[2].partition('"')[0]
        assert api.get(path).status_code == 200
        assert api.get(path, headers={"If-None-Match": api.get(path).headers["etag"]}).status_code == 304
    for path in ("/static/../session.py", "/static/%2e%2e/session.py", "/static/vendor", "/static/", "/static/x.css"):
        assert api.get(path).status_code == 404

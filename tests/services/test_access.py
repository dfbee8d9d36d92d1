"""Who may call: nobody without a token, once tokens are on; nobody from afar, while they are off."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_processes import running_api
from service_requests import case, post

from clinimm.errors import ClinimmError, ConfigError
from services.app import PAGES, ROUTERS, rights
from services.auth import Client, Role, Tokens, add_client
from services.server import serve
from services.settings import Settings

GUARDED = (
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v1/cases",
    "/v1/models",
    "/v1/capabilities",
    "/v1/cases/00000000-0000-0000-0000-000000000000",
)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def test_every_path_but_healthz_needs_a_token(settings: Settings, tokens: Path) -> None:
    token = add_client(tokens, "pacs")
    wrong = ({}, {"Authorization": "Bearer x"}, {"Authorization": token}, {"Authorization": f"Basic {token}"})
    with running_api(settings.model_copy(update={"tokens_file": tokens})) as api:
        answers = [api.get(path, headers=headers) for path in GUARDED for headers in wrong]
        assert {(answer.status_code, answer.headers["www-authenticate"]) for answer in answers} == {(401, "Bearer")}
        assert len({answer.json()["detail"] for answer in answers}) == 1
        assert api.get("/healthz").json() == {"status": "ok"}
        api.headers["Authorization"] = f"Bearer {token}"
        assert {api.get(path).status_code for path in GUARDED} == {200, 404, 503}


def test_keys_of_two_clients_do_not_meet(settings: Settings, tokens: Path) -> None:
    headers = [{"Authorization": f"Bearer {add_client(tokens, name)}"} for name in ("a", "b")]
    with running_api(settings.model_copy(update={"tokens_file": tokens})) as api:
        first = post(api, case("of-a"), key="k", headers=headers[0])
        second = post(api, case("of-b"), key="k", headers=headers[1])
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]


def test_file_holds_no_token_and_only_we_may_read_it(tokens: Path) -> None:
    token = add_client(tokens, "pacs")
    assert token not in tokens.read_text()
    assert tokens.stat().st_mode & 0o077 == 0
    assert Tokens.read(tokens).client(f"Bearer {token}") == Client("pacs", Role.SYSTEM)
    with pytest.raises(ConfigError):
        add_client(tokens, "pacs")


def test_every_route_says_who_may_take_it() -> None:
    names = {route.name for router in (*ROUTERS, *PAGES) for route in router.routes}  # type: ignore[attr-defined]
    assert names == rights.MAY.keys()


CASE = "/v1/cases/00000000-0000-0000-0000-000000000000"
MAY: dict[Role, dict[tuple[str, str], bool]] = {
    Role.SYSTEM: {("GET", CASE): True, ("POST", "/v1/cases"): True, ("GET", f"{CASE}/identity"): False},
    Role.CLINICIAN: {("GET", CASE): True, ("POST", "/v1/cases"): True, ("GET", f"{CASE}/identity"): True},
    Role.AUDITOR: {("GET", f"{CASE}/timeline"): True, ("POST", "/v1/cases"): False, ("GET", f"{CASE}/identity"): False},
    Role.RESEARCHER: {("GET", "/v1/models"): True, ("GET", "/v1/cases"): False, ("GET", f"{CASE}/report"): False},
}


def test_a_role_may_do_what_is_its_own_and_nothing_else(settings: Settings, tokens: Path) -> None:
    keys = {role: add_client(tokens, role.value, role) for role in MAY}
    with running_api(settings.model_copy(update={"tokens_file": tokens})) as api:
        for role, expected in MAY.items():
            for (method, path), allowed in expected.items():
                answer = api.request(method, path, headers={"Authorization": f"Bearer {keys[role]}"})
                told = answer.json().get("code") if answer.status_code >= 400 else ""
                assert (told != "role_not_allowed") is allowed, (role, method, path)
                assert (answer.status_code == 403) is not allowed


def test_roles_of_older_files_are_understood(tokens: Path) -> None:
    feed, ward = (hashlib.sha256(token).hexdigest() for token in (b"a", b"b"))
    tokens.write_text(f"feed {feed}\nward {ward} reviewer\n")
    tokens.chmod(0o600)
    assert Tokens.read(tokens).client("Bearer a") == Client("feed", Role.SYSTEM)
    assert Tokens.read(tokens).client("Bearer b") == Client("ward", Role.CLINICIAN)
    tokens.write_text(f"feed {feed} emperor\n")
    with pytest.raises(ConfigError):
        Tokens.read(tokens)


@pytest.mark.parametrize(("content", "mode"), [("", 0o600), ("pacs\n", 0o600), (f"pacs {'0' * 64}\n", 0o644)])
def test_file_that_is_open_to_others_or_unclear_is_refused(tokens: Path, content: str, mode: int) -> None:
    tokens.write_text(content)
    tokens.chmod(mode)
    with pytest.raises(ConfigError):
        Tokens.read(tokens)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"host": "0.0.0.0"}, "--host: authentication is off"),
        ({"database_url": "postgresql://u:secret@127.0.0.1:1/x"}, "127.0.0.1:1/x: the database cannot be reached"),
        ({"database_url": "secret"}, "--database-url: is not a URL"),
        ({"artifact": Path("/nowhere")}, "/nowhere/manifest.json: cannot be read"),
        ({"artifact": None}, "--registry: no model is named"),
        ({"allow_unpromoted": False}, "the artifact was not promoted"),
        ({"artifact": None, "registry": Path("/nowhere")}, "/nowhere: nothing was promoted yet"),
        ({"tokens_file": Path("/nowhere")}, "/nowhere: cannot be read"),
        ({"data": Path("/dev/null/x")}, "Not a directory"),
    ],
)
def test_start_is_refused_with_what_is_wrong(settings: Settings, given: dict[str, Any], said: str) -> None:
    with pytest.raises((ClinimmError, OSError), match=said) as refusal:
        serve(settings.model_copy(update=given), with_worker=False, announce=print)
    assert "secret" not in str(refusal.value)


def test_command_refuses_without_a_traceback(settings: Settings) -> None:
    options = ["--data", str(settings.data), "--artifact", "/nowhere"]
    done = subprocess.run([sys.executable, "-m", "services.cli", "serve", *options], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: /nowhere/manifest.json: cannot be read")
    assert "Traceback" not in done.stderr


def test_request_id_is_taken_over_or_made(api: httpx.Client) -> None:
    assert api.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert len(api.get("/healthz", headers={"X-Request-Id": "no good"}).headers["x-request-id"]) == 32

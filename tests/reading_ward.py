"""Readers and what they read: an API with clients of each role, answers as a worker stores them, and forms in two steps
as a browser without scripts sends them."""

import html
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from service_answers import content, record
from service_processes import running_api
from service_requests import case, post

from services.auth import Role, add_client
from services.db import Database
from services.reports import service as reports
from services.reports.store import StoredReport
from services.results import service as results
from services.settings import Settings

RECORD, PAGE = "a" * 64, "b" * 64
INPUT = re.compile(r'<input type="(hidden|checkbox)" name="([\w-]+)" value="([^"]*)"( checked)?>')
ROLES = {"ann": Role.CLINICIAN, "ben": Role.CLINICIAN, "audit": Role.AUDITOR, "feed": Role.SYSTEM}


@dataclass
class Ward:
    """An API with two clinicians, an auditor and a sender; results as a worker stores them."""

    url: str
    database: Database
    tokens: dict[str, str]

    def ask(self, who: str, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} | given.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **given)

    def signed_in(self, who: str) -> httpx.Client:
        client = httpx.Client(base_url=self.url, timeout=30)
        assert client.post("/login", data={"token": self.tokens[who]}).status_code == 303
        return client

    def sent(self, content: dict[str, Any], *films: bytes) -> httpx.Response:
        """What the sender of a new case is told."""
        headers = {"Authorization": f"Bearer {self.tokens['feed']}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=30) as client:
            return post(client, content, [("image", film) for film in films])

    def answered(self, *, patient: str = "p-1", report: bool = True, **facts: Any) -> str:
        """The id of a case whose first result, and report, are there."""
        shown = self.sent(case(uuid.uuid4().hex, patient={"id": patient})).json()
        self.answer(shown["id"], report=report, **facts)
        return str(shown["id"])

    def answer(self, case_id: str, *, report: bool = True, crosses_signed: bool = False, **changes: Any) -> None:
        """One more result, of another model where there is one already."""
        shown = self.ask("feed", "GET", f"/v1/cases/{case_id}").json()
        with self.database.write() as session:
            told = record(case_id) | changes
            result_id = results.keep(session, content(shown), told, ["created"], crosses_signed=crosses_signed)
            assert result_id is not None
            if report:
                reports.keep(session, StoredReport(result_id, RECORD, PAGE))

    def say(self, who: str, case_id: str, said: dict[str, Any], version: int = 1, key: str = "") -> httpx.Response:
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.ask(who, "POST", f"/v1/cases/{case_id}/results/{version}/reviews", json=said, headers=headers)

    def reviews(self, who: str, case_id: str) -> dict[str, Any]:
        return dict(self.ask(who, "GET", f"/v1/cases/{case_id}/reviews").json())


@contextmanager
def reading_ward(database_url: str, model: Path, folder: Path) -> Iterator[Ward]:
    """Over a migrated database."""
    tokens = {name: add_client(folder / "tokens", name, role) for name, role in ROLES.items()}
    settings = Settings(data=folder, artifact=model, allow_unpromoted=True, database_url=database_url)
    database = Database(database_url)
    with running_api(settings.model_copy(update={"tokens_file": folder / "tokens"})) as api:
        yield Ward(str(api.base_url), database, tokens)
    database.close()


def fields(page: httpx.Response, action: str) -> dict[str, str]:
    """What the form that posts there would send without being touched."""
    [form] = re.findall(rf'<form method="post" action="{action}".*?</form>', page.text, re.DOTALL)
    return {name: html.unescape(value) for kind, name, value, on in INPUT.findall(form) if kind == "hidden" or on}


def drafted(client: httpx.Client, at: str, **said: str) -> httpx.Response:
    """The first step of the form there."""
    shown = client.get(at)
    assert shown.status_code == 200, shown.text
    return client.post(at, data=fields(shown, at) | said)


def confirmed(client: httpx.Client, at: str, step: httpx.Response, **changes: str) -> httpx.Response:
    """The second step, as the first one drew it."""
    return client.post(f"{at}/confirm", data=fields(step, f"{at}/confirm") | changes)

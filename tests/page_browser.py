"""What tests of pages share: a service that has cases, and what a browser does and says on a page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from service_processes import await_report
from service_requests import post

from services.auth import Role

GRAVE = ("serious", "critical")


@dataclass
class Stock:
    """A running service. `cases` are ids by what they are: whole, no_labs, late_labs (two versions), no_film, held."""

    url: str
    data: Path
    tokens: dict[str, str]
    cases: dict[str, str] = field(default_factory=dict)

    def api(self, role: Role = Role.CLINICIAN) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, headers={"Authorization": f"Bearer {self.tokens[role]}"})


def sent(client: httpx.Client, content: dict[str, Any], images: Any = (), *, answered: bool = True) -> str:
    """The id of a new case, once its report is there."""
    answer = post(client, content, images)
    if not answered:
        [found] = client.get("/v1/cases", params={"reference": content["reference"]}).json()["cases"]
        return str(found["id"])
    assert answer.status_code == 202, answer.text
    case_id = str(answer.json()["id"])
    assert await_report(client, case_id, seconds=240).status_code == 200
    return case_id


def grave_faults(page: Page) -> list[str]:
    """What axe-core finds serious or critical on the page as it is shown now."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in GRAVE]


def grave_by_day_and_night(page: Page) -> list[str]:
    """The same in both color schemes; dark is left on."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += grave_faults(page)
    return found


def sign_in(page: Page, url: str, token: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/login" not in url)


def tab_to(page: Page, selector: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")

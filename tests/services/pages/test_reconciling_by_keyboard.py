"""A clinician at a browser: a held case decided from the worklist by keyboard alone, in both schemes; and without
JavaScript."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_browser import grave_faults
from playwright.sync_api import Browser, Page
from reading_ward import Ward, reading_ward
from service_requests import case, film, post

pytestmark = pytest.mark.slow


@pytest.fixture
def ward(migrated_sqlite: Path, described_model: Path, tmp_path: Path) -> Iterator[Ward]:
    (tmp_path / "clinimm.db").write_bytes(migrated_sqlite.read_bytes())
    with reading_ward(f"sqlite:///{tmp_path / 'clinimm.db'}", described_model, tmp_path) as made:
        yield made


def held(ward: Ward) -> str:
    """The id of a case of p-1 whose films are of p-2 and p-3."""
    content = case("order-held", patient={"id": "p-1", "name": "Smith^Anna", "birth_date": "1950-03-01"})
    films = [("image", film(1, patient="p-2")), ("image", film(2, patient="p-3"))]
    headers = {"Authorization": f"Bearer {ward.tokens['feed']}"}
    with httpx.Client(base_url=ward.url, headers=headers, timeout=30) as client:
        return post(client, content, films).headers["location"].rpartition("/")[2]


def sign_in(page: Page, ward: Ward, who: str) -> None:
    page.goto(f"{ward.url}/login")
    page.get_by_label("Token").fill(ward.tokens[who])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/worklist")


def check_both_schemes(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert grave_faults(page) == []


def tab_to(page: Page, selector: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def test_held_case_is_decided_by_keyboard_alone(page: Page, ward: Ward) -> None:
    case_id = held(ward)
    sign_in(page, ward, "ann")
    check_both_schemes(page)
    tab_to(page, f"a[href='/cases/{case_id}/reconcile']")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Whose are the parts").wait_for()
    check_both_schemes(page)
    tab_to(page, "form.reconcile button")
    page.keyboard.press("Enter")  # nothing was chosen: the browser says so, and sends nothing
    assert page.evaluate("document.activeElement.name") == "decision"
    page.keyboard.press("ArrowDown")
    tab_to(page, "form.reconcile button")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    check_both_schemes(page)
    for number in (0, 1):
        tab_to(page, f"input[name=leave-{number}]")
        page.keyboard.press("Space")
    tab_to(page, "textarea[name=reason]")
    page.keyboard.type("Both films carry another name band.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Leave these parts out?").wait_for()
    check_both_schemes(page)
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}").json()["state"] == "held"
    tab_to(page, "form[action$=confirm] button")
    page.keyboard.press("Enter")
    page.get_by_text("The answer is being made").wait_for()
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}").json()["state"] == "pending"


def test_reconciling_needs_no_script_and_little_width(browser: Browser, ward: Ward) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 640})
    page, case_id = context.new_page(), held(ward)
    sign_in(page, ward, "ben")
    page.goto(f"{ward.url}/cases/{case_id}")
    page.get_by_role("link", name="compare what the parts say").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("All parts are of one patient").check()
    page.get_by_label("Reason").fill("One patient, renamed twice.")
    page.get_by_role("button", name="See what will be done").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Change it").click()
    assert page.get_by_label("Reason").input_value() == "One patient, renamed twice."
    page.get_by_role("button", name="See what will be done").click()
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text("The answer is being made").wait_for()
    context.close()

"""The worklist as a person uses it: by keyboard, without JavaScript, and by an address that can be passed on."""

from collections.abc import Callable

import httpx
import pytest
from page_browser import Stock, grave_by_day_and_night
from playwright.sync_api import Browser, Page

from services.auth import Role


@pytest.mark.slow
def test_worklist_is_narrowed_in_place_and_a_case_opened_by_keyboard(
    stock: Stock, signed_in: Callable[[Role], Page]
) -> None:
    page = signed_in(Role.AUDITOR)
    assert page.url.endswith("/worklist")
    assert grave_by_day_and_night(page) == []
    assert page.locator("#cases tbody tr").count() >= len(stock.cases)
    page.evaluate("window.stays = true")  # a page that is loaded anew forgets it
    page.get_by_label("Missing input").select_option("cxr")
    page.wait_for_url("**missing=cxr**")
    link = page.get_by_role("link", name=stock.cases["no_film"][:8])
    link.wait_for()
    assert page.get_by_role("link", name=stock.cases["whole"][:8]).count() == 0
    assert page.evaluate("window.stays") is True
    page.get_by_role("region", name="Table of cases").focus()
    for _ in range(page.locator("#cases a").count()):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/cases/{stock.cases['no_film']}")


@pytest.mark.slow
def test_worklist_works_without_javascript_and_when_narrow(stock: Stock, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 640, "height": 900})
    page = context.new_page()
    page.goto(f"{stock.url}/worklist?reliability=none")
    page.get_by_label("Token").fill(stock.tokens[Role.CLINICIAN])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/worklist?reliability=none")
    page.get_by_text("No case matches").wait_for()
    page.get_by_label("Explanations").select_option("")
    page.get_by_label("Held").select_option("yes")
    page.get_by_role("button", name="Show").click()
    rows = [row.inner_text() for row in page.locator("#cases tbody tr").all()]
    assert any(stock.cases["held"][:8] in row for row in rows)
    assert all("identity conflict" in row and "%" not in row for row in rows)
    context.close()


def test_filter_that_cannot_be_meant_is_told_and_kept_out(api: httpx.Client) -> None:
    api.post("/login", data={"token": "", "next": "/"})
    shown = api.get("/worklist", params={"since": "<b>soon", "answer": "maybe", "other": "x"})
    assert shown.status_code == 200
    assert "year-month-day" in shown.text
    assert "Choose one of: flagged, not flagged" in shown.text
    assert "soon" not in shown.text
    assert api.get("/worklist", params={"cursor": "x"}).status_code == 422


def test_answers_are_called_as_on_every_page_and_old_addresses_are_understood(api: httpx.Client) -> None:
    api.post("/login", data={"token": "", "next": "/"})
    for answer in ("negative", "not_flagged"):
        assert '<option value="not_flagged" selected>not flagged<' in api.get(f"/worklist?answer={answer}").text
        assert "answer: <bdi>not flagged</bdi>" in api.get(f"/samples/new?answer={answer}").text

"""A sample is drawn by who audits, from the list that was looked at, with and without JavaScript."""

from collections.abc import Callable

import pytest
from page_browser import Stock, grave_by_day_and_night, grave_faults
from playwright.sync_api import Browser, Page

from services.auth import Role


@pytest.mark.slow
def test_auditor_draws_a_sample_of_what_the_worklist_shows(stock: Stock, signed_in: Callable[[Role], Page]) -> None:
    page = signed_in(Role.AUDITOR)
    page.goto(f"{stock.url}/worklist?missing=cxr")
    page.get_by_role("link", name="Draw a sample").click()
    page.wait_for_url("**/samples/new?missing=cxr")
    page.get_by_role("radio", name="risk weighted").check()
    page.get_by_label("Results to draw").fill("5")
    assert grave_by_day_and_night(page) == []
    page.get_by_role("button", name="Draw", exact=True).click()
    page.get_by_role("heading", name="Sample of").wait_for()
    assert page.get_by_role("link", name=stock.cases["no_film"][:8]).count() == 1
    assert grave_faults(page) == []
    page.get_by_role("link", name="Samples").click()
    page.get_by_text("0 of").first.wait_for()
    assert grave_faults(page) == []


@pytest.mark.slow
def test_form_without_javascript_says_what_to_mend(stock: Stock, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stock.url}/login?next=/samples/new")
    page.get_by_label("Token").fill(stock.tokens[Role.CLINICIAN])
    page.get_by_role("button", name="Sign in").click()
    page.locator("form[action='/samples']").evaluate("form => { form.noValidate = true }")
    page.get_by_label("Results to draw").fill("0")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.get_by_role("alert").wait_for()
    page.get_by_text("Give a whole number from 1 to").wait_for()
    context.close()

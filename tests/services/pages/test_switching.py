"""A person stops a model at a browser, by keyboard alone: what is sent then waits, and is answered in the end."""

import time

import pytest
from page_browser import Stock, grave_by_day_and_night, sent, sign_in, tab_to
from playwright.sync_api import Page
from service_requests import case

from services.auth import Role

pytestmark = pytest.mark.slow


def test_model_is_stopped_by_keyboard_and_what_is_sent_waits(page: Page, stock: Stock) -> None:
    before = next(iter(stock.cases.values()))
    sign_in(page, stock.url, stock.tokens[Role.CLINICIAN])
    page.goto(f"{stock.url}/models")
    page.locator("dl a").first.click()
    tab_to(page, "details summary")
    page.keyboard.press("Enter")
    tab_to(page, "select[name=reason]")
    assert grave_by_day_and_night(page) == []
    tab_to(page, "form[action$=switch] button")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("Stopped: none of its answers are given.").wait_for()
    assert grave_by_day_and_night(page) == []
    try:
        with stock.api(Role.SYSTEM) as client:
            case_id = sent(client, case("while-stopped"), answered=False)
            time.sleep(3)
            for one in (case_id, before):
                refused = client.get(f"/v1/cases/{one}/results")
                assert (refused.status_code, refused.json()["code"]) == (503, "model_stopped")
        with stock.api(Role.AUDITOR) as client:
            assert client.get(f"/v1/cases/{case_id}/results").json()["state"] == "pending"
            assert client.get(f"/v1/cases/{before}/results").json()["results"]
        page.goto(f"{stock.url}/cases/{before}/results/1")
        page.get_by_role("alert").get_by_text("The model behind this report is stopped.").wait_for()
        assert grave_by_day_and_night(page) == []
    finally:
        page.goto(f"{stock.url}/models")
        page.locator("dl a").first.click()
        tab_to(page, "form[action$=switch] button")
        page.keyboard.press("Enter")
        page.get_by_text("Stop this model").wait_for()
    with stock.api(Role.SYSTEM) as client:
        deadline = time.monotonic() + 60
        while (found := client.get(f"/v1/cases/{case_id}/results").json())["state"] == "pending":
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert found["state"] == "done"

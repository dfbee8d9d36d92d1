"""A real report is withdrawn at a browser, by keyboard alone; its page says so, and all is proven as before."""

from pathlib import Path

import pytest
from page_browser import Stock, grave_by_day_and_night, sent, sign_in, tab_to
from playwright.sync_api import Page
from service_requests import case, cohort_film

from services.auth import Role

pytestmark = pytest.mark.slow


def test_report_is_withdrawn_by_keyboard_and_told_of_at_every_door(page: Page, stock: Stock, tiny_cohort: Path) -> None:
    with stock.api() as client:
        case_id = sent(client, case("to-withdraw"), [("image", cohort_film(tiny_cohort, 5))])
    at = f"{stock.url}/cases/{case_id}/results/1"
    sign_in(page, stock.url, stock.tokens[Role.AUDITOR])
    page.goto(at)
    record = page.locator("code.digest").inner_text()
    tab_to(page, "a[href$=withdraw]")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Withdraw a report").wait_for()
    assert grave_by_day_and_night(page) == []
    tab_to(page, "textarea[name=reason]")
    page.keyboard.type("The film is of another patient.")
    tab_to(page, "form.review button")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Withdraw this report?").wait_for()
    assert grave_by_day_and_night(page) == []
    tab_to(page, "form[action$=confirm] button")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("Withdrawn: nothing may rest on this report.").wait_for()
    assert page.get_by_text("The film is of another patient.").is_visible()
    assert page.locator("code.digest").inner_text() == record
    assert page.locator("a[href$='report.pdf']").count() == 0
    assert grave_by_day_and_night(page) == []
    with stock.api() as client:
        gone = client.get(f"/v1/cases/{case_id}/report", headers={"Accept": "application/json"})
        assert (gone.status_code, gone.json()["code"]) == (410, "report_withdrawn")
        kept = client.get(f"/v1/cases/{case_id}/report?format=json&withdrawn=true")
        assert (kept.status_code, kept.headers["Content-Type"]) == (200, "application/json")

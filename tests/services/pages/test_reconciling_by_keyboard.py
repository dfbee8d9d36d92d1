"""A clinician at a browser: a held case decided from the worklist by keyboard alone, in both schemes; and without
JavaScript."""

import pytest
from page_browser import grave_by_day_and_night, sign_in, tab_to
from playwright.sync_api import Browser, Page
from reading_ward import Ward
from service_requests import case, film

pytestmark = pytest.mark.slow


def held(ward: Ward) -> str:
    """The id of a case of p-1 whose films are of p-2 and p-3."""
    content = case("order-held", patient={"id": "p-1", "name": "Smith^Anna", "birth_date": "1950-03-01"})
    answer = ward.sent(content, film(1, patient="p-2"), film(2, patient="p-3"))
    return answer.headers["location"].rpartition("/")[2]


def test_held_case_is_decided_by_keyboard_alone(page: Page, ward: Ward) -> None:
    case_id = held(ward)
    sign_in(page, ward.url, ward.tokens["ann"])
    assert grave_by_day_and_night(page) == []
    tab_to(page, f"a[href='/cases/{case_id}/reconcile']")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Whose are the parts").wait_for()
    assert grave_by_day_and_night(page) == []
    tab_to(page, "form.reconcile button")
    page.keyboard.press("Enter")  # nothing was chosen: the browser says so, and sends nothing
    assert page.evaluate("document.activeElement.name") == "decision"
    page.keyboard.press("ArrowDown")
    tab_to(page, "form.reconcile button")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert grave_by_day_and_night(page) == []
    for number in (0, 1):
        tab_to(page, f"input[name=leave-{number}]")
        page.keyboard.press("Space")
    tab_to(page, "textarea[name=reason]")
    page.keyboard.type("Both films carry another name band.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Leave these parts out?").wait_for()
    assert grave_by_day_and_night(page) == []
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}").json()["state"] == "held"
    tab_to(page, "form[action$=confirm] button")
    page.keyboard.press("Enter")
    page.get_by_text("The answer is being made").wait_for()
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}").json()["state"] == "pending"


def test_reconciling_needs_no_script_and_little_width(browser: Browser, ward: Ward) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 640})
    page, case_id = context.new_page(), held(ward)
    sign_in(page, ward.url, ward.tokens["ben"])
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

"""A reader at a browser: the whole review by keyboard alone, in both schemes, on a narrow page, without JavaScript."""

import pytest
from page_browser import grave_by_day_and_night, sign_in, tab_to
from playwright.sync_api import Browser, Page
from reading_ward import Ward
from service_answers import record

pytestmark = pytest.mark.slow


def test_review_is_written_confirmed_and_kept_by_keyboard_alone(page: Page, ward: Ward) -> None:
    two = [record("x")["targets"][0], record("x")["targets"][0] | {"target": "edema", "decision": False}]
    at = f"{ward.url}/cases/{ward.answered(targets=two)}/results/1/review"
    sign_in(page, ward.url, ward.tokens["ann"])
    page.goto(at)
    assert grave_by_day_and_night(page) == []
    tab_to(page, "input[name=f0-verdict]")
    page.keyboard.press("Space")
    assert not page.locator("select[name=f0-reason]").is_visible()  # nothing is to be explained
    tab_to(page, "input[name=f1-verdict]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    tab_to(page, "select[name=f1-answer]")
    page.keyboard.type("uncl")
    tab_to(page, "select[name=f1-reason]")
    page.keyboard.type("Later")
    tab_to(page, "textarea[name=f1-text]")
    page.keyboard.type("CT of the same day")
    assert grave_by_day_and_night(page) == []
    tab_to(page, "input[name=verdict]")
    page.keyboard.press("Space")
    tab_to(page, "form.review button")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Sign off this answer?").wait_for()
    assert grave_by_day_and_night(page) == []
    assert ward.reviews("ann", at.split("/")[4])["reviews"] == []
    tab_to(page, "form[action$=confirm] button")
    page.keyboard.press("Enter")
    page.get_by_text("Your review of").wait_for()
    assert grave_by_day_and_night(page) == []
    [kept] = ward.reviews("ann", at.split("/")[4])["reviews"]
    assert [(one["verdict"], one["stands"], one["text"]) for one in kept["findings"]] == [
        ("accept", "true", ""),
        ("modify", "unclear", "CT of the same day"),
    ]


def test_faults_are_led_to_and_read_on_a_narrow_page(page: Page, ward: Ward) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    sign_in(page, ward.url, ward.tokens["ann"])
    page.goto(f"{ward.url}/cases/{ward.answered()}/results/1/review")
    page.locator("input[name=f0-verdict][value=reject]").check()
    page.locator("input[name=verdict][value=rejected]").check()
    page.locator("textarea[name=reason]").fill("rotated")
    page.get_by_role("button", name="See what will be signed").click()
    page.get_by_role("alert").wait_for()
    page.get_by_role("alert").get_by_role("link").click()
    assert page.evaluate("document.activeElement.name") == "f0-reason"
    assert page.locator("select[name=f0-reason]").get_attribute("aria-describedby") == "f0-reason-fault"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert grave_by_day_and_night(page) == []


def test_review_needs_no_script(browser: Browser, ward: Ward) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, ward.url, ward.tokens["ben"])
    page.goto(f"{ward.url}/cases/{ward.answered()}/results/1/review")
    page.locator("input[name=f0-verdict][value=accept]").check()
    page.locator("input[name=verdict][value=signed_off]").check()
    page.get_by_role("button", name="See what will be signed").click()
    page.get_by_role("button", name="Sign off").click()
    page.get_by_text("Your review of").wait_for()
    context.close()

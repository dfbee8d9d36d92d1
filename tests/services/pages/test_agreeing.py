"""The page of agreement: empty, few and many answers told as what they are, and read without a fault."""

import pytest
from page_browser import grave_by_day_and_night, sign_in
from playwright.sync_api import Page
from reading_ward import Ward

ACCEPT = {"target": "pneumonia", "verdict": "accept"}
TURN = {"target": "pneumonia", "verdict": "modify", "answer": "false", "reason": "not_seen_on_image"}


def page_for(ward: Ward, who: str) -> str:
    shown = ward.signed_in(who).get("/agreement")
    assert shown.status_code == 200
    return shown.text


def read_twice(ward: Ward, count: int) -> None:
    """Of every three answers ben turns one that ann accepts."""
    for number in range(count):
        case_id = ward.answered(patient=f"p-{number}")
        for who, finding in (("ann", ACCEPT), ("ben", ACCEPT if number % 3 else TURN)):
            assert ward.say(who, case_id, {"verdict": "signed_off", "findings": [finding]}).status_code == 201


def test_what_cannot_be_told_is_said(ward: Ward) -> None:
    assert "nothing to measure" in page_for(ward, "audit")
    ward.say("ann", ward.answered(), {"verdict": "signed_off"})
    shown = page_for(ward, "audit")
    assert "how far they agree cannot be told" in shown
    assert "No review has said anything of single findings yet" in shown


def test_few_answers_tell_a_blind_reader_nothing(ward: Ward) -> None:
    read_twice(ward, 1)
    assert "Withheld" in page_for(ward, "audit")
    assert "yes to no" not in page_for(ward, "audit")
    assert "yes to no: 1" in page_for(ward, "ann")


@pytest.mark.slow
def test_figures_are_read_in_both_schemes_and_on_a_narrow_page(page: Page, ward: Ward) -> None:
    read_twice(ward, 9)
    sign_in(page, ward.url, ward.tokens["audit"])
    page.goto(f"{ward.url}/agreement")
    [row] = [one for one in page.get_by_role("row").all() if one.inner_text().startswith("pneumonia")][:1]
    told = row.inner_text().split()
    assert told[1:3] == ["9", "9"]
    assert "66.7" in told
    assert "0.00" in told  # as much as by chance: one of them always said yes
    assert page.get_by_text("yes to no: 3").is_visible()
    assert grave_by_day_and_night(page) == []
    page.set_viewport_size({"width": 640, "height": 800})
    assert page.evaluate("[...document.querySelectorAll('.wide')].every(one => one.scrollWidth <= one.clientWidth)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

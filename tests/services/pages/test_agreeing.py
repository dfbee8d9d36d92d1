"""The page of agreement: empty, few and many answers told as what they are, and read without a fault."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_browser import grave_faults
from playwright.sync_api import Page
from reading_ward import Ward, reading_ward

ACCEPT = {"target": "pneumonia", "verdict": "accept"}
TURN = {"target": "pneumonia", "verdict": "modify", "answer": "false", "reason": "not_seen_on_image"}


@pytest.fixture
def ward(migrated_sqlite: Path, described_model: Path, tmp_path: Path) -> Iterator[Ward]:
    (tmp_path / "clinimm.db").write_bytes(migrated_sqlite.read_bytes())
    with reading_ward(f"sqlite:///{tmp_path / 'clinimm.db'}", described_model, tmp_path) as made:
        yield made


def page_for(ward: Ward, who: str) -> str:
    with httpx.Client(base_url=ward.url, timeout=30) as client:
        client.post("/login", data={"token": ward.tokens[who]})
        shown = client.get("/agreement")
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
    page.goto(f"{ward.url}/login")
    page.get_by_label("Token").fill(ward.tokens["audit"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/login" not in url)
    page.goto(f"{ward.url}/agreement")
    [row] = [one for one in page.get_by_role("row").all() if one.inner_text().startswith("pneumonia")][:1]
    told = row.inner_text().split()
    assert told[1:3] == ["9", "9"]
    assert "66.7" in told
    assert "0.00" in told  # as much as by chance: one of them always said yes
    assert page.get_by_text("yes to no: 3").is_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert grave_faults(page) == []
    page.set_viewport_size({"width": 640, "height": 800})
    assert page.evaluate("[...document.querySelectorAll('.wide')].every(one => one.scrollWidth <= one.clientWidth)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

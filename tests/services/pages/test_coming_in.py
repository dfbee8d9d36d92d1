"""A person at a browser comes in and leaves, by keyboard alone."""

import pytest
from page_browser import Stock, grave_faults
from playwright.sync_api import Page

from services.auth import Role


@pytest.mark.slow
def test_login_works_by_keyboard_and_has_no_grave_fault(page: Page, stock: Stock) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{stock.url}/login")
        assert grave_faults(page) == []
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    page.get_by_label("Token").focus()
    page.keyboard.type(stock.tokens[Role.RESEARCHER])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login" not in url)

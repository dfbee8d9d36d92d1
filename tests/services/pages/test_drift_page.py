"""Drift is for who sees no case: no id, and no count that is small."""

from collections.abc import Callable

import pytest
from page_browser import Stock, grave_by_day_and_night, grave_faults
from playwright.sync_api import Page

from services.auth import Role


@pytest.mark.slow
def test_researcher_is_told_no_case_and_no_small_count(stock: Stock, signed_in: Callable[[Role], Page]) -> None:
    page = signed_in(Role.RESEARCHER)
    page.get_by_role("link", name="Drift").click()
    page.get_by_role("heading", name="Drift").wait_for()
    assert grave_faults(page) == []
    assert not any(case_id[:8] in page.content() for case_id in stock.cases.values())


@pytest.mark.slow
def test_each_chart_has_its_numbers_in_a_table(stock: Stock, signed_in: Callable[[Role], Page]) -> None:
    page = signed_in(Role.AUDITOR)
    page.goto(f"{stock.url}/drift?by=day&first=10")
    charts = page.locator(".chart-part")
    assert charts.count() >= 6
    assert page.locator(".chart-part table").count() == charts.count()
    assert grave_by_day_and_night(page) == []
    page.goto(f"{stock.url}/drift?first=x")
    page.get_by_text("Give a whole number from").wait_for()

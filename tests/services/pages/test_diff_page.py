"""Two answers side by side: what came, what it changed, and by which stage the records came apart."""

from collections.abc import Callable

import pytest
from page_browser import Stock, grave_by_day_and_night
from playwright.sync_api import Page

from clinimm.report.contents import contents
from clinimm.report.schema import SCHEMA
from services.auth import Role
from services.pages.diff import Pair, paired, stages

RECORD = {
    "schema": SCHEMA,
    "contents": contents(),
    "inputs": {"cxr": {"kind": "image", "sha256": "a"}},
    "explanations": [{"target": "x", "logit": 0.5}],
    "prediction": {"targets": [{"target": "x", "probability": 0.5}]},
}


def test_what_one_answer_alone_tells_is_paired_with_nothing() -> None:
    assert paired({"a": 1, "b": 2}, {"c": 4, "b": 3}) == [Pair("a", 1, None), Pair("b", 2, 3), Pair("c", None, 4)]
    assert paired(None, {"a": 1}) == [Pair("a", None, 1)]


def test_stages_name_the_cause_before_its_effects_and_nothing_where_nothing_differs() -> None:
    other = RECORD | {
        "inputs": {"cxr": {"kind": "image", "sha256": "b"}},
        "explanations": [{"target": "x", "logit": 0.7}],
        "prediction": {"targets": [{"target": "x", "probability": 0.6}]},
    }
    found = [(stage.name, stage.pointers) for stage in stages(RECORD, other)]
    assert found == [
        ("input bytes", ("/inputs/cxr/sha256",)),
        ("answer", ("/prediction/targets/0/probability",)),
        ("explanation", ("/explanations/0/logit",)),
    ]
    assert list(stages(RECORD, RECORD)) == []


@pytest.mark.slow
def test_a_late_panel_is_what_came_and_its_bytes_are_the_cause(stock: Stock, signed_in: Callable[[Role], Page]) -> None:
    page = signed_in(Role.AUDITOR)
    case_id = stock.cases["late_labs"]
    page.goto(f"{stock.url}/cases/{case_id}")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/diff?first=1&second=2")
    row = page.get_by_role("table").nth(2).get_by_role("row", name="labs")
    assert "+ came" in row.inner_text()
    with stock.api() as client:
        newest, _ = client.get(f"/v1/cases/{case_id}/results").json()["results"]
    findings = page.get_by_role("table").nth(1)
    for target, change in newest["changes"].items():
        told = findings.get_by_role("row", name=target.replace("_", " ")).inner_text()
        assert f"{change['delta']:+.3f}".replace("-", "\N{MINUS SIGN}") in told
        assert ("turned" in told) == change["crossed"]
    assert page.locator(".stages summary").first.inner_text().startswith("input bytes")
    assert grave_by_day_and_night(page) == []
    page.set_viewport_size({"width": 640, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_versions_that_are_not_there_are_a_page_that_says_so(stock: Stock, signed_in: Callable[[Role], Page]) -> None:
    page = signed_in(Role.AUDITOR)
    base = f"{stock.url}/cases/{stock.cases['whole']}/diff"
    for query, status in (("?first=1&second=9", 404), ("?first=0&second=1", 422), ("", 422)):
        answer = page.request.get(base + query)
        assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")

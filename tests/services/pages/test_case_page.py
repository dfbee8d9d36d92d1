"""The page of a case: what it is, what it was answered, and nothing of an answer while it is held."""

import io
import re
import zipfile

import httpx
import pytest
from page_browser import Stock, grave_faults, sent
from playwright.sync_api import Page
from service_requests import case, film, post

from services.auth import Role
from services.cases.answers import PartOut
from services.pages.case import act, alike, told

NOWHERE = "00000000-0000-0000-0000-000000000000"
NASTY = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egnol"


@pytest.fixture
def local(api: httpx.Client) -> httpx.Client:
    """Signed in to a service without clients; no worker answers its cases."""
    assert api.post("/login", data={"token": ""}).status_code == 303
    return api


def taken(client: httpx.Client, **changes: object) -> str:
    return str(post(client, case(**changes)).json()["id"])


def test_case_that_waits_says_so_and_looks_again_with_and_without_script(local: httpx.Client) -> None:
    case_id = taken(local)
    shown = local.get(f"/cases/{case_id}")
    assert shown.status_code == 200
    assert "The answer is being made" in shown.text
    assert f'hx-get="/cases/{case_id}" hx-trigger="every' in shown.text
    assert f'<a href="/cases/{case_id}">Look again</a>' in shown.text


def test_case_is_taken_along_with_what_proves_it(local: httpx.Client) -> None:
    case_id = taken(local)
    path = f"/cases/{case_id}/bundle.zip"
    assert f'<a href="{path}">' in local.get(f"/cases/{case_id}").text
    given = local.get(path)
    assert (given.status_code, given.headers["content-type"]) == (200, "application/zip")
    assert {"events.jsonl", "verify.py"} <= set(zipfile.ZipFile(io.BytesIO(given.content)).namelist())


def test_case_that_is_not_there_is_a_page_that_says_so(local: httpx.Client) -> None:
    for path in (f"/cases/{NOWHERE}", "/cases/x", f"/cases/{NOWHERE}/results/1", f"/cases/{NOWHERE}/results/0"):
        shown = local.get(path)
        assert (shown.status_code, shown.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is no such" in shown.text


def test_what_a_sender_wrote_is_text_and_steers_nothing(local: httpx.Client) -> None:
    case_id = taken(local, reference=NASTY, patient={"id": NASTY[:60]})
    shown = local.get(f"/cases/{case_id}").text
    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    assert "\u202e" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "[U+202E]gnol" in shown


def test_parts_are_told_with_what_became_of_them(local: httpx.Client) -> None:
    labs = [{"name": "crp", "value": 84.5, "unit": "furlong", "collected_at": "2026-01-17T08:00:00+00:00"}]
    case_id = taken(local, labs=labs)
    [refused] = [part for part in local.get(f"/v1/cases/{case_id}").json()["parts"] if part["part"] == "labs/0"]
    assert refused["code"]
    assert f"<code>{refused['code']}</code>" in local.get(f"/cases/{case_id}").text


def test_slices_that_share_a_fate_are_one_line() -> None:
    def part(number: int, code: str = "") -> PartOut:
        return PartOut(part=f"images/{number}", modality="ct", outcome="accepted", code=code)

    rows = alike([*map(part, range(300)), part(300, "file_missing"), *map(part, range(301, 600))])
    assert [(row.first, row.last, row.count) for row in rows] == [
        ("images/0", "images/299", 300),
        ("images/300", "images/300", 1),
        ("images/301", "images/599", 299),
    ]


def test_every_act_has_words_and_no_fact_of_an_answer_is_told() -> None:
    assert act("case.added") == "Inputs added"
    assert act("review.drafted_again") == "Review: drafted again"
    facts = {"flags": ["abstained:x"], "targets": [0.5], "cause": "created", "model": "a" * 64, "parts": list("abcde")}
    assert told(facts) == [("cause", "created"), ("parts", "a, b, c and 2 more"), ("model", "a" * 12)]


@pytest.mark.slow
def test_answers_are_shown_newest_first_and_without_grave_faults(stock: Stock, signed_in) -> None:
    page: Page = signed_in(Role.AUDITOR)
    case_id = stock.cases["late_labs"]
    with stock.api() as client:
        results = client.get(f"/v1/cases/{case_id}/results").json()["results"]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{stock.url}/cases/{case_id}")
        assert grave_faults(page) == []
    newest = page.locator("section.answer")
    assert newest.get_by_role("heading").inner_text() == "Version 2"
    for target in results[0]["targets"]:
        row = newest.get_by_role("row", name=target["target"].replace("_", " "))
        assert (f"{100 * target['probability']:.1f} %" in row.inner_text()) == (target["probability"] is not None)
    older = page.locator("details.answer")
    assert "Version 1, superseded" in older.inner_text()
    older.locator("summary").click()
    assert older.get_by_role("row", name="labs").get_by_text("missing").is_visible()
    assert page.get_by_role("table").last.get_by_text("Inputs added").is_visible()
    page.set_viewport_size({"width": 640, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_case_that_came_to_be_held_shows_no_answer_by_any_page(stock: Stock, signed_in) -> None:
    with stock.api() as client:
        case_id = sent(client, case("held-later"))
        probability = client.get(f"/v1/cases/{case_id}/results").json()["results"][0]["targets"][0]["probability"]
        other = {"inputs": (None, b"{}", "application/json"), "image": ("x.dcm", film(9, patient="p-9"))}
        refused = client.post(f"/v1/cases/{case_id}/inputs", files=other, headers={"Idempotency-Key": case_id})
        assert refused.status_code == 409, refused.text
    page: Page = signed_in(Role.CLINICIAN)
    page.goto(f"{stock.url}/cases/{case_id}")
    said = page.locator("main").inner_text()
    assert "Held: no answer is given out." in said
    assert page.get_by_role("link", name="compare what the parts say").count() == 1
    assert not re.search(r"\d %|flagged", said)
    assert f"{100 * probability:.1f}" not in said
    for path in ("results/1", "results/1/report.json", "results/1/report.pdf"):
        answer = page.request.get(f"{stock.url}/cases/{case_id}/{path}")
        assert answer.status == 409
        assert f"{100 * probability:.1f}" not in answer.text()


@pytest.mark.slow
def test_waiting_page_turns_into_the_answer_by_itself(stock: Stock, signed_in) -> None:
    page: Page = signed_in(Role.CLINICIAN)
    page.set_default_timeout(90_000)
    with stock.api() as client:
        case_id = post(client, case("turns", index_time="2026-01-17T11:00:00+00:00")).json()["id"]
    page.goto(f"{stock.url}/cases/{case_id}")
    page.locator("section.answer").wait_for()
    assert page.locator("#case").get_attribute("hx-get") is None

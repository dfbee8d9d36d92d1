"""What is told of models: all that their files say, as text, and nothing of a case."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_browser import Stock, grave_by_day_and_night, grave_faults
from playwright.sync_api import Page

from services.artifacts import facts
from services.auth import Role
from services.pages.card import Block, Span, blocks


def test_card_is_drawn_as_the_text_it_is() -> None:
    card = "# m\n\n**Not** for `x`.\n\n- a\n- b\n\n| one | two |\n| --- | ---: |\n| 1 | <b>2</b> |\n"
    heading, text, items, table = blocks(card)
    assert heading == Block("heading", (((Span("text", "m"),),),), 1)
    assert [(one.kind, one.text) for one in text.rows[0][0]] == [
        ("strong", "Not"), ("text", " for "), ("code", "x"), ("text", "."),
    ]  # fmt: skip
    assert [row[0][0].text for row in items.rows] == ["a", "b"]
    assert [[cell[0].text for cell in row] for row in table.rows] == [["one", "two"], ["1", "<b>2</b>"]]


@given(st.text(alphabet="#*`|-: ab\n<>", max_size=200))
def test_no_letter_of_a_card_is_dropped(card: str) -> None:
    drawn = "".join(one.text for block in blocks(card) for row in block.rows for line in row for one in line)
    assert [letter for letter in drawn if letter in "ab<>"] == [letter for letter in card if letter in "ab<>"]


def test_model_page_tells_the_artifacts_own_files(api: httpx.Client, described_model: Path) -> None:
    digest = facts.read(described_model).digest
    assert api.post("/login", data={"token": "", "next": "/models"}).headers["location"] == "/models"
    shown = api.get(f"/models/{digest}").text
    for told in (digest, "quickstart", "crp", "tells no calibration", "No subgroup", "how faithful its"):
        assert told in shown
    for other in ("0" * 64, digest[:-1], digest.upper(), "x"):
        assert api.get(f"/models/{other}").status_code == 404


@pytest.mark.slow
def test_researcher_reads_models_and_no_case_and_signs_out(stock: Stock, signed_in: Callable[[Role], Page]) -> None:
    page = signed_in(Role.RESEARCHER)
    assert page.url.endswith("/models")
    nav = page.get_by_role("navigation", name="Pages")
    assert nav.get_by_role("link").all_inner_texts() == ["Models", "Drift"]
    assert grave_faults(page) == []
    page.locator("dl a").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Thresholds and calibration").wait_for()
    assert (
        page.get_by_role("region", name="Explanations").get_by_text("likeness to maps of shuffled weights").is_visible()
    )
    assert grave_by_day_and_night(page) == []
    assert not any(case_id in page.content() for case_id in stock.cases.values())
    assert page.goto(f"{stock.url}/worklist").status == 403
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").wait_for()
    page.goto(f"{stock.url}/models")
    assert "/login" in page.url


def test_facts_without_optional_files_are_empty(described_model: Path, tmp_path: Path) -> None:
    model = facts.read(described_model)
    assert (model.calibration, model.guards, tuple(model.subgroups), model.versions) == ({}, {}, (), {})
    for path in described_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "decision.json").write_text(json.dumps({"guards": {"cxr": {"flag": 1.5, "block": None}}}))
    assert facts.read(tmp_path).guards == {}  # its manifest does not name it
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"]["decision.json"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"versions": {"torch": "2.13.0"}}))
    assert facts.read(tmp_path).guards == {"cxr": {"flag": 1.5, "block": None}}
    assert facts.read(tmp_path).versions == {"torch": "2.13.0"}

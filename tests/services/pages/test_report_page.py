"""The report inside the pages, and its viewer: what it shows lies where it lies in the file, by mouse, keyboard and
without a script."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_browser import Stock, grave_faults, sent, sign_in
from PIL import Image
from playwright.sync_api import Browser, Locator, Page
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from service_requests import case, cohort_film

from services.auth import Role

SignIn = Callable[[Role], Page]
MARKER = (slice(70, 73), slice(11, 16))  # centered on row 71, column 13
BELOW = 45  # the row under which no word stands on the picture
CENTERS = """([canvas, below]) => { // (x, y) of what is bright, and of what is red or blue, in stored pixels
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const { left, top, scaleX, scaleY } = canvas.dataset;
  const sums = { bright: [0, 0, 0], colored: [0, 0, 0] };
  for (let i = 0; i < data.length; i += 4) {
    const [x, y] = [(i / 4) % canvas.width, Math.floor(i / 4 / canvas.width)];
    const at = [(x + 0.5 - left) / scaleX, (y + 0.5 - top) / scaleY];
    const [r, g, b] = data.subarray(i, i + 3);
    if (at[1] < below || at[0] < 0) continue;
    const isWord = r > g && g > b + 8; // yellow
    const weights = { bright: r === g && g === b && r > 200 ? 1 : 0, colored: isWord ? 0 : Math.abs(r - b) };
    for (const [name, weight] of Object.entries(weights)) {
      sums[name][0] += weight * at[0]; sums[name][1] += weight * at[1]; sums[name][2] += weight;
    }
  }
  return Object.fromEntries(Object.entries(sums).map(([name, [x, y, all]]) => [name, [x / all, y / all]]));
}"""


def marked_film(cohort: Path, photometric: str) -> bytes:
    """A film that the guard knows, of an odd size, with one mark that is brighter than all else."""
    made = dcmread(io.BytesIO(cohort_film(cohort)))
    film = made.pixel_array.astype(int)
    seen = film.max() - film if made.PhotometricInterpretation == "MONOCHROME1" else film
    shown = (seen - seen.min()) * 2200 // np.ptp(seen)
    shown = shown[: shown.shape[0] // 2 * 2 - 1, : shown.shape[1] // 2 * 2 - 7]
    shown[MARKER] = 4095
    stored = 4095 - shown if photometric == "MONOCHROME1" else shown
    for tag in ("WindowCenter", "WindowWidth", "PresentationLUTShape"):
        made.pop(tag, None)
    made.PhotometricInterpretation, made.SOPInstanceUID = photometric, generate_uid(entropy_srcs=[photometric])
    made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = *stored.shape, 16, 12, 11
    made.file_meta.TransferSyntaxUID, made.PixelData = ExplicitVRLittleEndian, stored.astype("<u2").tobytes()
    made["PixelData"].VR = "OW"
    whole = io.BytesIO()
    made.save_as(whole)
    return whole.getvalue()


def at_viewer(page: Page, stock: Stock, case_id: str) -> Locator:
    page.goto(f"{stock.url}/cases/{case_id}/results/1#films")
    canvas = page.locator(".viewer canvas").first
    canvas.wait_for()
    return canvas


@pytest.mark.slow
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_film_and_map_lie_on_the_stored_pixels(
    stock: Stock, tiny_cohort: Path, signed_in: SignIn, photometric: str
) -> None:
    with stock.api() as client:
        case_id = sent(client, case(f"marked-{photometric}"), [("image", marked_film(tiny_cohort, photometric))])
        record = client.get(f"/v1/cases/{case_id}/report").json()
    canvas = at_viewer(signed_in(Role.CLINICIAN), stock, case_id)
    page = canvas.page
    page.get_by_label("Map", exact=True).select_option(label="none")
    page.get_by_label("Window", exact=True).select_option(label="whole range")
    bright = centers(canvas)["bright"]
    assert bright == pytest.approx([13.5, 71.5], abs=0.5)  # the edges of pixel n are n and n + 1
    page.get_by_label("Opacity of the map").fill("100")
    for explanation in record["explanations"]:
        [view] = explanation["maps"]["cxr"]["views"]
        page.get_by_label("Map", exact=True).select_option(label=explanation["target"].replace("_", " "))
        assert centers(canvas)["colored"] == pytest.approx(center_of(view), abs=1)
    page.get_by_label("Map", exact=True).select_option(label="none")
    for key in ("+", "+", "ArrowRight", "ArrowDown", "ArrowDown"):
        canvas.press(key)
    assert centers(canvas)["bright"] == pytest.approx([13.5, 71.5], abs=0.5)


def centers(canvas: Locator) -> dict[str, list[float]]:
    return canvas.page.evaluate(CENTERS, [canvas.element_handle(), BELOW])


def center_of(view: dict[str, Any]) -> list[float]:
    """(x, y) of the center of a map by its picture in the record, laid on the stored pixels that the record names."""
    top, left, bottom, right = view["box"]
    red, _, blue, alpha = np.moveaxis(np.asarray(Image.open(io.BytesIO(base64.b64decode(view["heat"])))), -1, 0)
    signed = Image.fromarray(
        np.where(red > blue, alpha, -alpha.astype(np.float32)).astype(np.float32)
    )  # red and blue mix to neither
    weight = np.abs(np.asarray(signed.resize((right - left, bottom - top), Image.Resampling.BILINEAR)))
    ys, xs = np.mgrid[top:bottom, left:right] + 0.5
    weight = weight * (ys > BELOW)
    return [float((weight * axis).sum() / weight.sum()) for axis in (xs, ys)]


@pytest.mark.slow
def test_a_reader_walks_from_the_case_into_the_viewer_by_keyboard(stock: Stock, signed_in: SignIn) -> None:
    page = signed_in(Role.AUDITOR)
    page.goto(f"{stock.url}/cases/{stock.cases['whole']}")
    press_until(page, "document.activeElement.textContent === 'Report'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/results/1")
    page.get_by_role("link", name="Films and volumes").focus()
    page.keyboard.press("Enter")
    page.locator(".viewer canvas").wait_for()
    press_until(page, "document.activeElement.tagName === 'CANVAS'")
    said = page.locator("[data-part=status]")
    for key, words in (("+", "zoom 125 %"), ("i", "inverted"), ("e", "at 70 %"), ("0", "zoom 100 %")):
        page.keyboard.press(key)
        assert words in said.inner_text()
    before = said.inner_text()
    for key in ("w", "d"):
        page.keyboard.press(key)
        assert said.inner_text() != before
        before = said.inner_text()
    page.keyboard.press("m")
    assert said.inner_text() != before


def press_until(page: Page, condition: str, most: int = 80) -> None:
    for _ in range(most):
        if page.evaluate(condition):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not lead to where {condition}")


@pytest.mark.slow
def test_report_has_no_grave_fault_by_day_and_by_night(stock: Stock, signed_in: SignIn) -> None:
    page = signed_in(Role.CLINICIAN)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        at_viewer(page, stock, stock.cases["whole"])
        assert grave_faults(page) == []
    page.set_viewport_size({"width": 640, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"{stock.url}/cases/{stock.cases['late_labs']}/results/1")
    assert page.get_by_text("Superseded.").is_visible()
    assert grave_faults(page) == []


@pytest.mark.slow
def test_report_reads_without_a_script(stock: Stock, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, stock.url, stock.tokens[Role.AUDITOR])
    page.goto(f"{stock.url}/cases/{stock.cases['whole']}/results/1")
    assert page.locator(".report > section").count() == 17
    assert page.locator("svg.scan").first.is_visible()
    assert not page.locator("[data-scan]").first.is_visible()
    with stock.api() as client:
        page.goto(f"{stock.url}/cases/{stock.cases['whole']}")
        assert page.get_by_role("link", name="Report").is_visible()
        record = client.get(f"/v1/cases/{stock.cases['whole']}/report").content
    given = context.request.get(f"{stock.url}/cases/{stock.cases['whole']}/results/1/report.json")
    assert given.body() == record
    assert "attachment" in given.headers["content-disposition"]
    context.close()


@pytest.mark.slow
def test_note_and_reference_run_nothing_and_steer_nothing(stock: Stock, signed_in: SignIn) -> None:
    nasty = (
        "<script>window.ran=1</script><svg onload=window.ran=2><img src=x onerror=window.ran=3>\u202egnol </textarea>"
    )
    note = {"text": f"{nasty} {'cough ' * 10_000}", "acquired_at": "2026-01-17T09:00:00+00:00"}
    with stock.api() as client:
        case_id = sent(client, case(nasty, note=note, labs=None))
    page = signed_in(Role.CLINICIAN)
    for path in ("", "/results/1"):
        page.goto(f"{stock.url}/cases/{case_id}{path}")
        assert page.evaluate("window.ran") is None
        assert "\u202e" not in page.content()
    assert "<script>window.ran=1</script>" in page.locator("#notes").inner_text()
    assert grave_faults(page) == []

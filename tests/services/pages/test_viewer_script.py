"""What the viewer's script draws is what was sent, pixel by pixel, on all three planes of a long series."""

import base64

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page

from clinimm.io.display import TOP, as_nifti
from clinimm.io.scan_types import Scan
from clinimm.report.heat import FULL

ROWS, COLUMNS, SLICES = 7, 5, 600
FACTS = {"window": {"center": 512.0, "width": 1024.0}, "inverted": False, "dicom_modality": "CT"}
PLANES = ((0, 1), (2, 1), (2, 0))
DRAWN = """([sent, told, at, index]) => {
  const bytes = Uint8Array.from(atob(sent), (one) => one.charCodeAt(0));
  const scan = clinimm.readScan(bytes.buffer);
  const map = clinimm.readMap(told);
  const table = clinimm.grays([0, clinimm.TOP], false);
  const pixels = (canvas) => canvas
    && Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
  const fresh = () => document.createElement("canvas");
  return {
    size: scan.size, mm: scan.mm, modality: scan.modality, ends: scan.window.map(scan.value),
    gray: pixels(clinimm.drawGray(fresh(), scan, at, index, table)),
    heat: pixels(clinimm.drawHeat(fresh(), map, at, index + 0.5)),
  };
}"""


@pytest.fixture
def script(api: httpx.Client, page: Page) -> Page:
    page.goto(f"{api.base_url}/login")
    page.add_script_tag(url="/static/scan.js")
    return page


@pytest.mark.slow
@pytest.mark.parametrize("axes", PLANES)
def test_planes_are_cut_where_they_are_asked_for_with_the_head_on_top(script: Page, axes: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (ROWS, COLUMNS, SLICES)).astype(np.float32) / 255
    cells = rng.integers(-FULL, FULL + 1, (3, 5, 40)).astype(np.int8)
    told = {
        "values": base64.b64encode(cells.tobytes()).decode(),
        "shape": cells.shape,
        "start": [1, 0, 0],
        "end": [7, 5, SLICES],
    }
    sent = as_nifti(Scan(pixels, spacing_mm=(0.5, 0.25, 3.0), facts=FACTS))
    [rest] = {0, 1, 2} - set(axes)
    index = pixels.shape[rest] - 2
    found = script.evaluate(DRAWN, [base64.b64encode(sent).decode(), told, axes, index])
    assert (found["size"], found["mm"], found["modality"]) == ([ROWS, COLUMNS, SLICES], [0.5, 0.25, 3.0], "CT")
    whole = plane(pixels, axes, index)
    gray = np.array(found["gray"]).reshape(*whole.shape, 4)
    np.testing.assert_array_equal(gray[..., 0], np.rint(whole * 255))
    assert (gray[..., 3] == 255).all()
    cell = int((index + 0.5 - told["start"][rest]) * cells.shape[rest] / (told["end"][rest] - told["start"][rest]))
    part = plane(cells, axes, cell).astype(int)
    heat = np.array(found["heat"]).reshape(*part.shape, 4)
    np.testing.assert_allclose(heat[..., 3], np.abs(part) * 230 / FULL, atol=0.51)
    strong = np.abs(part) > FULL / 2  # a canvas keeps the colors of what is nearly clear only roughly
    assert (heat[strong & (part > 0)][:, 0] > 200).all()
    assert (heat[strong & (part < 0)][:, 2] > 200).all()


def plane(values: np.ndarray, axes: tuple[int, int], index: int) -> np.ndarray:
    [rest] = {0, 1, 2} - set(axes)
    cut = values.take(index, axis=rest)
    down_first = cut if axes[0] < axes[1] else cut.T
    return down_first[::-1] if axes[0] == 2 else down_first


@pytest.mark.slow
def test_window_is_told_in_the_units_of_the_file(script: Page) -> None:
    facts = FACTS | {"inverted": True, "asked_window": {"center": 500.0, "width": 200.0}}
    sent = as_nifti(Scan(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4), facts=facts))
    told = {"values": base64.b64encode(b"\1").decode(), "shape": [1, 1], "start": [0, 0], "end": [3, 4]}
    found = script.evaluate(DRAWN, [base64.b64encode(sent).decode(), told, [0, 1], 0])
    assert sorted(found["ends"]) == pytest.approx([400, 600], abs=1024 / TOP)
    assert found["mm"] is None

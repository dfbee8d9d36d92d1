"""The map of a film or a volume as a record holds it, cell by cell on the model's grid: for a viewer that draws it over
the stored pixels itself."""

import base64
import io
import zlib

import numpy as np
from jaxtyping import Float, Int8
from PIL import Image

from clinimm.report.canonical import Json
from clinimm.report.formats import failed

FULL = 127
"""What stands for a map's `limit`; the sign says whether it raises or lowers."""
_OPAQUE = 230  # alpha of the full color in the pictures of a record


def packed(heat: Float[np.ndarray, "h w d"], limit: float) -> Json:
    """A volume's whole map, in 127ths of its limit, as it is kept in a record; beyond the limit it is the limit."""
    steps = np.rint(np.clip(heat / limit, -1, 1) * FULL) if limit else np.zeros(heat.shape)
    data = zlib.compress(steps.astype(np.int8).tobytes(), 9)
    return {"shape": list(heat.shape), "values": base64.b64encode(data).decode("ascii")}


def cells(told: Json) -> Int8[np.ndarray, "h w *d"] | None:
    """The cells of one map of a record; None where it has none, or a volume's three planes alone, as before `whole`."""
    if "whole" in told:
        shape = tuple(told["whole"]["shape"])
        data = zlib.decompressobj().decompress(base64.b64decode(told["whole"]["values"]), int(np.prod(shape)))
        return np.frombuffer(data, np.int8).reshape(shape)
    views = told.get("views") or []
    if len(views) != 1 or not views[0]["heat"]:
        return None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(views[0]["heat"]))).convert("RGBA"), np.int16)
    strength = np.rint(pixels[..., 3] * (FULL / _OPAQUE))
    return np.where(pixels[..., 0] > pixels[..., 2], strength, -strength).astype(np.int8)


def layers(record: Json, name: str) -> Json | None:
    """What a viewer lays over the stored pixels of an image: of each explained target its map, where its cells lie,
    what gets the full color, and whether it may be read; the letters of each plane. None where the record does not say
    where the model's grid lies on the pixels, or where nothing of the image can be shown."""
    shown = record["inputs"].get(name) or {}
    if not shown.get("grid") or not shown.get("views"):
        return None
    maps = [one for one in record["explanations"] if name in one["maps"]]
    return {
        "stored": shown["grid"]["stored"],
        "letters": [view["letters"] for view in shown["views"]],
        "maps": [_layer(one, one["maps"][name], shown["grid"]) for one in maps],
    }


def _layer(explanation: Json, told: Json, grid: Json) -> Json:
    found = None if told.get("problem") else cells(told)
    fits = found is not None and list(found.shape) == grid["cells"]
    return {
        "target": explanation["target"],
        "trusted": explanation["trusted"],
        "failed": "" if explanation["trusted"] else failed(explanation),
        "limit": told.get("limit", 0.0),
        "start": grid["start"],
        "end": grid["end"],
        "shape": grid["cells"],
        "values": base64.b64encode(found.tobytes()).decode("ascii") if found is not None and fits else None,
        "problem": "" if fits else _why(told),
    }


def _why(told: Json) -> str:
    if told.get("problem"):
        return f"This map cannot be drawn: {told['problem']['detail']}."
    return "This record holds no map that can be laid over all of it; see its stills."

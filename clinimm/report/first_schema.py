"""Records of the first schema, which had no sections: read as if they were of the second, what they lack absent."""

from base64 import b64decode
from struct import unpack

from clinimm.report.canonical import Json
from clinimm.report.contents import contents

FIRST = "clinimm.report/1"


def modernized(record: Json) -> Json:
    """A record of the second schema's shape with all that the first one held; nothing is added but empty places. Of
    what it drew neither the stored pixels nor the edges of the map are known: the map covers the picture."""
    return record | {
        "contents": contents(),
        "inputs": {name: _input(one) for name, one in record["inputs"].items()},
        "explanations": [_explanation(one) for one in record["explanations"]],
        "calibration": None,
        "performance": None,
        "comparison": None,
        "model": record["model"] | {"files": {}, "made_with": {}},
        "settings": {},
        "tensors": {},
    }


def _input(shown: Json) -> Json:
    return shown | ({"views": [_view(view) for view in shown["views"]]} if "views" in shown else {})


def _explanation(told: Json) -> Json:
    return told | {"maps": {name: _map(one) for name, one in told["maps"].items()}}


def _map(told: Json) -> Json:
    return told | ({"views": [_view(view) for view in told["views"]], "padding": None} if "views" in told else {})


def _view(view: Json) -> Json:
    """The size of the picture is in its PNG's header."""
    width, height = _png_size(view["film"])
    return view | {"size": [height, width], "box": [0, 0, height, width], "spacing_mm": None, "letters": None}


def _png_size(png: str) -> tuple[int, int]:
    """(width, height): the PNG's first words after its signature and the name of its first chunk."""
    width, height = unpack(">II", b64decode(png[:32])[16:24])
    return width, height

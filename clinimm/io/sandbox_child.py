"""The limited process that reads one input at a time: `python -m clinimm.io.sandbox_child`, started by sandbox.Sandbox.

A request is a line of JSON on standard input; each answer is a header (two lengths, then JSON) and the pixels, on what
was standard output. Native decoders may print, crash or hang here without harm to anyone else."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clinimm.errors import InputError, ResourceLimit
from clinimm.io.dicom_inspection import inspect_dicom
from clinimm.io.sandbox_process import LENGTHS
from clinimm.io.sandbox_walls import allow_seconds, raise_walls
from clinimm.io.scan import read_scan
from clinimm.io.scan_types import Limits, Scan, WindowChoice

Answer = tuple[dict[str, Any], memoryview | bytes]


def main() -> None:
    """Read the settings line, give up what is not needed, then answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.buffer.readline())
    abilities = raise_walls(settings["memory_bytes"])
    limits = Limits(**settings["limits"])
    _send(answers, {"ready": True, "abilities": abilities})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if "inspect" in request:
            for path, seconds in zip(request["inspect"], request["seconds"], strict=True):
                _send(answers, *_attempt(partial(_inspected, path, limits), seconds))
        else:
            _send(answers, *_attempt(partial(_read, request, limits), request["seconds"]))


def _attempt(work: Callable[[], Answer], seconds: float) -> Answer:
    """What `work` gives within so many seconds of processor time, or the refusal it raised."""
    allow_seconds(seconds)
    try:
        return work()
    except MemoryError:
        return {"failed": "ResourceLimit", "code": "decode_resource_limit", "what": "needs too much memory"}, b""
    except InputError as error:
        told: dict[str, Any] = {"code": error.code, "what": error.what, "where": error.where, "mend": error.mend}
        if isinstance(error, ResourceLimit):
            told |= {"limit": error.limit, "actual": error.actual}
        return {"failed": type(error).__name__, **told}, b""


def _inspected(path: str, limits: Limits) -> Answer:
    return inspect_dicom(Path(path), limits).record(), b""


def _read(request: dict[str, Any], limits: Limits) -> Answer:
    """The scan as JSON and bytes. A volume goes slice by slice, as it lies in memory."""
    asked: Any = request["window"]
    window: WindowChoice = tuple(asked) if isinstance(asked, list) else asked
    scan = read_scan([Path(p) for p in request["paths"]], window, at_least=request["at_least"], limits=limits)
    return _told(scan)


def _told(scan: Scan) -> Answer:
    volume = scan.pixels.ndim == 3
    pixels = np.ascontiguousarray(np.moveaxis(scan.pixels, -1, 0) if volume else scan.pixels)
    orientation = asdict(scan.orientation) if scan.orientation is not None else None
    told = {"shape": pixels.shape, "spacing_mm": scan.spacing_mm, "orientation": orientation}
    return {**told, "facts": dict(scan.facts), "flags": scan.flags}, pixels.data.cast("B")


def _send(answers: BinaryIO, told: dict[str, Any], pixels: memoryview | bytes = b"") -> None:
    header = json.dumps(told).encode()
    for part in (LENGTHS.pack(len(header), len(pixels)), header, pixels):
        rest = memoryview(part)
        while len(rest):
            rest = rest[answers.write(rest) :]


if __name__ == "__main__":
    main()

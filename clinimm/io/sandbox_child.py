"""The limited process that reads one input at a time: `python -m clinimm.io.sandbox_child`, started by sandbox.Sandbox.

A request is a line of JSON on standard input; the answer is a header (two lengths, then JSON) and the pixels, on what
was standard output. Native decoders may print, crash or hang here without harm to anyone else."""

import ctypes
import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clinimm.errors import InputError
from clinimm.io.sandbox import LENGTHS
from clinimm.io.scan import read_scan
from clinimm.io.scan_types import Limits, Scan, WindowChoice

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000


def main() -> None:
    """Read the settings line, give up what is not needed, then answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.buffer.readline())
    confined = {"network": not _leave_network()}
    _limit(settings["memory_bytes"])
    limits = Limits(**settings["limits"])
    _send(answers, {"ready": True, **confined})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _allow_seconds(request["seconds"])
        _answer(answers, request, limits)


def _answer(answers: BinaryIO, request: dict[str, Any], limits: Limits) -> None:
    asked: Any = request["window"]
    window: WindowChoice = tuple(asked) if isinstance(asked, list) else asked
    try:
        scan = read_scan([Path(p) for p in request["paths"]], window, at_least=request["at_least"], limits=limits)
        _send(answers, *_told(scan))
    except MemoryError:
        _send(answers, {"failed": "ResourceLimit", "code": "decode_resource_limit", "what": "needs too much memory"})
    except InputError as error:
        told = {"code": error.code, "what": error.what, "where": error.where, "mend": error.mend}
        _send(answers, {"failed": type(error).__name__, **told})


def _told(scan: Scan) -> tuple[dict[str, Any], memoryview]:
    """The scan as JSON and bytes. A volume goes slice by slice, as it lies in memory."""
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


def _limit(memory_bytes: int) -> None:
    """No more memory than allowed, no files written, no core dumps, no children."""
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))


def _allow_seconds(seconds: float) -> None:
    """The limit of processor time counts from the start of the process, so it moves on with each input."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _leave_network() -> bool:
    """Enter a network namespace without interfaces, where the system lets us."""
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (CLONE_NEWNET, CLONE_NEWNET | CLONE_NEWUSER))


if __name__ == "__main__":
    main()

"""Logs as JSON lines: events and ids, never names, notes, values or the text of foreign errors."""

import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

OURS = ("services", "clinimm")
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

request_id: ContextVar[str] = ContextVar("request_id", default="")


@contextmanager
def of_request(name: str) -> Iterator[None]:
    """Whatever is logged or audited in the block is of this request, also long after it was answered."""
    token = request_id.set(name)
    try:
        yield
    finally:
        request_id.reset(token)


class JsonLines(logging.Formatter):
    """A record as one line of JSON.

    A library's own message may hold what a patient sent (a database driver quotes values), so of foreign records only
    the place is kept, and of exceptions the type and the frames."""

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.partition(".")[0] in OURS
        facts = {key: value for key, value in record.__dict__.items() if key not in STANDARD} if ours else {}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if ours else f"{record.module}:{record.lineno}",
            **({"request_id": request_id.get()} if request_id.get() else {}),
            **facts,
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= fault(record.exc_info[1])
        return json.dumps(line, default=str, ensure_ascii=True)


def fault(error: BaseException) -> dict[str, object]:
    """What may be logged of an exception: its type and where it passed, not its message."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "frames": [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}" for frame in frames[-8:]],
    }


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sends every logger of this process, the libraries' too, through one handler of JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel("WARNING")
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in ("dbos", "uvicorn", "uvicorn.error"):
        foreign = logging.getLogger(name)
        foreign.handlers, foreign.propagate = [logging.NullHandler()], True  # DBOS adds its own where there is none

"""What is told to operators: ids and codes, never what a patient or a sender wrote."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from service_requests import case, film, post
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.db import Database
from services.logs import configure, fault

CANARY = "CANARY-5e1d"


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    """Everything that this process logs, through the handler that it has in production."""
    root, stream = logging.getLogger(), io.StringIO()
    before = (root.handlers, root.level)
    configure("DEBUG", stream)
    yield stream
    root.handlers, root.level = before


def test_nothing_sent_is_in_logs_metrics_or_problems(told: io.StringIO, api: httpx.Client) -> None:
    private = case(
        CANARY,
        patient={"id": f"{CANARY}-patient"},
        note={"text": f"{CANARY}-note Fever."},
        labs=[{"name": f"{CANARY}-lab", "value": 1, "unit": CANARY}],
    )
    headers = {"User-Agent": CANARY, "X-Request-Id": f"{CANARY}!", "Referer": CANARY}
    images = [(f"image:{CANARY}", film()), ("image", CANARY.encode() * 40)]
    answers = [
        post(api, private, images, key=f"{CANARY}-key", headers=headers),
        post(api, private | {"reference": "other"}, key=f"{CANARY}-key"),
        post(api, private | {CANARY: CANARY}),
        post(api, f'{{"patient": "{CANARY}'.encode()),
        api.get(f"/v1/{CANARY}", headers=headers),
        api.get(f"/v1/cases?cursor={CANARY}"),
        api.get("/metrics"),
    ]
    assert [answer.status_code for answer in answers] == [202, 422, 422, 400, 404, 422, 200]
    assert all(CANARY not in answer.text for answer in answers[1:])
    assert CANARY not in told.getvalue()
    events = [json.loads(line)["event"] for line in told.getvalue().splitlines()]
    assert "inputs taken" in events


def test_line_has_the_request_id(told: io.StringIO, api: httpx.Client) -> None:
    api.get("/healthz", headers={"X-Request-Id": "trace-1"})
    lines = [json.loads(line) for line in told.getvalue().splitlines()]
    assert any(line.get("request_id") == "trace-1" and line["route"] == "/healthz" for line in lines)


def test_foreign_records_and_errors_are_told_by_place_alone(told: io.StringIO) -> None:
    logging.getLogger("dbos").error(f"Database connection failed: {CANARY}")
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("services.test").exception("it failed")
    foreign, ours = (json.loads(line) for line in told.getvalue().splitlines())
    assert CANARY not in told.getvalue()
    assert foreign["event"].startswith("test_service_logs:")
    assert (ours["event"], ours["error"]) == ("it failed", "ValueError")
    assert ours["frames"][-1].endswith("test_foreign_records_and_errors_are_told_by_place_alone")


def test_database_errors_hold_no_values(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with database.read() as session, pytest.raises(OperationalError, match="no such table") as failure:
        session.execute(text("SELECT * FROM nowhere WHERE x = :x"), {"x": CANARY})
    database.close()
    assert CANARY not in str(failure.value)
    assert fault(failure.value)["error"] == "OperationalError"

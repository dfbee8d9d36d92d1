"""Work that is owed ends: done, or dead with its reason, and never queued for ever."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from service_requests import case, post
from sqlalchemy.orm import Session

from services.db import Database
from services.jobs import engine, state
from services.jobs.engine import Engine, Job
from services.settings import Settings


@pytest.mark.slow
def test_job_that_cannot_be_concluded_is_dead_and_leaves_nothing(
    api: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.01)
    case_id = post(api, case()).json()["id"]
    database = Database(settings.url)

    def keep(session: Session, subject: str, outcome: Mapping[str, Any]) -> None:
        state.finish(session, f"diagnose:{subject}")
        raise ValueError("cannot be kept")

    worker = Engine(database, "tester", poll_seconds=0.05)
    worker.start([Job("diagnose", lambda subject: {}, keep)])
    try:
        deadline = time.monotonic() + 20
        while (found := api.get(f"/v1/cases/{case_id}/results").json())["state"] == "pending":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        worker.stop(1)
        database.close()
    assert (found["state"], found["reason"]) == ("failed", "ValueError")

"""People stop a model, and no system is given an answer of it; nothing that is sent meanwhile is lost."""

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from reading_ward import Ward, fields, reading_ward
from service_requests import case, post
from ward import CRP, add, open_ward

from services.artifacts import facts
from services.audit.verify import verify
from services.db import Database
from services.jobs.engine import Engine, Job
from services.settings import Settings
from services.switch import leave
from services.tables import EventRow


@pytest.fixture
def ward(database_url: str, described_model: Path, tmp_path: Path) -> Iterator[Ward]:
    with reading_ward(database_url, described_model, tmp_path) as made:
        yield made


def turn(ward: Ward, who: str, digest: str, stopped: bool, reason: str = "wrong_answers") -> httpx.Response:
    return ward.ask(who, "PUT", f"/v1/models/{digest}/switch", json={"stopped": stopped, "reason": reason})


def doors(case_id: str) -> list[str]:
    return [f"/v1/cases/{case_id}/{name}" for name in ("results", "results/1", "report", "report?format=html")]


def told(answer: httpx.Response) -> tuple[int, Any, str | None]:
    return answer.status_code, answer.json().get("code"), answer.headers.get("Retry-After")


def test_answers_of_a_stopped_model_are_given_to_auditors_alone(ward: Ward) -> None:
    case_id, other = ward.answered(), ward.answered(artifact="f" * 64)
    digest = ward.ask("audit", "GET", f"/v1/cases/{case_id}/results/1").json()["model"]
    assert turn(ward, "ann", digest, True).json() | {"at": ""} == {
        "stopped": True, "reason": "wrong_answers", "client": "ann", "at": "",
    }  # fmt: skip
    for who in ("feed", "ann"):
        for door in doors(case_id):
            assert told(ward.ask(who, "GET", door)) == (503, "model_stopped", "60"), (who, door)
    assert [ward.ask("audit", "GET", door).status_code for door in doors(case_id)[:2]] == [200, 200]
    assert ward.ask("feed", "GET", f"/v1/cases/{other}/results").status_code == 200
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}/results/one").status_code == 404
    assert turn(ward, "audit", digest, False, "cleared").json()["stopped"] is False
    assert [ward.ask("feed", "GET", door).status_code for door in doors(case_id)[:2]] == [200, 200]


def test_a_case_is_taken_while_the_model_is_stopped_and_no_answer_is_asked_for_again(
    ward: Ward, described_model: Path
) -> None:
    digest = facts.read(described_model).digest
    assert turn(ward, "audit", digest, True, "precaution").status_code == 200
    taken = ward.sent(case())
    assert taken.status_code == 202
    there = f"/v1/cases/{taken.json()['id']}/results"
    assert told(ward.ask("feed", "GET", there)) == (503, "model_stopped", "60")
    again = ward.ask("feed", "POST", there, headers={"Idempotency-Key": uuid.uuid4().hex})
    assert told(again) == (503, "model_stopped", "60")
    assert "clinimm_model_stopped 1.0" in ward.ask("feed", "GET", "/metrics").text
    [shown] = ward.ask("feed", "GET", "/v1/models").json()["models"]
    assert (shown["switch"]["stopped"], shown["switch"]["reason"]) == (True, "precaution")
    assert turn(ward, "ann", digest, False, "cleared").status_code == 200
    assert ward.ask("feed", "GET", there).json()["state"] == "pending"
    assert "clinimm_model_stopped 0.0" in ward.ask("feed", "GET", "/metrics").text


def test_who_may_not_or_means_nothing_stops_nothing(ward: Ward, described_model: Path) -> None:
    digest = facts.read(described_model).digest
    assert turn(ward, "feed", digest, True).status_code == 403
    assert turn(ward, "ann", "0" * 64, True).json()["code"] == "model_not_found"
    wrong = ward.ask("ann", "PUT", f"/v1/models/{digest}/switch", json={"stopped": 1, "reason": "Canary"})
    assert [issue["pointer"] for issue in wrong.json()["issues"]] == ["/stopped", "/reason"]
    assert "Canary" not in wrong.text
    assert ward.ask("feed", "GET", "/v1/models").json()["models"][0]["switch"] is None


def test_each_act_is_one_event_and_to_take_one_out_is_found(ward: Ward, described_model: Path) -> None:
    digest = facts.read(described_model).digest
    for stopped in (True, True, False):
        assert turn(ward, "ann", digest, stopped).status_code == 200
    with ward.database.read() as session:
        acts = session.scalars(sa.select(EventRow).where(EventRow.object_id == f"switch/{digest}")).all()
    assert [(one.actor, one.role, one.action, one.facts["reason"]) for one in acts] == [
        ("ann", "clinician", action, "wrong_answers") for action in ("model.stopped", "model.stopped", "model.resumed")
    ]
    assert verify(ward.database, [], None).findings == ()


def test_pages_say_it_and_a_person_does_it_there(ward: Ward, described_model: Path) -> None:
    digest = facts.read(described_model).digest
    case_id = ward.answered(artifact=digest, report=False)
    there = f"/models/{digest}/switch"
    browser = ward.signed_in("ann")
    page = browser.get(f"/models/{digest}")
    assert "Stop this model" in page.text
    done = browser.post(there, data=fields(page, there) | {"reason": "drift"})
    assert (done.status_code, done.headers["location"]) == (303, f"/models/{digest}")
    page = browser.get(f"/models/{digest}")
    assert "Stopped: none of its answers are given" in page.text
    assert "its cases are not those it learned from" in page.text
    assert "answers now" not in browser.get("/models").text
    assert browser.post(there, data=fields(page, there) | {"reason": "bored"}).status_code == 422
    assert told(ward.ask("feed", "GET", f"/v1/cases/{case_id}/results"))[1] == "model_stopped"
    browser.post(there, data=fields(page, there) | {"reason": "cleared"})
    assert "Stopped:" not in browser.get(f"/models/{digest}").text
    browser.close()
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}/results").status_code == 200


def test_page_of_a_stopped_models_report_says_so(database_url: str, tiny_artifact: Path, tmp_path: Path) -> None:
    with open_ward(database_url, tiny_artifact, tmp_path) as ward:
        case_id = str(post(ward.api, case(labs=None)).json()["id"])
        add(ward.api, case_id, {"labs": [CRP]})
        ward.work()
        digest = ward.worker.predictor.digest
        at = f"/cases/{case_id}/results/1"
        assert ward.api.post("/login", data={"token": "", "next": at}).status_code == 303
        assert "is stopped" not in ward.api.get(at).text
        said = {"stopped": True, "reason": "recalled"}
        assert ward.api.put(f"/v1/models/{digest}/switch", json=said).status_code == 200
        assert "The model behind this report is stopped." in ward.api.get(at).text


@pytest.mark.slow
def test_work_waits_for_leave_and_goes_on_with_it(api: httpx.Client, settings: Settings, described_model: Path) -> None:
    digest, database, begun = facts.read(described_model).digest, Database(settings.url), list[str]()
    where = f"/v1/models/{digest}/switch"
    assert api.put(where, json={"stopped": True, "reason": "precaution"}).status_code == 200

    def compute(subject: str) -> dict[str, Any]:
        begun.append(subject)
        return {}

    may_work, over = leave(database, digest), threading.Event()
    worker = Engine(database, "tester", poll_seconds=0.05, may_work=lambda: over.is_set() or may_work())
    worker.start([Job("diagnose", compute, lambda session, subject, outcome: None)])
    try:
        made = post(api, case())
        job = made.headers["location"]
        time.sleep(1.5)
        assert begun == []
        assert api.put(where, json={"stopped": False, "reason": "cleared"}).status_code == 200
        deadline = time.monotonic() + 20
        while api.get(job).json()["state"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        over.set()
        worker.stop(1)
        database.close()
    assert begun == [made.json()["id"]]

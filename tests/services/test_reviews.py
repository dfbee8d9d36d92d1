"""What people say of results: of each finding, of the very record, and not knowing what another reader said."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from reading_ward import RECORD, Ward, reading_ward
from service_answers import content, record

from services import blind
from services.app import rights
from services.auth import Client, Role
from services.results import service as results
from services.results import store as result_store
from services.reviews import store
from services.reviews.service import again
from services.tables import EventRow, ReportRow, ReviewRow

SIGNED: dict[str, Any] = {"verdict": "signed_off"}
ACCEPT = {"target": "pneumonia", "verdict": "accept"}
REJECT = {"target": "pneumonia", "verdict": "reject", "reason": "input_unfit", "text": "Canary: rotated film"}
MODIFY = {"target": "pneumonia", "verdict": "modify", "answer": "false", "reason": "not_seen_on_image"}


@pytest.fixture
def ward(database_url: str, described_model: Path, tmp_path: Path) -> Iterator[Ward]:
    with reading_ward(database_url, described_model, tmp_path) as made:
        yield made


def test_review_is_kept_with_its_findings_beside_what_the_model_said(ward: Ward) -> None:
    case_id = ward.answered()
    answer = ward.say("ann", case_id, SIGNED | {"findings": [MODIFY], "record_sha256": RECORD})
    assert (answer.status_code, answer.json()["state"]) == (201, "signed_off")
    [given] = answer.json()["reviews"]
    assert given["findings"] == [MODIFY | {"text": "", "model": "true", "stands": "false"}]
    assert (given["client"], given["record_sha256"]) == ("ann", RECORD)
    assert ward.say("ann", case_id, {"verdict": "rejected", "reason": "on second thought"}).status_code == 201
    after = ward.reviews("ann", case_id)
    assert after["reviews"][0] == given
    assert (after["state"], len(after["reviews"])) == ("rejected", 2)


def test_events_name_record_and_codes_and_nothing_that_was_written(ward: Ward) -> None:
    case_id = ward.answered()
    said = {"verdict": "rejected", "reason": "Canary: wrong patient", "findings": [REJECT], "record_sha256": RECORD}
    ward.say("ann", case_id, said)
    with ward.database.read() as session:
        [told] = session.scalars(sa.select(EventRow).where(EventRow.action == "result.rejected"))
        events = [str(vars(row)) for row in session.scalars(sa.select(EventRow))]
    assert {name.partition("/")[0] for name in told.facts.pop("seals")} == {"reviews", "keys"}
    assert told.facts == {"record": RECORD, "findings": {"pneumonia": "reject:input_unfit"}}
    assert (told.actor, told.object_id) == ("ann", f"{case_id}-1")
    assert not any("Canary" in one for one in events)


def test_word_on_another_record_than_the_stored_one_is_refused(ward: Ward) -> None:
    case_id = ward.answered()
    refused = ward.say("ann", case_id, SIGNED | {"record_sha256": "c" * 64})
    assert (refused.status_code, refused.json()["code"]) == (409, "record_changed")
    with ward.database.write() as session:
        session.execute(sa.update(ReportRow).values(record_sha256="c" * 64))
    assert ward.say("ann", case_id, SIGNED | {"record_sha256": RECORD}).json()["code"] == "record_changed"
    assert ward.say("ann", case_id, SIGNED | {"record_sha256": "c" * 64}).status_code == 201


def test_word_is_bound_to_the_record_that_is_there(ward: Ward) -> None:
    without, whole = ward.answered(report=False), ward.answered()
    pending = ward.say("ann", without, SIGNED | {"record_sha256": RECORD})
    assert (pending.status_code, pending.json()["code"]) == (409, "report_pending")
    assert [ward.say("ann", one, SIGNED).json()["reviews"][0]["record_sha256"] for one in (without, whole)] == [
        "",
        RECORD,
    ]


@pytest.mark.parametrize(
    ("findings", "issue"),
    [
        ([ACCEPT | {"target": "scurvy"}], ("/findings/0/target", "target_not_found")),
        ([ACCEPT, REJECT], ("/findings/1/target", "finding_repeated")),
        ([MODIFY | {"answer": "true"}], ("/findings/0/answer", "answer_unchanged")),
        ([REJECT | {"reason": "other", "text": ""}], ("/findings/0/text", "missing")),
        ([{"target": "pneumonia", "verdict": "Canary"}], ("/findings/0", "literal_error")),
        ([{"target": "pneumonia", "verdict": "modify", "reason": "other"}], ("/findings/0/answer", "missing")),
        ([ACCEPT | {"reason": "other"}], ("/findings/0/reason", "extra_forbidden")),
        ([REJECT | {"text": "x" * 1001}], ("/findings/0/text", "string_too_long")),
    ],
)
def test_findings_that_do_not_fit_are_refused_with_their_place(
    ward: Ward, findings: list[dict[str, str]], issue: tuple[str, str]
) -> None:
    case_id = ward.answered()
    refused = ward.say("ann", case_id, SIGNED | {"findings": findings})
    assert refused.status_code == 422
    assert issue in {(one["pointer"], one["code"]) for one in refused.json()["issues"]}
    assert "Canary" not in refused.text
    with ward.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReviewRow)) == 0


def test_second_reader_is_told_nothing_at_any_door_before_the_own_word(ward: Ward) -> None:
    case_id = ward.answered()
    ward.say("ann", case_id, SIGNED | {"findings": [MODIFY]})
    blind_ones = [ward.reviews(who, case_id) for who in ("ben", "audit")]
    assert blind_ones == [{"case_id": case_id, "state": "withheld", "withheld": 1, "reviews": []}] * 2
    timeline = ward.ask("ben", "GET", f"/v1/cases/{case_id}/timeline")
    assert "signed_off" not in timeline.text
    assert "modify" not in timeline.text
    assert [(one["action"], one["facts"]) for one in timeline.json()["events"]][-1] == ("result.reviewed", {})
    for path in ("", "/results", "/results/1", "/report", "/similar"):
        assert "signed_off" not in ward.ask("ben", "GET", f"/v1/cases/{case_id}{path}").text
    after = ward.say("ben", case_id, {"verdict": "rejected", "reason": "rotated"}).json()
    assert [(one["client"], one["verdict"]) for one in after["reviews"]] == [("ann", "signed_off"), ("ben", "rejected")]
    assert (after["state"], after["withheld"]) == ("disputed", 0)
    assert "result.signed_off" in ward.ask("ben", "GET", f"/v1/cases/{case_id}/timeline").text
    assert ward.reviews("audit", case_id)["withheld"] == 2
    assert ward.reviews("feed", case_id) == after  # a system has no word to give


def test_of_a_superseded_result_all_is_told_and_nothing_taken(ward: Ward) -> None:
    case_id = ward.answered()
    ward.say("ann", case_id, SIGNED)
    ward.answer(case_id, artifact="e" * 64)
    told = ward.reviews("ben", case_id)
    assert (told["state"], told["withheld"], len(told["reviews"])) == ("signed_off", 0, 1)
    assert ward.say("ben", case_id, SIGNED).json()["code"] == "result_superseded"
    ward.say("ann", case_id, SIGNED, version=2)
    told = ward.reviews("ben", case_id)
    assert (told["state"], told["withheld"], [one["result_id"] for one in told["reviews"]]) == (
        "withheld",
        1,
        [f"{case_id}-1"],
    )


def test_readings_tell_of_whom_they_are_and_whether_a_later_result_is_there(ward: Ward) -> None:
    superseded, latest = ward.answered(patient="p-7"), ward.answered(patient="p-8")
    for case_id in (superseded, latest):
        for who in ("ann", "ben"):
            ward.say(who, case_id, SIGNED | {"findings": [MODIFY]})
    ward.answer(superseded, artifact="e" * 64)
    with ward.database.read() as session:
        found = {(one.result_id, one.client): one for one in store.readings(session)}
    assert {key: (one.patient_id, one.is_latest) for key, one in found.items()} == {
        (f"{case_id}-1", who): (patient, is_latest)
        for case_id, patient, is_latest in ((superseded, "p-7", False), (latest, "p-8", True))
        for who in ("ann", "ben")
    }
    assert {one.findings[0]["stands"] for one in found.values()} == {"false"}


def test_sign_off_of_one_of_two_readers_is_enough_to_ask_again(ward: Ward) -> None:
    case_id = ward.answered()
    ward.say("ann", case_id, SIGNED)
    ward.say("ben", case_id, {"verdict": "rejected", "reason": "rotated"})
    crossing = record(case_id)
    crossing["targets"][0] |= {"decision": False}
    with ward.database.read() as session:
        assert again(session, case_id, crossing)
        assert not again(session, case_id, record(case_id))
    ward.say("ann", case_id, {"verdict": "rejected", "reason": "rotated indeed"})
    with ward.database.read() as session:
        assert not again(session, case_id, crossing)


def test_many_readers_at_once_are_all_kept_and_a_repeated_post_is_one_word(ward: Ward) -> None:
    case_id = ward.answered()
    with ThreadPoolExecutor(12) as pool:
        turns = [(who, f"key-{turn % 2}") for turn in range(4) for who in ("ann", "ben", "audit")]
        found = list(pool.map(lambda turn: ward.say(turn[0], case_id, SIGNED, key=turn[1]), turns))
    assert {one.status_code for one in found} <= {201, 409}  # a key that is in flight
    with ward.database.read() as session:
        rows = session.execute(sa.select(ReviewRow.position, ReviewRow.client).order_by(ReviewRow.position)).all()
    assert [position for position, _ in rows] == list(range(6))
    assert sorted(client for _, client in rows) == ["ann", "ann", "audit", "audit", "ben", "ben"]


def test_answer_that_is_being_stored_cannot_be_overtaken_by_a_sign_off(ward: Ward) -> None:
    case_id = ward.answered()
    shown = ward.ask("feed", "GET", f"/v1/cases/{case_id}").json()
    with ThreadPoolExecutor(1) as pool:
        with ward.database.write() as session:
            result_store.lock(session, case_id)
            late = pool.submit(ward.say, "ann", case_id, SIGNED)
            time.sleep(0.5)  # it has come to where it must wait
            assert not late.done()
            results.keep(session, content(shown), record(case_id) | {"artifact": "e" * 64}, [])
        assert late.result().json()["code"] == "result_superseded"
    assert ward.reviews("feed", case_id)["reviews"] == []


def test_who_may_speak_is_who_is_blind(ward: Ward) -> None:
    assert rights.MAY["post_review"] | {Role.LOCAL} == blind.READERS
    case_id = ward.answered()
    assert ward.say("audit", case_id, SIGNED).status_code == 201
    assert ward.say("feed", case_id, SIGNED).status_code == 403
    with ward.database.read() as session:
        assert blind.hidden(session, case_id) == f"{case_id}-1"
        assert blind.hidden(session, case_id, Client("audit", Role.AUDITOR)) is None


def test_reason_is_kept_to_the_letter(ward: Ward) -> None:
    case_id = ward.answered()
    text = "<script>alert(1)</script> \u202e=cmd|' /C calc'!A0 {{7*7}} '; DROP TABLE reviews;--"
    said = {"verdict": "rejected", "reason": text, "findings": [REJECT | {"text": text}]}
    [given] = ward.say("ann", case_id, said).json()["reviews"]
    assert (given["reason"], given["findings"][0]["text"]) == (text, text)


def test_no_bundle_tells_a_second_reader_what_the_first_one_said(ward: Ward) -> None:
    case_id = ward.answered(report=False)
    asked = {who: ward.ask(who, "GET", f"/v1/cases/{case_id}/bundle").status_code for who in ("ann", "ben", "audit")}
    assert asked == {"ann": 200, "ben": 200, "audit": 200}
    assert ward.say("ann", case_id, SIGNED).status_code == 201
    assert ward.ask("ann", "GET", f"/v1/cases/{case_id}/bundle").status_code == 200
    for who in ("ben", "audit"):
        refused = ward.ask(who, "GET", f"/v1/cases/{case_id}/bundle")
        assert (refused.status_code, refused.json()["code"]) == (409, "reviews_withheld")

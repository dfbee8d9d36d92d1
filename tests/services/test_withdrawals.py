"""A report is never deleted: a person withdraws it, with a reason, and everybody who asks for it is told."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from reading_ward import RECORD, Ward, confirmed, drafted, reading_ward

from services.tables import EventRow, ReportRow, ReviewRow

WHY = {"reason": "Canary: the film is of another patient", "record_sha256": RECORD}
SIGNED: dict[str, Any] = {"verdict": "signed_off"}


@pytest.fixture
def ward(database_url: str, described_model: Path, tmp_path: Path) -> Iterator[Ward]:
    with reading_ward(database_url, described_model, tmp_path) as made:
        yield made


def withdraw(
    ward: Ward, who: str, case_id: str, said: dict[str, Any] | None = None, version: int = 1, key: str = ""
) -> httpx.Response:
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    path = f"/v1/cases/{case_id}/results/{version}/withdrawal"
    return ward.ask(who, "POST", path, json=WHY if said is None else said, headers=headers)


def test_a_withdrawn_report_is_given_to_nobody_who_does_not_mean_it(ward: Ward) -> None:
    case_id = ward.answered()
    given = withdraw(ward, "ann", case_id)
    assert (given.status_code, given.headers["Location"]) == (201, f"/v1/cases/{case_id}/reviews")
    for who in ("ann", "audit", "feed"):
        for form in ("json", "html", "pdf"):
            gone = ward.ask(who, "GET", f"/v1/cases/{case_id}/report?format={form}")
            assert (gone.status_code, gone.json()["code"]) == (410, "report_withdrawn")
            assert "Canary" not in gone.text
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}/report?withdrawn=true&format=html").status_code == 410
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}/report?withdrawn=true").status_code != 410
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}/report?withdrawn=yes").status_code == 422


def test_nothing_is_deleted_and_the_event_names_the_record_and_not_the_reason(ward: Ward) -> None:
    case_id = ward.answered()
    withdraw(ward, "ann", case_id)
    with ward.database.read() as session:
        assert session.scalar(sa.select(ReportRow.record_sha256)) == RECORD
        [event] = session.scalars(sa.select(EventRow).where(EventRow.action == "report.withdrawn"))
        events = [str(vars(row)) for row in session.scalars(sa.select(EventRow))]
    assert {name.partition("/")[0] for name in event.facts.pop("seals")} == {"reviews", "keys"}
    assert (event.actor, event.object_id, event.facts) == ("ann", f"{case_id}-1", {"record": RECORD})
    assert not any("Canary" in one for one in events)


def test_it_is_done_once_and_of_the_record_that_was_looked_at(ward: Ward) -> None:
    case_id, key = ward.answered(), uuid.uuid4().hex
    other = withdraw(ward, "ann", case_id, WHY | {"record_sha256": "c" * 64})
    assert (other.status_code, other.json()["code"]) == (409, "record_changed")
    first, repeated = (withdraw(ward, "ann", case_id, key=key) for _ in range(2))
    assert (first.status_code, first.content) == (repeated.status_code, repeated.content)
    again = withdraw(ward, "ben", case_id)
    assert (again.status_code, again.json()["code"]) == (409, "already_withdrawn")
    with ward.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReviewRow)) == 1


@pytest.mark.parametrize(
    ("changes", "issue"),
    [
        ({"reason": ""}, ("/reason", "string_too_short")),
        ({"reason": "x" * 1001}, ("/reason", "string_too_long")),
        ({"record_sha256": "Canary"}, ("/record_sha256", "string_pattern_mismatch")),
        ({"Canary": 1}, ("", "extra_forbidden")),
    ],
)
def test_a_withdrawal_without_reason_or_record_is_refused(
    ward: Ward, changes: dict[str, Any], issue: tuple[str, str]
) -> None:
    refused = withdraw(ward, "ann", ward.answered(), WHY | changes)
    assert refused.status_code == 422
    assert issue[1] in {one["code"] for one in refused.json()["issues"]}
    assert "Canary" not in refused.text


def test_what_is_not_there_or_not_ones_to_withdraw_is_refused(ward: Ward) -> None:
    case_id, without = ward.answered(), ward.answered(report=False)
    assert withdraw(ward, "feed", case_id).status_code == 403
    assert withdraw(ward, "ann", case_id, version=2).status_code == 404
    assert withdraw(ward, "ann", str(uuid.uuid4())).status_code == 404
    pending = withdraw(ward, "ann", without)
    assert (pending.status_code, pending.json()["code"]) == (409, "report_pending")


def test_it_is_no_word_on_the_answer_and_everybody_is_told(ward: Ward) -> None:
    """It tells a second reader nothing of the first one's verdict, and gives nobody who withdraws a sight of it."""
    case_id = ward.answered()
    ward.say("ann", case_id, SIGNED)
    withdraw(ward, "ben", case_id)
    told = ward.reviews("ben", case_id)
    assert (told["state"], told["withheld"]) == ("withdrawn", 1)
    assert [one["verdict"] for one in told["reviews"]] == ["withdrawn"]
    whole = ward.reviews("ann", case_id)
    assert (whole["state"], [one["verdict"] for one in whole["reviews"]]) == ("withdrawn", ["signed_off", "withdrawn"])
    assert whole["reviews"][1]["reason"] == WHY["reason"]


def test_a_withdrawn_report_can_be_rejected_and_not_signed_off(ward: Ward) -> None:
    case_id = ward.answered()
    withdraw(ward, "ann", case_id)
    refused = ward.say("ann", case_id, SIGNED)
    assert (refused.status_code, refused.json()["code"]) == (410, "report_withdrawn")
    assert ward.say("ann", case_id, {"verdict": "rejected", "reason": "of another patient"}).status_code == 201
    at = f"/cases/{case_id}/results/1/review"
    step = drafted(ward.signed_in("ben"), at, **{"f0-verdict": "accept", "verdict": "signed_off"})
    assert step.status_code == 410
    assert "it cannot be signed off" in step.text


def test_an_earlier_report_can_be_withdrawn_and_the_later_one_stays(ward: Ward) -> None:
    case_id = ward.answered()
    ward.answer(case_id, artifact="f" * 64)
    assert withdraw(ward, "audit", case_id, version=1).status_code == 201
    assert ward.ask("feed", "GET", f"/v1/cases/{case_id}/report").status_code != 410
    assert ward.reviews("ann", case_id)["state"] == "none"
    assert ward.signed_in("ann").get(f"/cases/{case_id}/results/1/report.pdf").status_code == 410


def test_the_pages_withdraw_in_two_steps(ward: Ward) -> None:
    case_id = ward.answered()
    at, client = f"/cases/{case_id}/results/1/withdraw", ward.signed_in("audit")
    empty = drafted(client, at, reason=" ")
    assert empty.status_code == 422
    assert "Say why" in empty.text
    step = drafted(client, at, reason="<b>Canary</b>\u202e")
    assert step.status_code == 200
    assert "&lt;b&gt;Canary" in step.text
    with ward.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReviewRow)) == 0
    assert confirmed(client, at, step, draft="e30=").status_code == 403
    done = confirmed(client, at, step)
    assert (done.status_code, done.headers["Location"]) == (303, f"/cases/{case_id}/results/1")
    assert confirmed(client, at, step).status_code == 303
    assert "It was withdrawn by" in client.get(at).text
    with ward.database.read() as session:
        assert list(session.scalars(sa.select(ReviewRow.verdict))) == ["withdrawn"]
    assert "Report withdrawn" in client.get(f"/cases/{case_id}").text

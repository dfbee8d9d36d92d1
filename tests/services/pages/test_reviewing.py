"""A result is reviewed in two steps, without a script: nothing is signed that was not shown, nobody is told early."""

import html
import re
from typing import Any

import httpx
import sqlalchemy as sa
from reading_ward import RECORD, Ward, confirmed, drafted, fields
from service_answers import record

from services.tables import EventRow, ReportRow, ReviewRow

NASTY = "<script>alert(1)</script><b onclick=x>\u202etxt.exe\x07 \"'}{{7*7}} &amp;"
TARGETS: list[dict[str, Any]] = [
    record("x")["targets"][0],
    record("x")["targets"][0] | {"target": "pleural_effusion", "decision": False, "probability": 0.1},
]
CHOSEN = {
    "f0-verdict": "accept",
    "f1-verdict": "modify",
    "f1-answer": "unclear",
    "f1-reason": "other",
    "f1-text": NASTY,
    "verdict": "signed_off",
}


def reviewed(client: httpx.Client, at: str, **changes: str) -> httpx.Response:
    return drafted(client, at, **(CHOSEN | changes))


def reviews(ward: Ward) -> list[ReviewRow]:
    with ward.database.read() as session:
        return list(session.scalars(sa.select(ReviewRow)))


def page_of(ward: Ward, version: int = 1) -> str:
    return f"/cases/{ward.answered(targets=TARGETS)}/results/{version}/review"


def test_what_is_shown_is_what_is_signed_once_however_often_it_is_sent(ward: Ward) -> None:
    at, client = page_of(ward), ward.signed_in("ann")
    step = reviewed(client, at)
    assert step.status_code == 200
    assert RECORD in step.text
    assert "Nothing is kept yet" in step.text
    assert reviews(ward) == []
    for _ in range(2):
        done = confirmed(client, at, step)
        assert (done.status_code, done.headers["location"]) == (303, at)
    [kept] = reviews(ward)
    assert (kept.client, kept.verdict, kept.record_sha256) == ("ann", "signed_off", RECORD)
    assert [(one["target"], one["stands"], one["text"]) for one in kept.findings] == [
        ("pneumonia", "true", ""),
        ("pleural_effusion", "unclear", NASTY),
    ]
    assert "Your review of" in client.get(at).text


def test_events_tell_who_looked_drafted_and_signed(ward: Ward) -> None:
    at, client = page_of(ward), ward.signed_in("audit")
    confirmed(client, at, reviewed(client, at))
    with ward.database.read() as session:
        told = session.scalars(sa.select(EventRow).where(EventRow.actor == "audit").order_by(EventRow.seq)).all()
    case_id = at.split("/")[2]
    assert [(one.action, one.object_id) for one in told][1:] == [
        ("review.read", f"{case_id}-1"),
        ("review.drafted", f"{case_id}-1"),
        ("result.signed_off", f"{case_id}-1"),
    ]
    assert all(one.patient for one in told[1:])
    assert not any("alert" in str(vars(one)) for one in told)


def test_report_that_changed_between_the_steps_cannot_be_signed(ward: Ward) -> None:
    at, client = page_of(ward), ward.signed_in("ann")
    step = reviewed(client, at)
    with ward.database.write() as session:
        session.execute(sa.update(ReportRow).values(record_sha256="c" * 64))
    refused = confirmed(client, at, step)
    assert (refused.status_code, "record_changed" in refused.text) == (409, True)
    assert reviewed(client, at, record=RECORD).status_code == 409
    assert reviews(ward) == []


def test_answer_that_was_superseded_between_the_steps_cannot_be_signed(ward: Ward) -> None:
    at, client = page_of(ward), ward.signed_in("ann")
    step = reviewed(client, at)
    ward.answer(at.split("/")[2], artifact="e" * 64)
    refused = confirmed(client, at, step)
    assert (refused.status_code, "result_superseded" in refused.text) == (409, True)
    shown = client.get(at)
    assert "it cannot be reviewed any more" in shown.text
    assert "See what will be signed" not in shown.text
    assert f"{at.replace('/1/', '/2/')}" in shown.text


def test_other_content_than_was_shown_is_refused(ward: Ward) -> None:
    at, ann, ben = page_of(ward), ward.signed_in("ann"), ward.signed_in("ben")
    step, other = reviewed(ann, at), reviewed(ann, at, verdict="rejected", reason="rotated")
    swapped = fields(other, f"{at}/confirm")["draft"]
    assert confirmed(ann, at, step, draft=swapped).status_code == 403
    assert confirmed(ann, at, step, draft="no base64").status_code == 403
    assert confirmed(ann, at, step, seal="").status_code == 403
    assert ann.post(f"{page_of(ward)}/confirm", data=fields(step, f"{at}/confirm")).status_code == 403
    word = fields(ben.get(at), at)["word"]
    assert confirmed(ben, at, step, word=word).status_code == 403
    assert reviews(ward) == []


def test_every_fault_is_told_at_its_field_and_what_was_chosen_is_kept(ward: Ward) -> None:
    at, client = page_of(ward), ward.signed_in("ann")
    refused = reviewed(client, at, **{"f0-verdict": "", "f1-answer": "false", "f1-reason": ""})
    assert refused.status_code == 422
    for field in ("f0-verdict", "f1-reason"):
        assert f'href="#{field}"' in refused.text
        assert f'id="{field}-fault"' in refused.text
    assert html.escape("{{7*7}}") in refused.text
    unchanged = reviewed(client, at, **{"f1-answer": "false"})
    assert 'id="f1-answer-fault"' in unchanged.text
    wordless = reviewed(client, at, **{"f1-text": " \r\n "})
    assert 'id="f1-text-fault"' in wordless.text
    assert 'id="reason-fault"' in reviewed(client, at, verdict="rejected").text


def test_change_leads_back_to_the_form_with_what_was_chosen(ward: Ward) -> None:
    at, client = page_of(ward), ward.signed_in("ann")
    step = reviewed(client, at)
    back = client.post(at, data=fields(step, at))
    assert back.status_code == 200
    assert re.search(r'value="modify"[^>]* checked', back.text)
    assert "&lt;script&gt;" in back.text


def test_nothing_that_was_written_is_markup_or_hides_itself(ward: Ward) -> None:
    at, client = page_of(ward), ward.signed_in("ann")
    step = reviewed(client, at, reason=NASTY)
    confirmed(client, at, step)
    for page in (step, client.get(at)):
        assert "<script>alert" not in page.text
        assert "<b onclick" not in page.text
        shown = re.sub(r'<input type="hidden"[^>]*>', "", page.text)
        assert "\u202e" not in shown
        assert "\x07" not in shown
        assert "[U+202E]txt.exe[U+0007]" in shown
        assert "{{7*7}}" in html.unescape(shown)


def test_second_reader_sees_that_and_not_what_the_first_one_said(ward: Ward) -> None:
    at, ann, ben = page_of(ward), ward.signed_in("ann"), ward.signed_in("ben")
    confirmed(ann, at, reviewed(ann, at, reason="Canary"))
    for page in (ben.get(at), reviewed(ben, at), reviewed(ben, at, **{"f0-verdict": ""})):
        assert "Canary" not in page.text
        assert "by ann" not in page.text
    assert "1 review was given by others" in ben.get(at).text
    confirmed(ben, at, reviewed(ben, at, verdict="rejected", reason="rotated"))
    assert "Canary" in ben.get(at).text


def test_late_answer_that_decides_otherwise_asks_for_another_review(ward: Ward) -> None:
    at, client = page_of(ward), ward.signed_in("ann")
    confirmed(client, at, reviewed(client, at, reason="Canary"))
    case_id = at.split("/")[2]
    ward.answer(case_id, crosses_signed=True, artifact="e" * 64, targets=[TARGETS[0] | {"decision": False}])
    later = ward.signed_in("ben").get(at.replace("/1/", "/2/"))
    assert "it needs another review" in later.text
    assert "Canary" in later.text
    assert ward.reviews("ben", case_id)["state"] == "needs_re-review"


def test_without_a_report_nothing_can_be_signed_on_the_page(ward: Ward) -> None:
    at = f"/cases/{ward.answered(report=False)}/results/1/review"
    shown = ward.signed_in("ann").get(at)
    assert "still being made" in shown.text
    assert "See what will be signed" not in shown.text


def test_only_who_may_review_sees_the_page(ward: Ward) -> None:
    at = page_of(ward)
    assert ward.signed_in("feed").get(at).status_code == 403
    assert httpx.get(ward.url + at).headers["location"].startswith("/login")
    assert ward.signed_in("ann").get(at.replace("/1/", "/9/")).status_code == 404

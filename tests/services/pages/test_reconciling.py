"""A held case is reconciled in two steps, without a script: by who may, of what was seen, once."""

import html
import re

import httpx
import pytest
import sqlalchemy as sa
from reading_ward import INPUT, Ward, confirmed, drafted, fields
from service_requests import case, film

from services.tables import EventRow

NASTY = "<script>alert(1)</script>\u202etxt.exe \"'{{7*7}} &amp;"
WHY = "Maiden name on the old film; birth dates agree."
SAME = {"decision": "same_patient", "reason": WHY}
FIELDS = ("decision", "excluded", "settled")


def held(ward: Ward, name: str = "Canary-Request", **changes: object) -> str:
    """The page of a case of p-1 whose film is of p-2."""
    answer = ward.sent(case(patient={"id": "p-1", "name": name}, **changes), film(3, patient="p-2"))
    assert answer.status_code == 409
    return answer.headers["location"].removeprefix("/v1") + "/reconcile"


def grow(ward: Ward, at: str) -> None:
    inputs = {"note": {"text": "Afebrile."}}
    headers = {"Idempotency-Key": "grow"}
    assert ward.ask("feed", "POST", f"/v1{at[:-10]}/inputs", json=inputs, headers=headers).status_code == 409


def box(page: httpx.Response, part: str) -> dict[str, str]:
    boxes = {name: value for kind, name, value, _ in INPUT.findall(page.text) if kind == "checkbox"}
    return {name: value for name, value in boxes.items() if part in value.split()}


def events(ward: Ward, at: str) -> list[EventRow]:
    with ward.database.read() as session:
        told = session.scalars(sa.select(EventRow).order_by(EventRow.seq)).all()
    case_id = at.split("/")[2]
    return [one for one in told if case_id in (one.object_id, one.facts.get("case"))]


def state(ward: Ward, at: str) -> str:
    return str(ward.ask("feed", "GET", f"/v1{at[:-10]}").json()["state"])


def test_both_values_stand_side_by_side_and_that_they_were_shown_is_an_event(ward: Ward) -> None:
    at = held(ward)
    shown = ward.signed_in("ann").get(at)
    row = re.search(r'<th scope="row">Patient id</th>.*?</tr>', shown.text, re.DOTALL)
    assert row is not None
    assert re.findall(r'class="value">([^<]*)</bdi><br><small>said by ([^<]*)<', row[0]) == [
        ("p-1", "the request"),
        ("p-2", "images/0"),
    ]
    assert ">Canary-Request<" in shown.text
    assert ">Canary^Film<" in shown.text
    last = events(ward, at)[-1]
    assert (last.action, last.actor, last.case_id) == ("case.identity_shown", "ann", at.split("/")[2])
    assert "Canary" not in str(vars(last))


def test_who_may_not_is_told_why_and_shown_no_value(ward: Ward) -> None:
    at = held(ward)
    for who in ("audit", "feed"):
        refused = ward.signed_in(who).get(at)
        assert (refused.status_code, "It is for: clinician." in refused.text) == (403, True)
        assert f"The role of {who} is" in refused.text
        assert "Canary" not in refused.text
        assert "p-2" not in refused.text
        assert ward.signed_in(who).post(at, data={"decision": "same_patient"}).status_code == 403
        assert ward.signed_in(who).post(f"{at}/confirm", data={"draft": "x"}).status_code == 403
    assert httpx.get(ward.url + at).headers["location"].startswith("/login")
    assert ward.signed_in("ann").get("/cases/00000000-0000-0000-0000-000000000000/reconcile").status_code == 404
    assert state(ward, at) == "held"


def test_held_case_and_its_row_lead_there_who_may(ward: Ward) -> None:
    at = held(ward)
    ann, audit = ward.signed_in("ann"), ward.signed_in("audit")
    for page in (at[:-10], "/worklist"):
        assert f'href="{at}"' in ann.get(page).text
        assert f'href="{at}"' not in audit.get(page).text
    assert "ask a clinician" in audit.get(at[:-10]).text
    whole = ward.answered()
    assert f"{whole}/reconcile" not in ann.get(f"/cases/{whole}").text + ann.get("/worklist").text


def test_what_was_shown_is_done_once_however_often_it_is_sent(ward: Ward) -> None:
    at, client = held(ward), ward.signed_in("ann")
    step = drafted(client, at, **SAME)
    assert "Nothing is done yet" in step.text
    assert html.escape(WHY) in step.text
    assert state(ward, at) == "held"
    for _ in range(2):
        done = confirmed(client, at, step)
        assert (done.status_code, done.headers["location"]) == (303, at[:-10])
    assert state(ward, at) == "pending"
    mine = [one.action for one in events(ward, at) if one.actor == "ann"]
    assert mine[:2] == ["case.identity_shown", "reconciliation.drafted"]
    assert mine.count("case.reconciled") == 1


def test_act_is_the_api_s_own(ward: Ward) -> None:
    here, there = held(ward), held(ward, reference="order-2")
    client = ward.signed_in("ann")
    assert confirmed(client, here, drafted(client, here, **SAME)).status_code == 303
    headers = {"Idempotency-Key": "k", "If-Match": '"1"'}
    assert ward.ask("ann", "POST", f"/v1{there[:-10]}/reconciliations", json=SAME, headers=headers).status_code == 202
    by_page, by_api = (next(e for e in events(ward, at) if e.action == "case.reconciled") for at in (here, there))
    assert [by_page.facts[name] for name in FIELDS] == [by_api.facts[name] for name in FIELDS]
    assert (by_page.actor, by_page.role, by_page.outcome) == (by_api.actor, by_api.role, by_api.outcome)


def test_parts_of_another_patient_are_left_out(ward: Ward) -> None:
    at, client = held(ward), ward.signed_in("ann")
    step = drafted(client, at, decision="exclude", reason=WHY, **box(client.get(at), "images/0"))
    assert "released and answered, without the parts" in step.text
    assert confirmed(client, at, step).status_code == 303
    [act] = [one for one in events(ward, at) if one.action == "case.reconciled"]
    assert (act.facts["decision"], act.facts["excluded"]) == ("exclude", ["images/0"])


def test_who_leaves_out_too_little_is_told_before_that_the_case_stays_held(ward: Ward) -> None:
    at, client = held(ward), ward.signed_in("ann")
    step = drafted(client, at, decision="exclude", reason=WHY, **box(client.get(at), "notes/0"))
    assert "the case stays held" in step.text
    assert confirmed(client, at, step).status_code == 303
    again = client.get(at)
    assert WHY in html.unescape(again.text)
    assert box(again, "notes/0") == {}
    assert box(again, "images/0")


@pytest.mark.parametrize("when", ["before the draft", "before it is confirmed"])
def test_change_meanwhile_stops_the_decision_and_loses_nothing_that_was_typed(ward: Ward, when: str) -> None:
    at, client = held(ward), ward.signed_in("ann")
    shown = client.get(at)
    said = fields(shown, at) | {"decision": "exclude", "reason": NASTY, **box(shown, "images/0")}
    if when == "before the draft":
        grow(ward, at)
        refused = client.post(at, data=said)
    else:
        step = client.post(at, data=said)
        grow(ward, at)
        refused = confirmed(client, at, step)
    assert (refused.status_code, "you saw version 1, now it is at version 2" in refused.text) == (412, True)
    assert NASTY in html.unescape(refused.text)
    assert "<script>alert" not in refused.text
    assert re.search(r'value="exclude" required checked', refused.text)
    kept = fields(refused, at)
    assert "images/0" in kept.values()
    assert "notes/1" not in kept.values()
    assert refused.text.count(">new</span>") == 1
    assert state(ward, at) == "held"
    assert [(one.action, one.facts.get("code")) for one in events(ward, at) if one.actor == "ann"][-2:] == [
        ("case.identity_shown", None),
        ("request.refused", "version_stale"),
    ]
    step = client.post(at, data=kept | {"decision": "exclude", "reason": WHY})
    assert confirmed(client, at, step).status_code == 303


def test_who_comes_second_is_told_what_was_decided(ward: Ward) -> None:
    at, ann, ben = held(ward), ward.signed_in("ann"), ward.signed_in("ben")
    late, other = drafted(ben, at, decision="same_patient", reason="Looked at the bands."), drafted(ann, at, **SAME)
    assert confirmed(ann, at, other).status_code == 303
    refused = confirmed(ben, at, late)
    assert (refused.status_code, "This case is not held" in refused.text) == (412, True)
    assert "Looked at the bands." in refused.text
    assert html.escape(WHY) in refused.text
    assert "Canary" not in refused.text
    again = ann.get(at)
    assert (again.status_code, "there is nothing to decide" in again.text) == (200, True)
    assert events(ward, at)[-1].action == "case.read"


def test_every_fault_is_told_at_its_field(ward: Ward) -> None:
    at, client = held(ward), ward.signed_in("ann")
    refused = drafted(client, at, reason=" \r\n ")
    assert refused.status_code == 422
    for field in ("decision", "reason"):
        assert f'href="#{field}"' in refused.text
        assert f'id="{field}-fault"' in refused.text
    assert 'id="exclude-fault"' in drafted(client, at, decision="exclude", reason=WHY).text
    both = drafted(client, at, **SAME, **box(client.get(at), "images/0"))
    assert 'id="exclude-fault"' in both.text
    assert "images/0" in fields(both, at).values()
    for parts in ("images/9", "images/x", " ".join(f"images/{number}" for number in range(2001))):
        assert 'id="exclude-fault"' in drafted(client, at, decision="exclude", reason=WHY, **{"leave-0": parts}).text
    assert 'id="reason-fault"' in drafted(client, at, decision="same_patient", reason="x" * 1001).text
    assert state(ward, at) == "held"


def test_other_content_or_another_version_than_was_shown_is_refused(ward: Ward) -> None:
    at, ann, ben = held(ward), ward.signed_in("ann"), ward.signed_in("ben")
    step, other = drafted(ann, at, **SAME), drafted(ann, at, decision="same_patient", reason="Other")
    for changes in (
        {"draft": fields(other, f"{at}/confirm")["draft"]},
        {"seen": "2"},
        {"seal": ""},
        {"draft": "no base64"},
        {"word": ""},
    ):
        assert confirmed(ann, at, step, **changes).status_code == 403
    assert confirmed(ben, at, step, word=fields(ben.get(at), at)["word"]).status_code == 403
    assert ann.post(at, data=SAME).status_code == 403
    assert state(ward, at) == "held"


def test_change_leads_back_to_the_form_with_what_was_chosen(ward: Ward) -> None:
    at, client = held(ward), ward.signed_in("ann")
    step = drafted(client, at, decision="exclude", reason=NASTY, **box(client.get(at), "images/0"))
    back = client.post(at, data=fields(step, at))
    assert back.status_code == 200
    assert "images/0" in fields(back, at).values()
    assert NASTY in html.unescape(back.text)


def test_nothing_that_was_sent_or_written_is_markup_or_hides_itself(ward: Ward) -> None:
    at, client = held(ward, name=NASTY), ward.signed_in("ann")
    step = drafted(client, at, decision="same_patient", reason=NASTY)
    for page in (client.get(at), step):
        assert "<script>alert" not in page.text
        shown = re.sub(r'<input type="hidden"[^>]*>', "", page.text)
        assert "\u202e" not in shown
        assert "[U+202E]txt.exe" in shown

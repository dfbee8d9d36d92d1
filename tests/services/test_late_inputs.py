"""What comes late: each addition a version, each answer bound to what it was given, nothing rewritten."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from service_processes import running_api
from service_requests import case, cohort_film, film, post
from ward import CRP, Ward, add, open_ward

from services.auth import Role, add_client
from services.jobs import state
from services.settings import Pace, Settings
from services.tables import EventRow, JobRow


@pytest.fixture(params=["sqlite", "postgresql"])
def ward(request: pytest.FixtureRequest, tiny_artifact: Path, tmp_path: Path) -> Iterator[Ward]:
    if request.param == "sqlite":
        (tmp_path / "clinimm.db").write_bytes(request.getfixturevalue("migrated_sqlite").read_bytes())
        url = f"sqlite:///{tmp_path / 'clinimm.db'}"
    else:
        url = request.getfixturevalue("emptied_postgres_url")
    with open_ward(url, tiny_artifact, tmp_path) as ward:
        yield ward


@pytest.mark.slow
def test_labs_after_the_film_supersede_its_answer_and_say_what_they_change(ward: Ward, tiny_cohort: Path) -> None:
    case_id = post(ward.api, case(labs=None), [("image", cohort_film(tiny_cohort))]).json()["id"]
    ward.work()
    [first] = ward.results(case_id)
    assert (first["missing"], first["cause"], first["status"]) == (["labs"], "created", "current")
    late = add(ward.api, case_id, {"labs": [CRP]})
    assert (late.status_code, late.json()["version"], late.json()["state"]) == (202, 2, "pending")
    ward.work()
    second, superseded = ward.results(case_id)
    assert (second["cause"], second["supersedes"], second["case_version"]) == ("modality_added:labs", 1, 2)
    assert superseded == first | {"status": "superseded", "superseded_by": 2}
    assert "labs" in second["used"]
    for target in second["targets"]:
        change = second["changes"][target["target"]]
        before = next(one for one in first["targets"] if one["target"] == target["target"])
        assert (change["before"], change["after"]) == (before["probability"], target["probability"])
        assert change["delta"] == pytest.approx(target["probability"] - before["probability"], abs=2e-6)
    assert ward.api.get(f"/v1/cases/{case_id}/results/1").json() == superseded
    compared = ward.api.get(f"/v1/cases/{case_id}/report").json()["comparison"]
    assert (compared["name"], compared["cause"], compared["targets"]) == (
        first["id"],
        second["cause"],
        second["changes"],
    )
    assert compared["inputs"] == {"labs": {"before": "absent", "after": "present"}}


@pytest.mark.slow
def test_correction_and_cancellation_take_effect_whatever_comes_first(ward: Ward) -> None:
    corrected = CRP | {"value": 12, "status": "corrected", "issued_at": "2026-01-17T11:00:00Z"}
    finals = []
    for order in ([CRP, corrected], [corrected, CRP]):
        shown = post(ward.api, case(uuid.uuid4().hex, labs=None)).json()
        for lab in order:
            shown = add(ward.api, shown["id"], {"labs": [lab]}).json()
        ward.work()
        finals.append((shown["inputs_hash"], ward.results(shown["id"])[0]["targets"]))
    assert finals[0] == finals[1]
    cancelled = add(ward.api, shown["id"], {"labs": [{"id": "L-1", "name": "crp", "status": "cancelled"}]}).json()
    assert cancelled["parts"][0]["outcome"] == "withdrawn"
    ward.work()
    latest = ward.results(shown["id"])[0]
    assert (latest["used"], latest["cause"]) == (["note"], "labs_cancelled")
    assert {one["code"] for one in latest["unused_inputs"]} == {"cancelled"}


def test_what_is_there_already_makes_no_version_and_no_second_answer(ward: Ward) -> None:
    case_id = post(ward.api, case()).json()["id"]
    ward.work()
    again = add(ward.api, case_id, {"note": case()["note"], "labs": case()["labs"]})
    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert {part["outcome"] for part in again.json()["parts"]} == {"already_stored"}
    ward.work()
    assert len(ward.results(case_id)) == 1


def test_a_burst_is_answered_at_once_and_once_more_when_it_is_quiet(ward: Ward) -> None:
    ward.settler.pace = Pace(quiet=3600, cap=7200)
    case_id = post(ward.api, case(labs=None)).json()["id"]
    for number in range(8):
        ward.settler.turn()
        add(ward.api, case_id, {"labs": [CRP | {"id": f"L-{number}", "value": 10 + number}]})
    ward.work()
    assert len(ward.results(case_id)) == 1
    assert ward.api.get(f"/v1/cases/{case_id}").json()["state"] == "pending"
    ward.settler.pace = Pace(quiet=0, cap=0)
    ward.work()
    # Work that began late was given all that had come by then: the second diagnosis finds its answer there.
    assert [one["case_version"] for one in ward.results(case_id)] == [9]
    with ward.database.read() as session:
        jobs = session.scalar(sa.select(sa.func.count()).where(JobRow.kind == "diagnose"))
    assert jobs == 2


def test_complete_modalities_are_waited_for_no_longer(ward: Ward) -> None:
    ward.settler.pace = Pace(quiet=3600, cap=7200)
    shown = post(ward.api, case(labs=None))
    case_id, tag = shown.json()["id"], shown.headers["etag"]
    path = f"/v1/cases/{case_id}/modalities"
    told = {"complete": True, "absent_reason": "not_ordered"}
    assert ward.api.put(f"{path}/labs", json=told).status_code == 428
    assert ward.api.put(f"{path}/labs", json=told, headers={"If-Match": '"7-x"'}).status_code == 412
    for modality, body in (("labs", told), ("cxr", told), ("note", {"complete": True})):
        answer = ward.api.put(f"{path}/{modality}", json=body, headers={"If-Match": tag})
        assert answer.status_code == 200
        tag = answer.headers["etag"]
    ward.work()
    latest = ward.results(case_id)[0]
    assert latest["case_version"] == 4
    assert latest["inputs"]["labs"]["reason"] == "not_ordered"


@pytest.mark.slow
def test_another_model_answers_only_when_it_is_asked(ward: Ward) -> None:
    case_id = post(ward.api, case()).json()["id"]
    ward.work()
    with ward.database.write() as session:  # as if the result were of the model of before
        session.execute(sa.text("UPDATE results SET model = :other"), {"other": "e" * 64})
    ward.work()
    assert len(ward.results(case_id)) == 1
    key = {"Idempotency-Key": "again"}
    asked = [ward.api.post(f"/v1/cases/{case_id}/results", headers=key) for _ in range(2)]
    assert {answer.status_code for answer in asked} == {202}
    assert asked[0].content == asked[1].content
    ward.work()


def test_two_patients_in_one_case_get_no_answer_until_a_person_decides(ward: Ward) -> None:
    case_id = post(ward.api, case(labs=None)).json()["id"]
    ward.work()
    before = ward.results(case_id)
    assert len(before) == 1
    other = add(ward.api, case_id, images=[("image", film(3, patient="p-2"))])
    assert (other.status_code, other.json()["code"]) == (409, "identity_conflict")
    assert {issue["pointer"] for issue in other.json()["issues"]} == {"/images/0", "/request"}
    assert "p-2" not in other.text
    ward.work()
    found = ward.api.get(f"/v1/cases/{case_id}/results").json()
    assert (found["state"], found["reason"], found["results"]) == ("held", "identity_conflict", [])
    assert ward.api.get(f"/v1/cases/{case_id}/results/1").status_code == 409
    assert ward.api.get(f"/v1/cases/{case_id}/report").status_code == 409
    shown = ward.api.get(f"/v1/cases/{case_id}")
    assert (shown.json()["state"], shown.json()["version"]) == ("held", 2)
    told = ward.api.get(f"/v1/cases/{case_id}/identity").json()
    assert told["mismatches"] == [
        {"field": "patient_id", "sources": {"request": "p-1", "images/0": "p-2"}, "settled": False}
    ]
    decision = {"decision": "exclude", "exclude": ["images/0"], "reason": "filed under the wrong patient"}
    headers = {"Idempotency-Key": "d", "If-Match": shown.headers["etag"]}
    released = ward.api.post(f"/v1/cases/{case_id}/reconciliations", json=decision, headers=headers)
    assert (released.status_code, released.json()["version"]) == (202, 3)
    ward.work()
    # Without the other patient's film the content is that of before, which has its answer.
    assert ward.results(case_id) == before
    assert ward.api.get(f"/v1/cases/{case_id}").json()["parts"][-1]["code"] == "other_patient"


def test_a_settled_contradiction_stays_settled_and_a_new_one_holds_again(ward: Ward) -> None:
    films = [("image", film(3, patient="p-2"))]
    held = post(ward.api, case(labs=None), films)
    assert held.status_code == 409
    where = held.headers["location"]
    shown = ward.api.get(where)
    same = {"decision": "same_patient", "reason": "p-2 is the old number"}
    headers = {"Idempotency-Key": "d", "If-Match": shown.headers["etag"]}
    assert ward.api.post(f"{where}/reconciliations", json=same, headers=headers).status_code == 202
    case_id = where.rpartition("/")[2]
    assert add(ward.api, case_id, images=[("image", film(4, patient="p-2"))]).status_code == 202
    assert add(ward.api, case_id, images=[("image", film(5, patient="p-3"))]).status_code == 409


def test_note_of_another_patient_holds_the_case(ward: Ward) -> None:
    text = "Patient ID: p-9\nDate of birth: 1950-03-01\n\nFever and cough."
    assert post(ward.api, case(note={"text": text})).json()["code"] == "identity_conflict"
    lab = CRP | {"patient": {"id": "p-9"}}
    assert post(ward.api, case("b", labs=[lab])).json()["code"] == "identity_conflict"


@pytest.mark.slow
def test_sign_off_asks_again_where_a_threshold_is_crossed(ward: Ward) -> None:
    note = {"id": "N-1", "text": "Fever and cough."}
    case_id = post(ward.api, case(labs=None, note=note)).json()["id"]
    ward.work()
    path = f"/v1/cases/{case_id}/results/1/reviews"
    signed = ward.api.post(path, json={"verdict": "signed_off"}, headers={"Idempotency-Key": "s"})
    assert (signed.status_code, signed.json()["state"]) == (201, "signed_off")
    add(ward.api, case_id, {"labs": [CRP | {"unit": ""}]})
    ward.work()
    kept = ward.results(case_id)[0]
    assert (kept["version"], {change["crossed"] for change in kept["changes"].values()}) == (2, {False})
    assert ward.api.get(f"/v1/cases/{case_id}/reviews").json()["state"] == "signed_off"
    add(ward.api, case_id, {"note": note | {"status": "entered-in-error"}})
    ward.work()
    crossing = ward.results(case_id)[0]
    assert {change["crossed"] for change in crossing["changes"].values()} == {True}
    assert "needs_re-review" in crossing["flags"]
    assert ward.api.get(f"/v1/cases/{case_id}/reviews").json()["state"] == "needs_re-review"
    asked = ward.api.get("/v1/cases", params={"flag": "needs_re-review"}).json()["cases"]
    assert [line["id"] for line in asked] == [case_id]
    actions = [one["action"] for one in ward.api.get(f"/v1/cases/{case_id}/timeline").json()["events"]]
    assert "result.needs_re-review" in actions
    keyed = {"Idempotency-Key": "t"}
    assert ward.api.post(path, json={"verdict": "signed_off"}, headers=keyed).json()["code"] == "result_superseded"
    latest = path.replace("/1/", "/3/")
    again = ward.api.post(latest, json={"verdict": "rejected", "reason": "withdrawn"}, headers=keyed)
    assert (again.status_code, again.json()["state"]) == (201, "rejected")


def test_timeline_is_the_audit_itself(ward: Ward) -> None:
    case_id = post(ward.api, case(labs=None)).json()["id"]
    add(ward.api, case_id, {"labs": [CRP]})
    ward.work()
    told = ward.api.get(f"/v1/cases/{case_id}/timeline").json()["events"]
    with ward.database.read() as session:
        events = list(session.scalars(sa.select(EventRow).where(EventRow.case_id == case_id).order_by(EventRow.seq)))
    assert [(one["seq"], one["action"], one["object_id"]) for one in told] == [
        (row.seq, row.action, row.object_id) for row in events
    ]
    assert [one["action"] for one in told][:2] == ["case.created", "case.added"]
    assert "result.stored" in {one["action"] for one in told}


def test_only_a_clinician_decides(settings: Settings, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    feed, person = add_client(tokens, "feed"), add_client(tokens, "ward", Role.CLINICIAN)
    with running_api(settings.model_copy(update={"tokens_file": tokens})) as api:
        as_feed, as_person = ({"Authorization": f"Bearer {token}"} for token in (feed, person))
        held = post(api, case(), [("image", film(3, patient="p-2"))], headers=as_feed)
        where = held.headers["location"]
        assert api.get(f"{where}/identity", headers=as_feed).status_code == 403
        assert api.get(f"{where}/identity", headers=as_person).status_code == 200
        decision = {"decision": "same_patient", "reason": "seen"}
        keyed = {"Idempotency-Key": "k", "If-Match": "*"}
        refused = api.post(f"{where}/reconciliations", json=decision, headers=as_feed | keyed)
        assert (refused.status_code, refused.json()["code"]) == (403, "role_not_allowed")
        assert api.post(f"{where}/reconciliations", json=decision, headers=as_person | keyed).status_code == 202


def test_asking_again_tries_what_had_failed_for_good(ward: Ward) -> None:
    case_id = post(ward.api, case()).json()["id"]
    with ward.database.write() as session:
        job = session.scalars(sa.select(JobRow)).one()
        state.bury(session, job.id, "attempts_exhausted")
    assert ward.api.get(f"/v1/cases/{case_id}").json()["state"] == "failed"
    asked = ward.api.post(f"/v1/cases/{case_id}/results", headers={"Idempotency-Key": "again"})
    assert asked.status_code == 202
    assert ward.api.get(asked.headers["location"]).json()["state"] == "running"
    ward.work()
    assert len(ward.results(case_id)) == 1

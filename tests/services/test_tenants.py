"""A database is of one tenant, and every event and report says which."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from service_requests import case, post
from ward import CRP, add, open_ward

from clinimm.errors import ConfigError
from services import audit
from services import replay as replaying
from services.audit.verify import CHANGED, verify
from services.db import Database
from services.jobs.prepare import opened, prepared, ready
from services.replay import Verdict
from services.settings import UNNAMED_TENANT, Settings
from services.tables import EventRow


def tenants(database: Database) -> list[tuple[str, str | None]]:
    with database.read() as session:
        events = session.scalars(sa.select(EventRow).order_by(EventRow.seq))
        return [(event.action, event.facts.get("tenant")) for event in events]


def act(database: Database) -> None:
    with database.write() as session:
        audit.record(session, "clinic", "job.retried", "job-1")
        audit.record(session, "clinic", "case.created", "c-1", of_case="c-1", parts=[])


def test_every_event_is_of_the_tenant_whom_the_service_was_started_for(database_url: str) -> None:
    database = ready(database_url, "st-mary")
    act(database)
    with opened(database_url).write() as session:  # an operator's command, whose environment names nobody
        audit.record(session, audit.OPERATOR, "case.exported", "c-1")
    acts = ["tenant.named", "job.retried", "case.created", "case.exported"]
    assert tenants(database) == [(name, "st-mary") for name in acts]
    ready(database_url, "st-mary").close()
    assert len(tenants(database)) == len(acts)
    assert verify(database, [], None).findings == ()


def test_a_database_of_one_tenant_is_shut_to_another_and_to_who_forgot_to_say(database_url: str) -> None:
    ready(database_url, "st-mary").close()
    for other in ("st-john", UNNAMED_TENANT):
        with pytest.raises(ConfigError, match="of the tenant st-mary, not of"):
            ready(database_url, other)
    assert tenants(ready(database_url, "st-mary")) == [("tenant.named", "st-mary")]


def test_who_had_not_said_which_tenant_it_is_may_say_so_later(database_url: str) -> None:
    database = ready(database_url)
    act(database)
    ready(database_url, "st-mary").close()
    act(database)
    before, after = [UNNAMED_TENANT] * 3, ["st-mary"] * 3
    assert [tenant for _, tenant in tenants(database)] == before + after


def test_events_of_before_there_were_tenants_stay_as_they_are(database_url: str) -> None:
    earlier = prepared(database_url)
    act(earlier)
    assert tenants(earlier) == [("job.retried", None), ("case.created", None)]
    ready(database_url, "st-mary").close()
    assert tenants(earlier) == [("job.retried", None), ("case.created", None), ("tenant.named", "st-mary")]
    assert verify(earlier, [], None).findings == ()


def test_a_tenant_that_is_changed_in_an_event_is_found(migrated_sqlite: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'clinimm.db'}"
    database = ready(url, "st-mary")
    act(database)
    with database.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER events_no_update"))
        connection.execute(sa.text("UPDATE events SET facts = replace(facts, 'st-mary', 'st-john') WHERE seq = 2"))
    assert [(one.kind, one.first) for one in verify(database, [], None).findings] == [(CHANGED, 2)]


def test_a_report_says_whose_case_it_is_and_its_replay_does_so_too(
    database_url: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    with open_ward(prepared(database_url).url, tiny_artifact, tmp_path) as ward:
        case_id = str(post(ward.api, case(labs=None)).json()["id"])
        there = f"/v1/cases/{case_id}/report"
        ward.work()
        before = ward.api.get(there).json()["case"]
        audit.name_tenant(ward.database, "st-mary")
        add(ward.api, case_id, {"labs": [CRP]})
        ward.work()
        after = ward.api.get(there).json()["case"]
        page = ward.api.get(there, params={"format": "html"}).text
        given = Settings(data=tmp_path, artifact=tiny_artifact)
        with replaying.opened(ward.database, given) as again:
            assert [again(f"{case_id}-{version}").verdict for version in (1, 2)] == [Verdict.SAME] * 2
    assert "tenant" not in before
    assert after["tenant"] == "st-mary"
    assert "<dt>Tenant</dt><dd>st-mary</dd>" in page

"""What the events of some cases say was stored."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services import audit
from services.audit.seals import EXPLAINED, INSTANCES, JOBS, KEYS
from services.cases.versions import ADDED, CREATED
from services.db.lying import columns, plain
from services.jobs.state import DEAD, DONE, QUEUED
from services.tables import EventRow

STORED, REPORTED, LOST = "result.stored", "report.stored", "report.lost"
STORING = (CREATED, ADDED, STORED, REPORTED, LOST, "result.signed_off", "result.rejected")
BURIED, RETRIED = "job.dead_lettered", "job.retried"
EVENTS: sa.Table = EventRow.__table__  # type: ignore[assignment]

Key = tuple[str, str]  # a case's id, and a row's name in it


@dataclass
class Told:
    """`seals` are those of the rows that must be there; None of one whose event binds none. `loose` is what such
    events stored without naming it: a version of a case, or what is of a result; `early` are the cases that were made
    before jobs were bound. `versions` are the facts of each; `explained` what the last report of a result adds to it,
    None where its event does not say; `fates` the state and reason that a job was last brought to."""

    seals: dict[Key, str | None] = field(default_factory=dict)
    instances: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    loose: set[tuple[str, Any]] = field(default_factory=set)
    early: set[str] = field(default_factory=set)
    versions: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    facts: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    explained: dict[Key, str | None] = field(default_factory=dict)
    fates: dict[Key, tuple[str, str]] = field(default_factory=dict)
    _points: dict[Key, str] = field(default_factory=dict)

    def take(self, case_id: str, action: str, object_id: str, facts: Mapping[str, Any]) -> None:
        """The next event."""
        number = object_id.rpartition("-")[2]
        seals = said if isinstance(said := facts.get(audit.SEALS), dict) else {}
        if action == REPORTED:
            self.explained[case_id, f"{EXPLAINED}/{number}"] = None
        self._bind(case_id, seals)
        self._note_job(case_id, action, object_id, facts)
        if action in (CREATED, ADDED):
            self.versions[case_id, facts.get("version", 1)] = facts
        if action == CREATED and not any(name.startswith(f"{KEYS}/") for name in seals):
            self.early.add(case_id)
        if action == LOST:  # and is made anew
            self.seals.pop((case_id, f"reports/{number}"), None)
        elif action in STORING and audit.SEALS not in facts:
            self._loosen(case_id, action, object_id, facts)
        if action == STORED:  # the point of a case is that of its latest result by the model
            self.seals.pop((case_id, self._points.get((case_id, str(facts.get("model"))), "")), None)
            self._points[case_id, str(facts.get("model"))] = f"points/{number}"

    def _bind(self, case_id: str, seals: Mapping[str, str]) -> None:
        for name, seal in seals.items():
            kind, _, key = name.partition("/")
            if kind == INSTANCES:
                self.instances[key].add(seal)
            elif kind == EXPLAINED:
                self.explained[case_id, name] = seal
            elif kind != KEYS:
                self.seals[case_id, name] = seal

    def _note_job(self, case_id: str, action: str, object_id: str, facts: Mapping[str, Any]) -> None:
        if action in (BURIED, RETRIED):
            fate = (DEAD, str(facts.get("reason"))) if action == BURIED else (QUEUED, "")
            self.fates[case_id, f"{JOBS}/{object_id}"] = fate
        if "done" in facts:
            self.fates[case_id, f"{JOBS}/{facts['done']}"] = (DONE, "")

    def _loosen(self, case_id: str, action: str, object_id: str, facts: Mapping[str, Any]) -> None:
        """By an event that binds nothing."""
        if action in (CREATED, ADDED):
            version = facts.get("version", 1)
            self.loose.add((case_id, version))
            self._name(case_id, ["case", f"versions/{version}", *facts.get("parts", ())], facts)
        else:
            self.loose.add((case_id, object_id))
            number = object_id.rpartition("-")[2]
            self._name(case_id, [f"{kind}/{number}" for kind in _OF_RESULT.get(action, ())], facts)

    def _name(self, case_id: str, names: Sequence[str], facts: Mapping[str, Any]) -> None:
        for name in names:
            self.seals[case_id, name] = None
            self.facts[case_id, name] = facts


_OF_RESULT = {STORED: ("results",), REPORTED: ("reports",)}


def told(session: Session, case_ids: Sequence[str], result_ids: Sequence[str]) -> Told:
    """By the events of these cases; those of reports did not always say of which case they are."""
    event = EVENTS.columns
    unsaid = sa.and_(event["case_id"].is_(None), event["object_id"].in_(result_ids), event["action"].in_(STORING))
    query = sa.select(*columns(EVENTS)).where(sa.or_(event["case_id"].in_(case_ids), unsaid))
    found = Told()
    for row in session.execute(query.order_by(event["seq"])).mappings():
        values = plain(EVENTS, row)
        facts = values["facts"] if isinstance(values["facts"], dict) else {}
        case_id = values["case_id"] or values["object_id"].rpartition("-")[0]
        found.take(case_id, values["action"], values["object_id"], facts)
    return found

"""What the events of some cases say was stored."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from services import audit
from services.audit.seals import INSTANCES
from services.cases.versions import ADDED, CREATED
from services.db.lying import columns, plain
from services.tables import EventRow

STORED, REPORTED, LOST = "result.stored", "report.stored", "report.lost"
STORING = (CREATED, ADDED, STORED, REPORTED, LOST, "result.signed_off", "result.rejected")
_EVENTS: sa.Table = EventRow.__table__  # type: ignore[assignment]

Key = tuple[str, str]  # a case's id, and a row's name in it


@dataclass
class Told:
    """`seals` are those of the rows that must be there; None of one whose event binds none. `loose` is what such
    events stored without naming it: a version of a case, or what is of a result. `versions` are the facts of each."""

    seals: dict[Key, str | None] = field(default_factory=dict)
    instances: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    loose: set[tuple[str, Any]] = field(default_factory=set)
    versions: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    facts: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    _points: dict[Key, str] = field(default_factory=dict)

    def take(self, case_id: str, action: str, object_id: str, facts: Mapping[str, Any]) -> None:
        """The next event."""
        number = object_id.rpartition("-")[2]
        if action in (CREATED, ADDED):
            self.versions[case_id, facts.get("version", 1)] = facts
        if action == LOST:  # and is made anew
            self.seals.pop((case_id, f"reports/{number}"), None)
        elif audit.SEALS in facts:
            self._bind(case_id, facts)
        elif action in (CREATED, ADDED):
            version = facts.get("version", 1)
            self.loose.add((case_id, version))
            self._name(case_id, ["case", f"versions/{version}", *facts.get("parts", ())], facts)
        else:
            self.loose.add((case_id, object_id))
            self._name(case_id, [f"{kind}/{number}" for kind in _OF_RESULT.get(action, ())], facts)
        if action == STORED:  # the point of a case is that of its latest result by the model
            self.seals.pop((case_id, self._points.get((case_id, str(facts.get("model"))), "")), None)
            self._points[case_id, str(facts.get("model"))] = f"points/{number}"

    def _bind(self, case_id: str, facts: Mapping[str, Any]) -> None:
        for name, seal in facts[audit.SEALS].items():
            kind, _, key = name.partition("/")
            if kind == INSTANCES:
                self.instances[key].add(seal)
            else:
                self.seals[case_id, name] = seal

    def _name(self, case_id: str, names: Sequence[str], facts: Mapping[str, Any]) -> None:
        for name in names:
            self.seals[case_id, name] = None
            self.facts[case_id, name] = facts


_OF_RESULT = {STORED: ("results",), REPORTED: ("reports",)}


def told(session: Session, case_ids: Sequence[str], result_ids: Sequence[str]) -> Told:
    """By the events of these cases; those of reports did not always say of which case they are."""
    event = _EVENTS.columns
    of_result = sa.and_(event["case_id"].is_(None), event["object_id"].in_(result_ids))
    query = sa.select(*columns(_EVENTS)).where(sa.or_(event["case_id"].in_(case_ids), of_result))
    found = Told()
    for row in session.execute(query.where(event["action"].in_(STORING)).order_by(event["seq"])).mappings():
        values = plain(_EVENTS, row)
        facts = values["facts"] if isinstance(values["facts"], dict) else {}
        case_id = values["case_id"] or values["object_id"].rpartition("-")[0]
        found.take(case_id, values["action"], values["object_id"], facts)
    return found

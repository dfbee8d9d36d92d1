"""Keeps answers, each once, and gives them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from services import audit
from services.db import Database
from services.errors import NotFound
from services.http.ids import no_case
from services.jobs import state
from services.results import store
from services.results.schemas import ResultOut, ResultsOut


@dataclass(frozen=True)
class Results:
    database: Database

    def of_case(self, case_id: str) -> ResultsOut:
        """Raises NotFound."""
        with self.database.read() as session:
            known = state.of(session, "diagnose", [case_id]).get(case_id)
            results = [_shown(result) for result in store.of_case(session, case_id)]
        if known is None:
            raise no_case()
        return ResultsOut(case_id=case_id, state=state.SHOWN[known[0]], reason=known[1], results=results)

    def version(self, case_id: str, version: int) -> ResultOut:
        """Raises NotFound."""
        with self.database.read() as session:
            result = store.get(session, f"{case_id}-{version}")
        if result is None:
            raise NotFound("result_not_found", "There is no such result.")
        return _shown(result)


def keep(
    session: Session, case_id: str, inputs_hash: str, record: Mapping[str, Any], more_flags: Sequence[str] = ()
) -> str | None:
    """The id of the new result, in the caller's transaction; None if these inputs and this model have theirs."""
    model = str(record["artifact"])
    if store.find(session, inputs_hash, model) is not None:
        return None
    result_id = store.add(session, case_id, inputs_hash, model, dict(record), [*flags_of(record), *more_flags])
    audit.record(session, audit.SYSTEM, "result.stored", result_id, inputs_hash=inputs_hash, model=model)
    return result_id


def flags_of(record: Mapping[str, Any]) -> list[str]:
    """Every word that a result can be found by: the prediction's own, such as `missing:labs` and `unreadable:cxr`,
    and `abstained:no_usable_input`."""
    reasons = {record["abstained"], *(target["abstained"] for target in record["targets"])} - {None}
    return [*record["flags"], *(f"abstained:{reason}" for reason in sorted(reasons))]


def _shown(result: store.StoredResult) -> ResultOut:
    told = {name: result.record[name] for name in ("targets", "weights", "inputs", "used", "missing", "rejected")}
    base = f"/v1/cases/{result.case_id}"
    return ResultOut(
        id=result.id,
        case_id=result.case_id,
        version=result.version,
        inputs_hash=result.inputs_hash,
        model=result.model,
        created_at=result.created_at,
        flags=list(result.flags),
        conflict=result.record.get("conflict"),
        next_inputs=result.record.get("next_inputs", []),
        abstained=result.record["abstained"],
        links={"self": f"{base}/results/{result.version}", "case": base, "report": f"{base}/report"},
        **told,
    )

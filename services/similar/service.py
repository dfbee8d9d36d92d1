"""Keeps where results lie, and finds the cases near one."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from services import holds
from services.db import Database
from services.http.ids import no_case
from services.jobs import state
from services.similar import store
from services.similar.schemas import SimilarCase, SimilarOut
from services.similar.search import Search
from services.similar.store import Embedding, Latest, Neighbor


@dataclass(frozen=True)
class Similar:
    database: Database
    search: Search

    def to_case(self, case_id: str, limit: int, *, same_patient: bool) -> SimilarOut:
        """The nearest cases to one, each once; without `same_patient` none of its own patient. Raises NotFound,
        Conflict while the case is held."""
        with self.database.read() as session:
            holds.check(session, case_id)
            known = state.of(session, "diagnose", [case_id]).get(case_id)
            latest = store.latest(session, case_id)
            found: list[Neighbor] = []
            if latest is not None and latest.embedding is not None:
                found = self.search.nearest(session, latest.embedding, limit, same_patient=same_patient)
        if known is None:
            raise no_case()
        return SimilarOut(
            case_id=case_id,
            state=state.SHOWN[known.state],
            reason=known.reason or _reason(latest),
            model=latest.model if latest else None,
            exact=self.search.exact,
            similar=[_shown(one) for one in found],
        )


def keep(session: Session, search: Search, embedding: Embedding) -> None:
    """In the caller's transaction."""
    store.add(session, embedding)
    search.keep(session, embedding)


def forget(session: Session, case_id: str, model: str) -> None:
    """Takes away where an earlier result of the case by the same model lay: a newer one stands in its place, and has no
    vector if it was abstained from."""
    store.drop(session, case_id, model)


def _reason(latest: Latest | None) -> str:
    if latest is None or latest.embedding is not None:
        return ""
    return latest.abstained or "not_embedded"


def _shown(neighbor: Neighbor) -> SimilarCase:
    base = f"/v1/cases/{neighbor.case_id}"
    return SimilarCase(
        case_id=neighbor.case_id,
        result_id=neighbor.result_id,
        similarity=round(max(-1.0, min(1.0, neighbor.similarity)), 6),
        links={"self": base, "results": f"{base}/results", "similar": f"{base}/similar"},
    )

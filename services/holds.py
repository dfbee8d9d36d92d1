"""Whether a case is held: then no answer of it may be shown, by any door, those of before either."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clinimm.types import Abstention
from services.errors import Conflict
from services.tables import CaseRow


def is_held(session: Session, case_id: str) -> bool | None:
    """None if there is no such case."""
    held = session.scalar(sa.select(CaseRow.held).where(CaseRow.id == case_id))
    return None if held is None else bool(held)


def check(session: Session, case_id: str) -> None:
    """Raises Conflict if the case is held."""
    if is_held(session, case_id):
        raise withheld()


def withheld() -> Conflict:
    return Conflict(
        str(Abstention.IDENTITY_CONFLICT), "The inputs name different patients: no answer until a person has decided."
    )

"""Case ids as we make them; any other is not found, and no database is asked."""

import re
from typing import Annotated

from fastapi import Depends

from services.errors import NotFound

_CASE_ID = re.compile(r"[0-9a-f-]{36}")


def known_id(case_id: str) -> str:
    """Raises NotFound."""
    if not _CASE_ID.fullmatch(case_id):
        raise no_case()
    return case_id


def no_case() -> NotFound:
    return NotFound("case_not_found", "There is no such case.")


CaseId = Annotated[str, Depends(known_id)]

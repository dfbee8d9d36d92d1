"""Case ids as we make them; any other is not found, and no database is asked."""

import re
from typing import Annotated

from fastapi import Depends

from services.errors import NotFound
from services.http.documented import in_path

CASE_ID = re.compile(r"[0-9a-f-]{36}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


async def known_id(case_id: Annotated[str, in_path(CASE_ID.pattern, "5f0c2a1e-8a55-4b52-9a7e-0d6f0b8f7c11")]) -> str:
    """Raises NotFound."""
    if not CASE_ID.fullmatch(case_id):
        raise no_case()
    return case_id


def no_case() -> NotFound:
    return NotFound("case_not_found", "There is no such case.")


async def known_version(version: Annotated[str, in_path(_VERSION.pattern, "1")]) -> int:
    """Raises NotFound."""
    if not _VERSION.fullmatch(version):
        raise no_result()
    return int(version)


def no_result() -> NotFound:
    return NotFound("result_not_found", "There is no such result.")


ResultVersion = Annotated[int, Depends(known_version)]
CaseId = Annotated[str, Depends(known_id)]

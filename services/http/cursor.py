"""Where a list goes on: opaque to the caller, a row number to us."""

import re

from services.errors import Issue, Refused

FORM = re.compile(r"c[0-9a-f]{1,15}")


def encode(seq: int) -> str:
    return f"c{seq:x}"


def decode(cursor: str | None) -> int | None:
    """The row number that a cursor holds, None for no cursor. Raises Refused for what is not one."""
    if cursor is None:
        return None
    if not FORM.fullmatch(cursor):
        raise Refused("bad_cursor", "Take the cursor from a list's `next`.", issues=[Issue("/cursor", "bad_cursor")])
    return int(cursor[1:], 16)

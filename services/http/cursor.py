"""Where a list goes on: opaque to the caller, a row number to us."""

import base64
import binascii

from services.errors import Issue, Refused


def encode(seq: int) -> str:
    return base64.urlsafe_b64encode(f"before:{seq}".encode()).decode().rstrip("=")


def decode(cursor: str | None) -> int | None:
    """The row number that a cursor holds, None for no cursor. Raises Refused if we did not make it."""
    if cursor is None:
        return None
    try:
        word, _, number = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        word = number = ""
    if word != "before" or not number.isdecimal() or len(number) > 18:
        raise Refused("bad_cursor", "Take the cursor from a list's `next`.", issues=[Issue("/cursor", "bad_cursor")])
    return int(number)

"""Inflation that never gives more bytes than it was allowed, whatever the file declares."""

import zlib

from clinimm.errors import DamagedInput, ResourceLimit

RAW, GZIP = -zlib.MAX_WBITS, 16 + zlib.MAX_WBITS


def inflate(packed: bytes | memoryview, form: int, limit: int, where: str) -> bytes:
    """The inflated bytes of a RAW or GZIP stream; what follows the stream is left alone.

    Raises ResourceLimit where they are more than `limit`, DamagedInput where the stream is damaged or cut off."""
    inflater = zlib.decompressobj(form)
    try:
        # One byte more than is allowed tells a stream of exactly `limit` bytes from a longer one.
        inflated = inflater.decompress(packed, limit + 1)
    except zlib.error:
        raise DamagedInput("bad_deflate", "its compressed bytes are damaged", where=where) from None
    if len(inflated) > limit:
        raise ResourceLimit("inflated_too_large", f"inflates to more than {limit} bytes", where=where)
    if not inflater.eof:
        raise DamagedInput("truncated_deflate", "its compressed bytes end too early", where=where)
    return inflated

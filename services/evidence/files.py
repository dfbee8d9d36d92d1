"""Files against their names, which are the hashes of their bytes."""

import re
from collections.abc import Iterator, Mapping, Sequence

from services.blobs import Blobs
from services.evidence.finding import Finding

MISSING, DAMAGED = "file_missing", "file_damaged"
_NAME = re.compile(r"[0-9a-f]{64}")


def wrong(blobs: Blobs, named: Mapping[str, Sequence[str]], *, deep: bool) -> Iterator[Finding]:
    """The files that are gone, of those that rows name, and of what they are; with `deep`, those that were changed."""
    for name, owners in sorted(named.items()):
        if not _NAME.fullmatch(name) or not blobs.holds(name):
            yield Finding(MISSING, name, tuple(dict.fromkeys(owners)))
        elif deep and not blobs.is_sound(name):
            yield Finding(DAMAGED, name, tuple(dict.fromkeys(owners)))

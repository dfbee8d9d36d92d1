"""Files against their names, which are the hashes of their bytes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.blobs import Blobs

MISSING, DAMAGED = "file_missing", "file_damaged"
_NAME = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Finding:
    """What is wrong, with what by its id, and the ids of the rows that it concerns."""

    kind: str
    name: str
    of: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = "\t".join((self.kind, self.name, " ".join(self.of))).rstrip()
        return told.encode("ascii", "backslashreplace").decode()  # a damaged row may hold anything


def wrong(blobs: Blobs, named: Mapping[str, Sequence[str]], *, deep: bool) -> Iterator[Finding]:
    """The files that are gone, of those that rows name, and of what they are; with `deep`, those that were changed."""
    for name, owners in sorted(named.items()):
        if not _NAME.fullmatch(name) or not blobs.holds(name):
            yield Finding(MISSING, name, tuple(dict.fromkeys(owners)))
        elif deep and not blobs.is_sound(name):
            yield Finding(DAMAGED, name, tuple(dict.fromkeys(owners)))

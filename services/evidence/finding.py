"""What is found, and rows against the seals that events hold of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from clinimm.errors import ConfigError
from services.audit.seals import seal
from services.db.lying import Row

CHANGED, GONE, UNKNOWN, CONTENT = "row_changed", "row_missing", "row_unknown", "content_changed"
BLOCK = 200


@dataclass(frozen=True)
class Finding:
    """What is wrong, with what by its id, and the ids of the rows that it concerns."""

    kind: str
    name: str
    of: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = "\t".join((self.kind, self.name, " ".join(self.of))).rstrip()
        return told.encode("ascii", "backslashreplace").decode()  # a damaged row may hold anything


@dataclass
class Bond:
    """What rows are bound with, None where it is gone; `bound` and `unbound` count them."""

    secret: bytes | None
    bound: int = 0
    unbound: int = 0

    def fits(self, name: str, rows: Sequence[Row], wanted: str) -> bool:
        """Whether the rows of one name are those that were sealed. Raises ConfigError without a secret."""
        if self.secret is None:
            raise ConfigError("the key that rows are bound with is gone", where="identity.key", mend="restore it")
        return wanted == seal(self.secret, name, rows)

"""Signs where the chain of events ends, every so many events or seconds."""

import math
import time
from dataclasses import dataclass

from services import audit
from services.audit.heads import Head, Signer
from services.db import Database, now

EVENTS, SECONDS = 1000, 60.0


@dataclass
class Notary:
    """Any number of processes may have one: an end is signed once."""

    database: Database
    signer: Signer
    seconds: float = SECONDS
    _signed: int = 0
    _at: float = -math.inf

    def turn(self) -> Head | None:
        """The head that was signed, if it was time for one and anything had happened."""
        with self.database.read() as session:
            seq, digest = audit.head(session)
        return self._sign(seq, digest) if self._is_time(seq) else None

    def close(self) -> None:
        """Signs what has happened since."""
        self._at = -math.inf
        self.turn()

    def _is_time(self, seq: int) -> bool:
        waited = time.monotonic() - self._at >= self.seconds
        return seq != self._signed and (waited or seq - self._signed >= EVENTS)

    def _sign(self, seq: int, digest: str) -> Head | None:
        self._signed, self._at = seq, time.monotonic()
        return self.signer.sign(seq, digest, now())

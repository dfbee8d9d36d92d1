"""Who looks at pages: a signed cookie that a client's token buys. It names the client, and holds no secret of its own.

Form posts bring a word that only pages of the same session were given (a cross-site page cannot read one)."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass, replace

from services.auth import Client, Tokens
from services.errors import Unauthorized

COOKIE = "clinimm_session"
IDLE_SECONDS, LONGEST_SECONDS = 30 * 60, 8 * 3600


@dataclass(frozen=True)
class Session:
    """`mark` is of the token that it was opened with: with the token it ends. Times are in seconds since 1970, UTC."""

    id: str
    name: str
    mark: str
    began: int
    seen: int


@dataclass(frozen=True)
class Sessions:
    secret: bytes
    tokens: Tokens

    def open(self, token: str) -> tuple[Session, Client]:
        """A new session for whose token this is. Raises Unauthorized, and never says why."""
        client = self.tokens.client(f"Bearer {token}")
        now = int(time.time())
        return Session(secrets.token_hex(16), client.name, self.tokens.mark(client.name), now, now), client

    def read(self, cookie: str) -> tuple[Session, Client]:
        """The session as it is now. Raises Unauthorized where it is not ours, too old, or its token was withdrawn."""
        session, now = self._parsed(cookie), int(time.time())
        client = self.tokens.named(session.name)
        is_late = now - session.seen > IDLE_SECONDS or now - session.began > LONGEST_SECONDS
        if client is None or is_late or not hmac.compare_digest(session.mark, self.tokens.mark(session.name)):
            raise Unauthorized
        return replace(session, seen=now), client

    def cookie(self, session: Session) -> str:
        body = base64.urlsafe_b64encode(json.dumps(asdict(session)).encode()).decode().rstrip("=")
        return f"{body}.{self._sealed('session', body)}"

    def form_word(self, session: Session) -> str:
        """What a form of this session brings along."""
        return self._sealed("form", session.id)

    def is_form_word(self, session: Session, given: str) -> bool:
        return hmac.compare_digest(self.form_word(session).encode(), given.encode())

    def seal(self, session: Session, shown: str) -> str:
        """What only we can say of a text that was shown to this session."""
        return self._sealed("shown", f"{session.id}\n{shown}")

    def is_seal(self, session: Session, shown: str, given: str) -> bool:
        return hmac.compare_digest(self.seal(session, shown).encode(), given.encode())

    def _parsed(self, cookie: str) -> Session:
        body, _, seal = cookie.partition(".")
        if not hmac.compare_digest(self._sealed("session", body).encode(), seal.encode()):
            raise Unauthorized
        try:
            return Session(**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
        except (binascii.Error, ValueError, TypeError) as error:  # sealed by a version of another form
            raise Unauthorized from error

    def _sealed(self, purpose: str, text: str) -> str:
        return hmac.new(self.secret, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()

"""Who calls: bearer tokens, of which only SHA-256 hashes are kept, one client a line, in a file only we may read.

A client is a system that sends and reads cases; one marked `reviewer` also speaks for people, who may see what
contradicts in a held case, reconcile it, and sign results off."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clinimm.errors import ConfigError
from services.errors import Unauthorized

LOCAL = "local"
CLIENT_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
REVIEWER = "reviewer"
_LINE = re.compile(rf"([A-Za-z0-9._-]{{1,64}}) ([0-9a-f]{{64}})( {REVIEWER})?")


@dataclass(frozen=True)
class Client:
    name: str
    reviews: bool


class Tokens:
    """The clients that may call, by the hash of their token. With no file, authentication is off and everyone is
    `local`, who may do all."""

    def __init__(self, clients: Mapping[str, Client] | None) -> None:
        self._clients = clients

    @staticmethod
    def read(path: Path | None) -> "Tokens":
        """Raises ConfigError if the file is open to others, empty, or not lines of `client sha256`."""
        if path is None:
            return Tokens(None)
        lines = _lines(path)
        matches = [_LINE.fullmatch(line) for line in lines]
        if not lines or not all(matches):
            raise ConfigError("is not lines of `client sha256`", where=str(path), mend="use `clinimm-service token`")
        return Tokens({match[2]: Client(match[1], bool(match[3])) for match in matches if match})

    def client(self, authorization: str | None) -> Client:
        """The client whose token this is. Raises Unauthorized, and never says why."""
        if self._clients is None:
            return Client(LOCAL, reviews=True)
        scheme, _, token = (authorization or "").partition(" ")
        digest = hashlib.sha256(token.strip().encode()).hexdigest()
        # Every hash is compared, in constant time, so that the time taken tells nothing.
        found = [client for known, client in self._clients.items() if hmac.compare_digest(known, digest)]
        if scheme.lower() != "bearer" or not found:
            raise Unauthorized
        return found[0]


def add_client(path: Path, name: str, *, reviews: bool = False) -> str:
    """A fresh token for `name`, told this once; its hash is added to the file. Raises ConfigError."""
    if not CLIENT_NAME.fullmatch(name):
        raise ConfigError("is not a client's name", where="NAME", mend="use 1-64 of A-Z a-z 0-9 . _ -")
    if path.exists() and any(line.startswith(f"{name} ") for line in _lines(path)):
        raise ConfigError("has this client already", where=str(path), mend="remove its line first")
    token = secrets.token_urlsafe(32)
    path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name} {hashlib.sha256(token.encode()).hexdigest()}{f' {REVIEWER}' * reviews}\n")
    return token


def _lines(path: Path) -> list[str]:
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("cannot be read", where=str(path), mend="give the path of a file of tokens") from error
    if mode & 0o077:
        raise ConfigError("others may read it", where=str(path), mend="chmod 600")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]

"""Who calls: bearer tokens, of which only SHA-256 hashes are kept, one client a line, in a file only we may read.

Each has one role, which says what it may do (`services.app.rights`)."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from clinimm.errors import ConfigError
from services.errors import Unauthorized

LOCAL = "local"
CLIENT_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}) ([0-9a-f]{64})(?: ([a-z]{1,16}))?")


class Role(StrEnum):
    """`system` sends cases and reads them, as a PACS or an EHR does. `clinician` does so too, and decides: whose the
    parts of a held case are, and what becomes of a result. `auditor` reads all there is, speaks of results, and changes
    nothing of a case. `researcher` sees models, never a case. `local` is whoever calls a service that has no clients,
    and may do all."""

    SYSTEM = "system"
    CLINICIAN = "clinician"
    AUDITOR = "auditor"
    RESEARCHER = "researcher"
    LOCAL = "local"


PEOPLE = frozenset({Role.CLINICIAN, Role.AUDITOR})
_SPOKEN = {role.value: role for role in Role if role is not Role.LOCAL} | {"": Role.SYSTEM, "reviewer": Role.CLINICIAN}


@dataclass(frozen=True)
class Client:
    name: str
    role: Role


def viewer(state: Any) -> Client:
    """Whose a request is, once it was let in."""
    return Client(state.client, state.role)


class Tokens:
    """The clients that may call, by the hash of their token. With no file, authentication is off and everyone is
    `local`, who may do all."""

    def __init__(self, clients: Mapping[str, Client] | None) -> None:
        self._clients = clients

    @staticmethod
    def read(path: Path | None) -> "Tokens":
        """Raises ConfigError if the file is open to others, empty, or not lines of `client sha256 role`."""
        if path is None:
            return Tokens(None)
        lines = _lines(path)
        matches = [_LINE.fullmatch(line) for line in lines]
        if not lines or not all(match and (match[3] or "") in _SPOKEN for match in matches):
            raise ConfigError(
                "is not lines of `client sha256 role`", where=str(path), mend="use `clinimm-service token`"
            )
        return Tokens({match[2]: Client(match[1], _SPOKEN[match[3] or ""]) for match in matches if match})

    @property
    def are_off(self) -> bool:
        """Whether everyone is let in."""
        return self._clients is None

    def named(self, name: str) -> Client | None:
        """The client of that name, if there is one."""
        if self._clients is None:
            return Client(LOCAL, Role.LOCAL) if name == LOCAL else None
        return next((client for client in self._clients.values() if client.name == name), None)

    def mark(self, name: str) -> str:
        """What tells a client's token from the next that it is given, and nothing of either."""
        digests = [digest for digest, client in (self._clients or {}).items() if client.name == name]
        return hashlib.sha256("\n".join(["mark", *digests]).encode()).hexdigest()[:32]

    def client(self, authorization: str | None) -> Client:
        """The client whose token this is. Raises Unauthorized, and never says why."""
        if self._clients is None:
            return Client(LOCAL, Role.LOCAL)
        scheme, _, token = (authorization or "").partition(" ")
        digest = hashlib.sha256(token.strip().encode()).hexdigest()
        # Every hash is compared, in constant time, so that the time taken tells nothing.
        found = [client for known, client in self._clients.items() if hmac.compare_digest(known, digest)]
        if scheme.lower() != "bearer" or not found:
            raise Unauthorized
        return found[0]


def add_client(path: Path, name: str, role: Role = Role.SYSTEM) -> str:
    """A fresh token for `name`, told this once; its hash is added to the file. Raises ConfigError."""
    if not CLIENT_NAME.fullmatch(name):
        raise ConfigError("is not a client's name", where="NAME", mend="use 1-64 of A-Z a-z 0-9 . _ -")
    if path.exists() and any(line.startswith(f"{name} ") for line in _lines(path)):
        raise ConfigError("has this client already", where=str(path), mend="remove its line first")
    token = secrets.token_urlsafe(32)
    path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{name} {hashlib.sha256(token.encode()).hexdigest()} {role}\n")
    return token


def _lines(path: Path) -> list[str]:
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("cannot be read", where=str(path), mend="give the path of a file of tokens") from error
    if mode & 0o077:
        raise ConfigError("others may read it", where=str(path), mend="chmod 600")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]

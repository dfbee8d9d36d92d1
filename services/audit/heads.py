"""Signed heads: now and then the number and the hash of the last event are signed, and kept outside the database.

Whoever can write the database can chain all events anew, or cut the last ones off; not so that they fit what was signed
before. Keep the file of heads, or copies of it, where whoever writes the database cannot: `CLINIMM_HEADS` says where.
Ed25519 (RFC 8032): the public key beside the private one is all that a verifier needs."""

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from clinimm.errors import ConfigError
from services.secrets import kept_secret

KEY, PUBLIC, HEADS = "signing.key", "signing.pub", "heads.jsonl"


@dataclass(frozen=True)
class Head:
    """Where the chain ended at a time, in UTC; `signature` of all of it in hexadecimal digits."""

    seq: int
    hash: str
    time: str
    signature: str = ""

    @property
    def signed(self) -> bytes:
        """The bytes that are signed."""
        return f"clinimm audit head 1\n{self.seq}\n{self.hash}\n{self.time}".encode()


class Signer:
    """Signs heads into `folder`, with a key that is made there when it is first needed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key = Ed25519PrivateKey.from_private_bytes(kept_secret(folder / KEY))
        self._heads = folder / HEADS
        (folder / PUBLIC).write_text(self._key.public_key().public_bytes_raw().hex() + "\n")

    def sign(self, seq: int, digest: str, time: datetime) -> Head | None:
        """The head, durably kept; None where it is the last that was, which another process may have signed."""
        with self._heads.open("a+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            whole = _whole(file.read())
            file.truncate(len(whole))
            if whole and json.loads(whole.splitlines()[-1])["seq"] >= seq:
                return None
            head = Head(seq, digest, time.astimezone(UTC).isoformat(timespec="microseconds"))
            head = Head(head.seq, head.hash, head.time, self._key.sign(head.signed).hex())
            file.write(json.dumps(asdict(head)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return head

    def sign_bundle(self, manifest: bytes) -> str:
        """The signature, in hexadecimal digits, of what lists the files of a bundle."""
        return self._key.sign(b"clinimm bundle 1\n" + manifest).hex()


def read_heads(path: Path) -> list[Head]:
    """The heads of a file, oldest first. Raises ConfigError if it cannot be read as such."""
    try:
        return [Head(**json.loads(line)) for line in _whole(path.read_text(encoding="ascii")).splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            "is not a file of heads", where=str(path), mend="give the heads.jsonl that was kept"
        ) from error


def _whole(text: str) -> str:
    """Without a last line that a crash cut off, which is no head."""
    return text[: text.rfind("\n") + 1]


def read_key(path: Path) -> Ed25519PublicKey:
    """Raises ConfigError."""
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as error:
        raise ConfigError("is not a public key", where=str(path), mend="give the signing.pub that was kept") from error


def forged(heads: Sequence[Head], key: Ed25519PublicKey) -> list[int]:
    """The places, from 1, of the heads that this key has not signed."""
    return [place for place, head in enumerate(heads, start=1) if not _is_signed(head, key)]


def _is_signed(head: Head, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(bytes.fromhex(head.signature), head.signed)
    except (InvalidSignature, ValueError):
        return False
    return True

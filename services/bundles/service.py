"""Writes bundles: a zip that is the same bytes for the same record, with each file as it is, not compressed."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from services import blind
from services.audit.heads import KEY, PUBLIC, Signer
from services.audit.notary import Notary
from services.auth import Client
from services.blobs import Blobs
from services.bundles.contents import FORMAT, members, proof
from services.db import Database
from services.db.lying import lying
from services.errors import Conflict, TooLarge

MOST = 64 * 1024 * 1024  # bytes of a bundle that is sent; the command writes any
_THEN = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundles:
    """`heads` is the folder of the signed heads. Where the key they are signed with lies there, the end of the chain is
    signed first, and the bundle's manifest too."""

    database: Database
    blobs: Blobs
    heads: Path

    def of_case(self, case_id: str, viewer: Client) -> bytes:
        """The bundle without the files that were sent. Raises what `write` raises, TooLarge if it is over `MOST`, and
        Conflict for a reader who must not know yet what others said: a bundle without that would prove nothing."""
        with self.database.read() as session:
            if blind.withheld(session, case_id, viewer):
                raise Conflict("reviews_withheld", "Others spoke of its latest result; speak of it first.")
        file = io.BytesIO()
        self.write(case_id, file, limit=MOST)
        return file.getvalue()

    def write(self, case_id: str, file: IO[bytes], *, with_inputs: bool = False, limit: int | None = None) -> None:
        """Raises NotFound, Conflict while the case is held, DamagedBlob if a file of it was lost or changed."""
        signer = Signer(self.heads) if os.access(self.heads / KEY, os.R_OK | os.W_OK) else None
        if signer is not None:
            Notary(self.database, signer).close()
        with self.database.read() as session, lying(session), zipfile.ZipFile(file, "w") as bundle:
            writing = _Writing(bundle, {}, limit)
            for name, pieces in members(session, self.blobs, case_id, with_inputs=with_inputs):
                writing.add(name, pieces)
            found = proof(session, case_id, self.heads)
            writing.add("events.jsonl", [found.events])
            writing.add("chain.bin", [found.digests])
            writing.add("heads.jsonl", [(json.dumps(asdict(head)) + "\n").encode() for head in found.heads])
            public = self.heads / PUBLIC
            writing.add("signing.pub", [public.read_bytes() if public.is_file() else b""])
            writing.add("verify.py", [(Path(__file__).with_name("verify.py")).read_bytes()])
            about = {"format": FORMAT, "case_id": case_id, "first": found.first, "before": found.before}
            manifest = json.dumps(about | {"files": writing.hashes}, indent=1).encode()
            writing.add("manifest.json", [manifest])
            writing.add("manifest.sig", [signer.sign_bundle(manifest).encode()] if signer else [])


@dataclass
class _Writing:
    bundle: zipfile.ZipFile
    hashes: dict[str, str]
    limit: int | None
    written: int = 0

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        member = zipfile.ZipInfo(name, _THEN)
        member.create_system, member.external_attr = 3, 0o644 << 16
        known = hashlib.sha256()
        with self.bundle.open(member, "w", force_zip64=True) as file:
            for piece in pieces:
                self._count(len(piece))
                known.update(piece)
                file.write(piece)
        self.hashes = self.hashes | {name: known.hexdigest()}

    def _count(self, size: int) -> None:
        self.written += size
        if self.limit is not None and self.written > self.limit:
            raise TooLarge("bundle_too_large", "Write it with `clinimm-service audit export`.", limit=self.limit)

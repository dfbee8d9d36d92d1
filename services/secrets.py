"""Random keys of the service, each in a file that only we may read."""

import os
import secrets
from pathlib import Path


def kept_secret(path: Path) -> bytes:
    """The 32 random bytes in that file, made when they are first needed; the same for all processes."""
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(handle)
        try:
            os.link(fresh, path)  # fails where another process was first, whose key then counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()

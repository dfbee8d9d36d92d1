"""Room kept for when there is no other: a file that is given up once storage runs out, so that refusals can still be
recorded. While it is not there nothing is taken; it is made again when there is room for it twice."""

import os
import secrets
import shutil
from pathlib import Path

from services.db import is_full


class Reserve:
    """`size` bytes in `folder`. The file itself is the state, which all processes see; a size of 0 keeps nothing."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size, self.path = folder, size, folder / "reserve"

    def is_kept(self) -> bool:
        """Whether there is room to take something: the reserve is there, or could be made again."""
        return self.is_there() or self._make()

    def is_there(self) -> bool:
        return not self.size or self.path.exists()

    def give_up(self) -> None:
        """Frees the room."""
        self.path.unlink(missing_ok=True)

    def is_sound(self) -> bool:
        """Whether a file can be written durably now, and as much is free as is kept."""
        probe = self.folder / f"probe.{secrets.token_hex(8)}"
        try:
            handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(handle, bytes(4096))
                os.fsync(handle)
            finally:
                os.close(handle)
                probe.unlink()
        except OSError:
            return False
        return self.is_kept() and shutil.disk_usage(self.folder).free >= self.size

    def _make(self) -> bool:
        if shutil.disk_usage(self.folder).free < 2 * self.size:
            return False
        fresh = self.folder / f"reserve.{secrets.token_hex(8)}"
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(handle, 0, self.size)
            os.replace(fresh, self.path)
        except OSError as error:
            fresh.unlink()
            if not is_full(error):
                raise
            return False
        finally:
            os.close(handle)
        return True

"""A file's bytes, never more than allowed."""

from pathlib import Path
from stat import S_ISREG

from clinimm.errors import DamagedInput, ResourceLimit


def read_bounded(file: Path, most: int) -> bytes:
    """The file's bytes, never more than `most`, even of one that grows. A pipe or device is refused, not waited for.

    Raises DamagedInput `unreadable_file`, ResourceLimit `file_too_large`."""
    try:
        status = file.stat()
        if not S_ISREG(status.st_mode):
            raise DamagedInput("unreadable_file", "is no regular file", where=file.name)
        with file.open("rb") as stream:
            data = stream.read(min(status.st_size, most) + 1)
    except OSError as error:
        raise DamagedInput("unreadable_file", f"cannot be read ({type(error).__name__})", where=file.name) from None
    if len(data) > most:
        raise ResourceLimit("file_too_large", f"is over the {most} bytes that are left", where=file.name)
    return data

"""What a case's films and volumes show, for whoever may see them: decoded again, out of process, each time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from clinimm.errors import InputError
from clinimm.io.display import as_nifti
from clinimm.io.sandbox import Sandbox
from services import holds
from services.artifacts.facts import Model
from services.blobs import Blobs
from services.cases import store
from services.cases.content import settled
from services.cases.stored import StoredImage, at_version
from services.db import Database
from services.errors import NotFound, Refused, Unavailable
from services.http.ids import no_case

AT_ONCE = 2
VOXELS = 1 << 26
"""The most that is given out of a volume, 128 MB: of a larger one each slice is averaged over square blocks."""


@dataclass(frozen=True)
class Scans:
    """`sandbox` is not the door's: who looks at films must not hold up those who send some."""

    database: Database
    blobs: Blobs
    model: Model
    sandbox: Sandbox
    reading: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(AT_ONCE))

    def nifti(self, case_id: str, version: int, modality: str) -> bytes:
        """What the case held of an image modality at one of its versions, as `clinimm.io.display` writes it.

        Raises NotFound where it held none, Refused where it can be read no more, Conflict while the case is held, and
        Unavailable where too many are read at once."""
        films = self._films(case_id, version, modality)
        if not self.reading.acquire(blocking=False):
            raise Unavailable("busy", "Too many films are being read.", retry_after=1)
        try:
            names = list(dict.fromkeys(film.sha256 for film in films if film.sha256))
            if not all(self.blobs.is_sound(name) for name in names):
                raise _unreadable("a file of it is gone, or was changed")
            paths = [self.blobs.path(name) for name in names]
            return as_nifti(self.sandbox.read(paths, "full", at_least=shorter_side(films)))
        except InputError as error:
            raise _unreadable(error.what) from error
        finally:
            self.reading.release()

    def close(self) -> None:
        self.sandbox.close()

    def _films(self, case_id: str, version: int, modality: str) -> list[StoredImage]:
        with self.database.read() as session:
            holds.check(session, case_id)
            case = store.get(session, case_id)
        if case is None:
            raise no_case()
        content = settled(at_version(case, version), self.model.modalities)
        films = [film for film in content.films if film.modality == modality]
        if not films:
            raise NotFound("modality_not_found", "The case held no such film or volume then.")
        return films


def shorter_side(films: Sequence[StoredImage]) -> int | None:
    """How many pixels of the shorter side are to be left of a volume too large to be given out whole; None for all."""
    facts = [film.instance.facts for film in films if film.instance is not None]
    voxels = sum(one["rows"] * one["columns"] * one["frames"] for one in facts)
    factor = 1
    while voxels > VOXELS * factor**2:
        factor *= 2
    return None if factor == 1 else max(1, min(min(one["rows"], one["columns"]) for one in facts) // factor)


def _unreadable(why: str) -> Refused:
    return Refused("unreadable_file", f"It cannot be shown: {why}.", mend="See the stills of the report.")

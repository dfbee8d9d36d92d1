"""The picture of a planned case, drawn and written: a film, or a CT volume."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clinimm.data.synthetic.chance import Stream, generator
from clinimm.data.synthetic.dicom import DEVICES, write_film, write_series
from clinimm.data.synthetic.film import draw_anatomy, draw_film
from clinimm.data.synthetic.plan import PlannedCase
from clinimm.data.synthetic.region import Ellipse
from clinimm.data.synthetic.volume import SHAPE, SPACING_MM, draw_build, draw_volume
from clinimm.types import Kind


@dataclass(frozen=True)
class Imaging:
    """`column` is the manifest's, and the input's name. `write(out, case, seed)` returns the path that it wrote,
    relative to `out`, and where each target's sign is to be seen."""

    column: str
    write: Callable[[Path, PlannedCase, int], tuple[Path, Mapping[str, Ellipse]]]


def _write_film(out: Path, case: PlannedCase, seed: int) -> tuple[Path, Mapping[str, Ellipse]]:
    number, visit = case.patient.number, case.visit
    anatomy = draw_anatomy(generator(seed, Stream.ANATOMY, number))
    picture = draw_film(generator(seed, Stream.IMAGE, number, visit), anatomy, case.shows(Kind.IMAGE))
    device = DEVICES[int(generator(seed, Stream.DEVICE, number, visit).integers(len(DEVICES)))]
    path = Path("images") / f"{case.case_id}.dcm"
    name = f"{seed}/{case.case_id}"
    write_film(out / path, picture.brightness, device, case.patient, name, case.acquired[Kind.IMAGE])
    return path, picture.regions


def _write_volume(out: Path, case: PlannedCase, seed: int) -> tuple[Path, Mapping[str, Ellipse]]:
    number, visit = case.patient.number, case.visit
    build = draw_build(generator(seed, Stream.ANATOMY, number))
    scan = draw_volume(generator(seed, Stream.IMAGE, number, visit), build, case.shows(Kind.IMAGE))
    order = generator(seed, Stream.DEVICE, number, visit).permutation(SHAPE[2]).tolist()
    path = Path("images") / case.case_id
    name = f"{seed}/{case.case_id}"
    write_series(out / path, scan.hounsfield, SPACING_MM, order, case.patient, name, case.acquired[Kind.IMAGE])
    return path, scan.regions


IMAGING = {"cr": Imaging("cxr", _write_film), "ct": Imaging("ct", _write_volume)}

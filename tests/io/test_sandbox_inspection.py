"""Through the sandbox the door sees the same, no bad file hides a good one, and the worst cost this process little."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from dicom_files import dataset, encapsulated, save, write
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from clinimm.errors import DamagedInput, InputError, ResourceLimit, UnsupportedInput
from clinimm.io.dicom_inspection import inspect_dicom
from clinimm.io.inspection import Inspection
from clinimm.io.sandbox import Sandbox
from clinimm.io.sandbox_process import Confinement
from clinimm.io.scan import Limits

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)
MOST_GROWTH = 64 << 20


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    with Sandbox() as made:
        yield made


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write(tmp_path / "film", PIXELS, PatientName="Müller^Zoë", SpecificCharacterSet="ISO_IR 192")


def test_the_door_sees_the_same_in_the_sandbox(sandbox: Sandbox, film: Path) -> None:
    assert sandbox.inspect(film) == inspect_dicom(film, Limits())
    assert sandbox.inspect(film).identity.name == "Müller^Zoë"


def test_refusals_come_back_in_their_places(sandbox: Sandbox, film: Path, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("CANARY is no picture", encoding="utf-8")
    cut = tmp_path / "cut"
    cut.write_bytes(film.read_bytes()[:-9])
    good, note, short, absent, last = sandbox.inspect_all([film, tmp_path / "note", cut, tmp_path / "absent", film])
    assert isinstance(good, Inspection)
    assert good == last
    for refused, kind, code, name in (
        (note, UnsupportedInput, "unknown_format", "note"),
        (short, DamagedInput, "truncated_pixels", "cut"),
        (absent, DamagedInput, "unreadable_file", "absent"),
    ):
        assert isinstance(refused, kind)
        assert (refused.code, refused.where) == (code, name)
        assert "CANARY" not in str(refused)
    with pytest.raises(UnsupportedInput):
        sandbox.inspect(tmp_path / "note")


def test_none_is_lost_of_more_than_one_batch(sandbox: Sandbox, film: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "absent" if i % 7 == 3 else film for i in range(150)]
    found = sandbox.inspect_all(paths)
    assert [isinstance(one, Inspection) for one in found] == [path == film for path in paths]
    assert sandbox.inspect_all([]) == []


@pytest.mark.slow
def test_a_file_that_kills_its_child_hides_no_other(film: Path, tmp_path: Path) -> None:
    """Three million elements, within a limit that was set too high, and no time for them."""
    slow = tmp_path / "slow"
    slow.write_bytes(_with_elements(film, 3_000_000))
    with Sandbox(Confinement(seconds=1, seconds_per_megabyte=0, limits=Limits(elements=10**7))) as sandbox:
        first, lost, second, again, last = sandbox.inspect_all([film, slow, film, slow, film])
    assert first == second == last == inspect_dicom(film, Limits())
    for one in (lost, again):
        assert isinstance(one, ResourceLimit)
        assert (one.code, one.where) == ("decode_resource_limit", "slow")


def test_a_child_inspects_no_more_than_its_inputs(film: Path) -> None:
    with Sandbox(Confinement(inputs_per_child=2)) as sandbox:
        seen = [sandbox.pids for _ in range(5) if sandbox.inspect(film)]
    assert len(set(seen)) >= 3


def _with_elements(film: Path, count: int) -> bytes:
    data = film.read_bytes()
    at = data.index(b"\x28\x00\x02\x00US")
    return data[:at] + b"\x09\x00\x10\x10LO\0\0" * count + data[at:]


def _deflate_bomb(folder: Path) -> Path:
    """A header, and a gigabyte of zeros in a megabyte."""
    path = write(folder / "deflated", PIXELS, DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    head = data[: 144 + int.from_bytes(data[140:144], "little")]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflater.compress(bytes(1 << 24))
    deflater.flush(zlib.Z_FULL_FLUSH)
    block = deflater.compress(bytes(1 << 24)) + deflater.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(head + block * 64)
    return path


def _run_length_bomb(folder: Path) -> Path:
    made = encapsulated(dataset(PIXELS, Rows=40000, Columns=40000), [b"\x01" + b"\0" * 499])
    return save(made, folder / "run_length", RLELossless)


def _nested(folder: Path) -> Path:
    path = write(folder / "nested", PIXELS)
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x02\x00US")
    opening = b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(data[:at] + opening * 200 + closing * 200 + data[at:])
    return path


def _cut_wavelet(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8)
    made = dcmread(write(folder / "whole", noise, JPEG2000Lossless))
    (frame,) = generate_frames(made.PixelData, number_of_frames=1)
    return save(encapsulated(made, [frame[: len(frame) // 4 * 2]]), folder / "cut_wavelet", JPEG2000Lossless)


def _many_elements(folder: Path) -> Path:
    path = write(folder / "elements", PIXELS)
    path.write_bytes(_with_elements(path, 100_001))
    return path


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        (_deflate_bomb, "inflated_too_large"),
        (_run_length_bomb, "too_many_pixels"),
        (_nested, "nested_too_deep"),
        (_cut_wavelet, "truncated_pixels"),
        (_many_elements, "too_many_elements"),
    ],
)
def test_the_worst_files_cost_this_process_little(
    sandbox: Sandbox, tmp_path: Path, hostile: Callable[[Path], Path], code: str
) -> None:
    path = hostile(tmp_path)
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    for look in (sandbox.inspect, lambda path: sandbox.read([path])):
        with pytest.raises(InputError) as refusal:
            look(path)
        assert refusal.value.code == code
    assert _peak_bytes() - before < MOST_GROWTH


def _peak_bytes() -> int:
    """The most memory this process has held since its mark was reset."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

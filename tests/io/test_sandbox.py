"""A child reads for us: same answer, and whatever kills it kills one input alone."""

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from dicom_files import AXIAL, dataset, encapsulated, save, write
from pydicom.uid import RLELossless

from clinimm.errors import DamagedInput, InputError, ResourceLimit, UnsupportedInput
from clinimm.io.sandbox import Sandbox
from clinimm.io.sandbox_process import Confinement
from clinimm.io.scan import Limits, read_scan


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    with Sandbox() as made:
        yield made


@pytest.fixture
def film(tmp_path: Path) -> Path:
    pixels = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
    described = {"ImageOrientationPatient": AXIAL, "ImagePositionPatient": [1, 2, 3], "PixelSpacing": [0.5, 0.7]}
    return write(tmp_path / "film", pixels, stored=12, WindowCenter=1000, WindowWidth=900, **described)


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    return [
        write(
            tmp_path / f"{i}",
            np.full((32, 24), i, np.int16),
            SeriesInstanceUID="1.2.3",
            ImageOrientationPatient=AXIAL,
            ImagePositionPatient=[0, 0, i],
            PixelSpacing=[1, 1],
        )
        for i in range(3)
    ]


def test_a_scan_is_the_same_in_the_sandbox(sandbox: Sandbox, film: Path, series: list[Path]) -> None:
    for paths, window, at_least in (([film], "voi", None), ([film], (10.0, 500.0), 16), (series, "full", None)):
        apart, here = sandbox.read(paths, window, at_least=at_least), read_scan(paths, window, at_least=at_least)
        np.testing.assert_array_equal(apart.pixels, here.pixels)
        assert (apart.spacing_mm, apart.orientation, apart.flags) == (here.spacing_mm, here.orientation, here.flags)
        assert apart.facts == here.facts
        assert len(sandbox.pids) == 1


def test_refusals_come_back_as_they_are(sandbox: Sandbox, film: Path, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("CANARY is no picture")
    film.write_bytes(film.read_bytes()[:-9])
    for path, kind, code in (
        (tmp_path / "note", UnsupportedInput, "unknown_format"),
        (film, DamagedInput, "bad_length"),
    ):
        with pytest.raises(kind) as refusal:
            sandbox.read([path])
        assert refusal.value.code in (code, "truncated_pixels")
        assert refusal.value.where == path.name


def test_a_killed_child_costs_one_input_and_is_replaced(film: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.read([film])
        (child,) = sandbox.pids
        os.kill(child, signal.SIGKILL)
        with pytest.raises(ResourceLimit) as refusal:
            sandbox.read([film])
        assert refusal.value.code == "decode_resource_limit"
        assert sandbox.read([film]).pixels.shape == (64, 48)
        assert sandbox.pids != (child,)


def test_a_child_killed_while_it_reads_is_noticed_at_once(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 4095, (40, 512, 512)).astype(np.uint16)
    slow = write(tmp_path / "cine", frames, stored=12)
    with Sandbox() as sandbox, ThreadPoolExecutor(1) as pool:
        sandbox.read([slow], at_least=4)
        (child,) = sandbox.pids
        start = time.monotonic()
        reading = pool.submit(sandbox.read, [slow])
        time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        with pytest.raises(ResourceLimit):
            reading.result()
        assert time.monotonic() - start < 5


def bomb(path: Path, side: int = 8000) -> Path:
    """Run-length bytes that inflate to `side` squared pixels of 32 bits, and to twice as much on the way."""
    rows = encapsulated(
        dataset(np.zeros((2, 2), np.uint32), Rows=side, Columns=side),
        [rle_of_zeros(side * side)],
    )
    return save(rows, path, RLELossless)


def rle_of_zeros(count: int) -> bytes:
    segment = b"\x81\x00" * (count // 128)
    offsets = [4, *(64 + i * len(segment) for i in range(4))]
    return b"".join(n.to_bytes(4, "little") for n in offsets).ljust(64, b"\0") + segment * 4


def test_a_child_over_its_memory_costs_one_input(film: Path, tmp_path: Path) -> None:
    with Sandbox(Confinement(memory_bytes=600 << 20)) as sandbox:
        assert sandbox.read([film]).pixels.shape == (64, 48)
        before = psutil.Process().memory_info().rss
        with pytest.raises(ResourceLimit) as refusal:
            sandbox.read([bomb(tmp_path / "bomb")])
        assert refusal.value.code == "decode_resource_limit"
        assert psutil.Process().memory_info().rss - before < 64 << 20
        assert sandbox.read([film]).pixels.shape == (64, 48)


def test_a_child_over_its_time_costs_one_input(film: Path, tmp_path: Path) -> None:
    with Sandbox(Confinement(seconds=0.3, seconds_per_megabyte=0)) as sandbox:
        start = time.monotonic()
        with pytest.raises(ResourceLimit) as refusal:
            sandbox.read([bomb(tmp_path / "bomb")])
        assert refusal.value.code == "decode_resource_limit"
        assert time.monotonic() - start < 20
    with Sandbox() as patient:
        assert patient.read([film]).pixels.shape == (64, 48)


def test_limits_hold_in_the_child(film: Path) -> None:
    with Sandbox(Confinement(limits=Limits(frame_pixels=100))) as sandbox, pytest.raises(ResourceLimit) as refusal:
        sandbox.read([film])
    assert (refusal.value.code, refusal.value.limit, refusal.value.actual) == ("too_many_pixels", 100, 64 * 48)


@pytest.mark.slow
def test_children_are_renewed_after_their_inputs(film: Path) -> None:
    with Sandbox(Confinement(inputs_per_child=2)) as sandbox:
        seen = {sandbox.pids for _ in range(5) if sandbox.read([film])}
    assert len({pid for pids in seen for pid in pids}) >= 2


def test_many_threads_share_few_children(film: Path, series: list[Path]) -> None:
    with Sandbox(processes=2) as sandbox, ThreadPoolExecutor(6) as pool:
        scans = list(pool.map(lambda i: sandbox.read(series if i % 2 else [film]), range(24)))
        assert len(sandbox.pids) <= 2
    assert [scan.pixels.ndim for scan in scans] == [2, 3] * 12


def test_closing_ends_the_children(film: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.read([film])
        (child,) = sandbox.pids
    assert not psutil.pid_exists(child)
    assert sandbox.pids == ()


def test_a_child_has_no_secrets_no_files_to_write_and_no_core(film: Path) -> None:
    os.environ["CANARY_SECRET"] = "hush"
    try:
        with Sandbox() as sandbox:
            sandbox.read([film])
            child = psutil.Process(sandbox.pids[0])
            assert "CANARY_SECRET" not in child.environ()
            assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
            assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
            assert child.rlimit(psutil.RLIMIT_AS)[1] == 2 << 30
            modules = Path(f"/proc/{child.pid}/maps").read_text(encoding="utf-8")
    finally:
        del os.environ["CANARY_SECRET"]
    assert "torch" not in modules
    assert "nibabel" not in modules


def test_a_child_tells_what_it_can_still_do() -> None:
    """As a process does that raises the same walls here: containers may forbid one."""
    code = "from clinimm.io.sandbox_walls import raise_walls; print(raise_walls(1 << 30))"
    here = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    with Sandbox() as sandbox:
        assert str(sandbox.abilities()) == here.strip()


@pytest.mark.slow
def test_a_forked_process_reads_with_children_of_its_own(film: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.read([film])
        parents = sandbox.pids
        answers: multiprocessing.Queue[tuple[object, ...]] = multiprocessing.get_context("fork").Queue()
        worker = multiprocessing.get_context("fork").Process(
            target=lambda: answers.put((sandbox.read([film]).pixels.shape, sandbox.pids)), daemon=True
        )
        worker.start()
        shape, pids = answers.get(timeout=60)
        worker.join()
        assert shape == (64, 48)
        assert pids != parents
        assert sandbox.read([film]).pixels.shape == (64, 48)
        assert sandbox.pids == parents


def test_a_sandbox_travels_without_its_children(film: Path) -> None:
    with Sandbox(Confinement(seconds=12)) as sandbox:
        sandbox.read([film])
        copy: Sandbox = pickle.loads(pickle.dumps(sandbox))
        with copy:
            assert copy.confinement.seconds == 12
            assert copy.pids == ()


def test_children_do_not_outlive_a_process_that_is_killed(film: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from clinimm.io.sandbox import Sandbox\n"
        "sandbox = Sandbox(); sandbox.read([Path(sys.argv[1])]); print(*sandbox.pids, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(film)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")


def test_the_parent_imports_no_decoder() -> None:
    decoders = {"pydicom", "PIL", "gdcm", "nibabel", "torch"}
    code = f"import sys, clinimm.io.sandbox; print(sorted({decoders} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nothing_is_left_open(film: Path) -> None:
    before, threads = psutil.Process().num_fds(), threading.active_count()
    for _ in range(3):
        with Sandbox() as sandbox:
            sandbox.read([film])
    assert psutil.Process().num_fds() == before
    assert threading.active_count() == threads
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 << 20


def test_a_path_that_is_missing_is_an_input_error(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        sandbox.read([tmp_path / "absent"])
    assert refusal.value.code == "unreadable_file"

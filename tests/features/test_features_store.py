"""What is kept of an input comes back to the bit or not at all, in a folder that stays as small as was asked."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clinimm.features.found import Found, from_bytes, to_bytes
from clinimm.features.store import Features

DTYPES = (torch.float32, torch.bfloat16, torch.int64, torch.bool)
NAMES = st.text("abc.1", min_size=1, max_size=4)
RECORDS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any bits of any shape, in any order in memory, no numbers among them."""
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    made = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    made = torch.where(made > 1.2, float("nan"), made).to(draw(st.sampled_from(DTYPES)))
    return made.transpose(0, -1) if made.ndim and draw(st.booleans()) else made


def bits(tensor: Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def entry(seed: int, numbers: int = 64) -> Found:
    return Found({"x": torch.randn(numbers, generator=torch.Generator().manual_seed(seed))}, {"seed": seed})


def same(one: Found | None, other: Found) -> bool:
    return one is not None and one.record == other.record and torch.equal(one.tensors["x"], other.tensors["x"])


def held(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@given(
    st.dictionaries(st.text("abc.1", min_size=1, max_size=4), tensors(), max_size=3),
    st.dictionaries(st.text(), RECORDS),
)
def test_what_is_kept_comes_back_to_the_bit(arrays: dict[str, Tensor], record: dict[str, object]) -> None:
    again = from_bytes(to_bytes(Found(arrays, record), "name"), "name")
    assert again is not None
    assert {key: bits(tensor) for key, tensor in again.tensors.items()} == {k: bits(t) for k, t in arrays.items()}
    assert again.record == record
    assert all(tensor.is_contiguous() for tensor in again.tensors.values())


@given(st.data())
def test_no_torn_altered_or_misplaced_bytes_are_believed(data: st.DataObject) -> None:
    sound = to_bytes(entry(0), "name")
    assert from_bytes(sound, "other") is None
    assert from_bytes(sound[: data.draw(st.integers(0, len(sound) - 1))], "name") is None
    assert from_bytes(sound + data.draw(st.binary(min_size=1, max_size=9)), "name") is None
    altered = bytearray(sound)
    altered[data.draw(st.integers(0, len(sound) - 1))] ^= data.draw(st.integers(1, 255))
    assert from_bytes(bytes(altered), "name") is None


def test_a_damaged_file_is_no_entry_and_is_written_anew(tmp_path: Path) -> None:
    features = Features(tmp_path)
    features.write("a", entry(1))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert features.read("a") is None
    features.write("a", entry(1))
    assert same(features.read("a"), entry(1))
    path.write_bytes(b"")  # what a machine that lost its power may leave
    assert features.read("a") is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 900)), min_size=1, max_size=60))
def test_a_folder_never_holds_more_than_its_limit(writes: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as folder:
        features = Features(Path(folder), limit_bytes=20_000)
        for seed, numbers in writes:
            features.write(str(seed), entry(seed, numbers))
            assert held(Path(folder)) <= 20_000


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    size = len(to_bytes(entry(0), "0"))
    features = Features(tmp_path, limit_bytes=18 * size)
    for i in range(60):
        features.write(str(i), entry(i))
        assert same(features.read("0"), entry(0))  # used again and again
    assert same(features.read("59"), entry(59))
    assert features.read("1") is None


def test_what_was_there_before_and_what_a_crash_left_count_too(tmp_path: Path) -> None:
    (tmp_path / ".left-by-a-crash").write_bytes(bytes(50_000))
    os.utime(tmp_path / ".left-by-a-crash", (1, 1))
    features = Features(tmp_path, limit_bytes=20_000)
    features.write("a", entry(1))
    assert [path.name for path in tmp_path.iterdir()] == ["a.features"]


def test_an_entry_too_large_for_the_folder_is_not_kept(tmp_path: Path) -> None:
    features = Features(tmp_path / "new", limit_bytes=1000)
    features.write("a", entry(1, 1000))
    assert features.read("a") is None


def test_a_folder_that_cannot_be_used_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "folder").write_text("a file")
    features = Features(tmp_path / "folder")
    features.write("a", entry(1))
    assert features.read("a") is None
    assert {record.getMessage() for record in caplog.records} == {
        "features cannot be kept",
        "features cannot be read",
    }


def test_only_their_writer_may_read_them(tmp_path: Path) -> None:
    features = Features(tmp_path / "new")
    features.write("a", entry(1))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()] == [0o600]


WRITER = """
import sys, torch
from pathlib import Path
from tempfile import TemporaryDirectory
from clinimm.features.found import Found
from clinimm.features.store import Features

features = Features(Path(sys.argv[1]), limit_bytes=20 << 20)
print("ready", flush=True)
sys.stdin.readline()
for i in range(30):
    features.write("same", Found({"x": torch.arange(100_000)}, {}))
    features.write(f"{sys.argv[2]}-{i}", Found({"x": torch.zeros(100_000)}, {}))
"""


@pytest.mark.slow
def test_two_processes_that_write_one_name_at_once_leave_it_whole_and_the_folder_small(tmp_path: Path) -> None:
    def start(name: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", WRITER, str(tmp_path), name]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    writers = [start("one"), start("two")]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    features, seen = Features(tmp_path), 0
    while any(writer.poll() is None for writer in writers):
        path = tmp_path / "same.features"
        if path.exists():
            found = features.read("same")  # never torn: it appears at once, and is used too often to be swept
            assert found is not None
            assert torch.equal(found.tensors["x"], torch.arange(100_000))
            seen += 1
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert seen > 0
    assert held(tmp_path) <= (20 << 20) * 9 / 8
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

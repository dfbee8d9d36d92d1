"""Files are named by what they are, kept whole, and swept only when nobody wants them."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_requests import film

from services.blobs import Blobs, DamagedBlob, Sweeper


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path)


def aged(path: Path, seconds: float = 3600) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=90), max_size=6), st.booleans())
def test_bytes_come_back_whatever_pieces_they_came_in(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], dicom: bool
) -> None:
    blobs = Blobs(tmp_path_factory.mktemp("blobs"))
    sent = (b"\xff" * 128 + b"DICM" if dicom else b"") + b"".join(pieces)
    staged = blobs.stage()
    for piece in [sent[:100], sent[100:130], sent[130:]]:
        staged.write(piece)
    staged.close()
    blobs.keep(staged)
    kept = bytes(128) + sent[128:] if dicom else sent
    assert blobs.read(staged.sha256) == kept
    assert staged.original_sha256 == hashlib.sha256(sent).hexdigest()
    assert (staged.is_dicom, staged.nulled, staged.size) == (dicom, dicom, len(sent))


def test_preamble_of_zeros_is_not_called_nulled(blobs: Blobs) -> None:
    staged = blobs.stage()
    staged.write(film())
    staged.close()
    assert (staged.is_dicom, staged.nulled, staged.sha256) == (True, False, staged.original_sha256)


def test_only_we_may_read_what_is_kept(blobs: Blobs) -> None:
    path = blobs.path(blobs.put(b"note"))
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_change_of_a_stored_file_is_found(blobs: Blobs) -> None:
    name = blobs.put(b"report")
    blobs.path(name).write_bytes(b"rep0rt")
    with pytest.raises(DamagedBlob):
        blobs.read(name)
    blobs.path(name).unlink()
    with pytest.raises(DamagedBlob):
        blobs.read(name)


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_sweep_takes_what_lay_unwanted_for_long(blobs: Blobs) -> None:
    wanted, unwanted, stale = blobs.put(b"wanted"), blobs.put(b"unwanted"), blobs.stage()
    clock = Clock()
    sweeper = Sweeper(blobs, lambda names: {wanted} & set(names), patience=600, clock=clock)
    assert sweeper.turn() == 0
    clock.seconds += 300
    late, receiving = blobs.put(b"late"), blobs.stage()
    assert sweeper.turn() == 0
    clock.seconds += 300
    assert sweeper.turn() == 2
    assert not blobs.holds(unwanted)
    assert not stale.path.exists()
    assert blobs.holds(wanted)
    assert blobs.holds(late)
    assert receiving.path.exists()


def test_clock_of_the_files_is_not_believed(blobs: Blobs) -> None:
    name, receiving = blobs.put(b"unwanted"), blobs.stage()
    for path in (blobs.path(name), receiving.path):
        aged(path, seconds=86400)
    sweeper = Sweeper(blobs, lambda _: ())
    assert [sweeper.turn(), sweeper.turn()] == [0, 0]


def test_file_that_is_written_or_kept_anew_is_young_again(blobs: Blobs) -> None:
    blobs.put(b"x")
    receiving = blobs.stage()
    clock = Clock()
    sweeper = Sweeper(blobs, lambda _: (), patience=600, clock=clock)
    sweeper.turn()
    clock.seconds += 600
    blobs.put(b"x")
    receiving.write(b"y" * 100_000)
    assert sweeper.turn() == 0
    clock.seconds += 600
    assert sweeper.turn() == 2


def test_file_laid_aside_comes_back_only_whole(blobs: Blobs) -> None:
    name, other = blobs.put(b"x"), blobs.put(b"y")
    for one in (name, other):
        blobs.lay_aside(one)
        assert not blobs.holds(one)
    (blobs.root / "lost+found" / other).write_bytes(b"z")
    assert [blobs.bring_back(name), blobs.bring_back(other), blobs.bring_back("0" * 64)] == [True, False, False]
    assert blobs.read(name) == b"x"
    assert {name} == set().union(*blobs.names())


def test_discarded_file_leaves_nothing(blobs: Blobs) -> None:
    staged = blobs.stage()
    staged.write(b"x" * 1000)
    staged.discard()
    assert not list(blobs.incoming.iterdir())

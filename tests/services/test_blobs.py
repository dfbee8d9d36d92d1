"""Files are named by what they are, kept whole, and swept only when nobody wants them."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_requests import film

from services.blobs import Blobs, DamagedBlob


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


def test_sweep_takes_the_old_and_unwanted_alone(blobs: Blobs) -> None:
    wanted, unwanted, young = blobs.put(b"wanted"), blobs.put(b"unwanted"), blobs.put(b"young")
    stale, receiving = blobs.stage(), blobs.stage()
    for path in (blobs.path(wanted), blobs.path(unwanted), stale.path):
        aged(path)
    assert blobs.sweep(lambda names: {wanted} & set(names)) == 2
    assert blobs.path(wanted).exists()
    assert blobs.path(young).exists()
    assert receiving.path.exists()
    assert not blobs.path(unwanted).exists()
    assert not stale.path.exists()


def test_keeping_again_makes_an_old_file_young(blobs: Blobs) -> None:
    name = blobs.put(b"x")
    aged(blobs.path(name))
    blobs.put(b"x")
    assert blobs.sweep(lambda _: ()) == 0


def test_discarded_file_leaves_nothing(blobs: Blobs) -> None:
    staged = blobs.stage()
    staged.write(b"x" * 1000)
    staged.discard()
    assert not list(blobs.incoming.iterdir())

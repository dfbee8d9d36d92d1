"""A registry of promoted artifacts: what answers, who let it in, and that nobody rewrote it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clinimm.errors import ArtifactError
from clinimm.registry import Registry

FOUND = {"verdict": "for the test"}


def digest_of(directory: Path) -> str:
    return (directory / "manifest.json").read_text()


def artifact(folder: Path, digest: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(digest)
    (folder / "weights").write_text(f"weights of {digest}")
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """One with a, then b promoted, and c refused."""
    found = Registry(tmp_path / "registry")
    for name in "ab":
        found.promote(
            artifact(tmp_path / name, name * 64), name * 64,
            verify=digest_of, evaluation=FOUND, manifest="m" * 64, by="ann", note=name, expected=found.current(),
        )  # fmt: skip
    found.refuse("c" * 64, evaluation=FOUND, manifest="m" * 64, by="ann")
    return found


def test_a_new_registry_has_nothing_current(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "none")
    assert registry.current() is None
    assert registry.history() == ()
    with pytest.raises(ArtifactError, match="nothing was promoted"):
        registry.current_place()


def test_the_last_promoted_answers_and_a_refused_one_does_not(registry: Registry) -> None:
    assert registry.current() == "b" * 64
    assert (registry.current_place() / "weights").read_text() == f"weights of {'b' * 64}"
    assert not registry.place("c" * 64).exists()
    assert [entry.verdict for entry in registry.history()] == ["promoted", "promoted", "refused"]
    assert [entry.previous for entry in registry.history()] == [None, "a" * 64, "b" * 64]
    promotion = registry.promotion("b" * 64)
    assert promotion is not None
    assert (promotion.by, promotion.note) == ("ann", "b")
    assert json.loads((registry.directory / "evaluations" / f"{promotion.evaluation}.json").read_text()) == FOUND
    assert registry.manifests() == {"m" * 64: 3}


def test_rollback_goes_back_to_what_answered_before_and_no_further(registry: Registry) -> None:
    assert registry.roll_back(verify=digest_of, by="bob", note="wrong at night").digest == "a" * 64
    assert registry.current() == "a" * 64
    with pytest.raises(ArtifactError, match="nothing to go back to"):
        registry.roll_back(verify=digest_of)
    assert registry.history()[-1].by == "bob"
    assert registry.promotion("b" * 64) is None
    assert registry.promotion("a" * 64) is not None


def test_what_was_rolled_back_can_be_promoted_again(registry: Registry, tmp_path: Path) -> None:
    registry.roll_back(verify=digest_of)
    again = {"verify": digest_of, "evaluation": FOUND, "manifest": "m" * 64}
    registry.promote(tmp_path / "b", "b" * 64, **again, expected="a" * 64)
    assert registry.current() == "b" * 64
    registry.roll_back(verify=digest_of)
    assert registry.current() == "a" * 64


def test_only_what_the_candidate_was_judged_against_is_replaced(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="another artifact answers"):
        registry.promote(
            artifact(tmp_path / "d", "d" * 64), "d" * 64,
            verify=digest_of, evaluation=FOUND, manifest="m" * 64, expected="a" * 64,
        )  # fmt: skip
    with pytest.raises(ArtifactError, match="already"):
        registry.promote(
            tmp_path / "b", "b" * 64, verify=digest_of, evaluation=FOUND, manifest="m" * 64, expected="b" * 64
        )


def test_a_damaged_artifact_is_not_gone_back_to(registry: Registry) -> None:
    (registry.place("a" * 64) / "manifest.json").write_text("of another")
    with pytest.raises(ArtifactError, match="another artifact"):
        registry.roll_back(verify=digest_of)
    assert registry.current() == "b" * 64


def test_a_candidate_that_changes_while_it_is_copied_is_not_let_in(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="changed while"):
        registry.promote(
            artifact(tmp_path / "d", "e" * 64), "d" * 64,
            verify=digest_of, evaluation=FOUND, manifest="m" * 64, expected="b" * 64,
        )  # fmt: skip
    assert registry.current() == "b" * 64
    assert not registry.place("d" * 64).exists()


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_is_found(registry: Registry, line: int) -> None:
    path = registry.directory / "history.jsonl"
    lines = path.read_text().splitlines()
    lines[line] = lines[line].replace('"by":"ann"', '"by":"eve"')
    path.write_text("".join(f"{text}\n" for text in lines))
    with pytest.raises(ArtifactError, match="history"):
        registry.current()


@pytest.mark.parametrize("kept", [[1, 2], [0, 2], [0, 1], [0], []])
def test_a_dropped_line_is_found(registry: Registry, kept: list[int]) -> None:
    path = registry.directory / "history.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{lines[i]}\n" for i in kept))
    with pytest.raises(ArtifactError, match="history"):
        registry.current()


def test_a_lost_history_or_pointer_is_found(registry: Registry) -> None:
    pointer = (registry.directory / "current.json").read_text()
    (registry.directory / "current.json").unlink()
    with pytest.raises(ArtifactError, match="history"):
        registry.current()
    (registry.directory / "current.json").write_text(pointer[:10])
    with pytest.raises(ArtifactError, match="pointer"):
        registry.current()
    (registry.directory / "current.json").write_text(pointer)
    (registry.directory / "history.jsonl").unlink()
    with pytest.raises(ArtifactError, match="history is gone"):
        registry.current()


def test_a_crash_between_history_and_pointer_leaves_the_new_state(registry: Registry) -> None:
    pointer = (registry.directory / "current.json").read_text()
    registry.roll_back(verify=digest_of)
    (registry.directory / "current.json").write_text(pointer)
    assert registry.current() == "a" * 64
    registry.refuse("c" * 64, evaluation=FOUND, manifest="m" * 64)
    assert len(registry.history()) == 5


WRITER = """
import sys
from pathlib import Path
from clinimm.registry import Registry
registry = Registry(Path(sys.argv[1]))
print("go", flush=True)
for i in range(10_000):
    registry.refuse(f"{i:064d}", evaluation={"i": i}, manifest="m" * 64)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_registry(registry: Registry, tmp_path: Path) -> None:
    for wait in (0.02, 0.05, 0.11):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(registry.directory)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(wait)
            os.kill(writer.pid, signal.SIGKILL)
        length = len(registry.history())
        assert registry.current() == "b" * 64
        registry.refuse("c" * 64, evaluation=FOUND, manifest="m" * 64)
        assert len(registry.history()) == length + 1
    shutil.rmtree(tmp_path / "a")

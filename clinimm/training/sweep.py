"""Many runs over settings and seeds: each in a folder and a process of its own, several at once, resumable.

Which settings are best is read from validation patients alone. The out-of-fold test figures stand beside them to be
reported, once, for what was chosen: whoever chooses by them has no test left."""

import hashlib
import itertools
import json
import os
import queue
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clinimm.config import Config, dump
from clinimm.errors import ConfigError
from clinimm.training.point import RESULT

LOG = "log.txt"


@dataclass(frozen=True)
class Axis:
    """A setting and the values to try, as they are written after `--set`."""

    name: str
    values: tuple[str, ...]

    @staticmethod
    def parse(text: str) -> "Axis":
        """`optim.lr=1e-3,3e-3`; commas in brackets, braces or quotes part nothing. Raises ConfigError."""
        name, separator, values = text.partition("=")
        parts = tuple(part for part in _parted(values) if part)
        if not separator or not name.strip() or not parts:
            raise ConfigError(f"{text!r} names no values", where="--over", mend="write section.key=one,another")
        return Axis(name.strip(), parts)


@dataclass(frozen=True)
class Point:
    """One run: `settings` are overrides, and the config is what they and the seed make of the base."""

    settings: tuple[str, ...]
    seed: int
    config: Config

    @property
    def key(self) -> str:
        """Which settings these are, whatever the seed."""
        whole = self.config.model_copy(update={"run": self.config.run.model_copy(update={"seed": 0})})
        return hashlib.sha256(dump(whole).encode()).hexdigest()[:10]

    def folder(self, out: Path) -> Path:
        return out / self.key / f"seed-{self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What became of a point: its result, or why there is none."""

    point: Point
    result: Mapping[str, Any] | None
    failure: str = ""

    @property
    def validation(self) -> float | None:
        """The mean validation score of its folds."""
        scores = [] if self.result is None else [score for score in self.result["validation"] if score is not None]
        return sum(scores) / len(scores) if scores else None


def plan(
    load: Callable[[Sequence[str]], Config], axes: Sequence[Axis], *, seeds: int, sample: int | None, draw: int = 0
) -> list[Point]:
    """Every combination of the axes, or `sample` of them drawn at random, each with seeds from the config's own on.
    `load` makes the config of overrides. Raises ConfigError that lists every setting that is not one."""
    names = [axis.name for axis in axes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{', '.join(twice)} is given twice", where="--over", mend="give all values at once")
    grid = [
        tuple(f"{axis.name}={value}" for axis, value in zip(axes, values, strict=True))
        for values in itertools.product(*(axis.values for axis in axes))
    ]
    if sample is not None and sample < len(grid):
        grid = random.Random(draw).sample(grid, sample)
    points, faults = [], []
    for settings in grid:
        try:
            first = load(settings).run.seed
            points += [
                Point(settings, seed, load((*settings, f"run.seed={seed}"))) for seed in range(first, first + seeds)
            ]
        except ConfigError as error:
            faults.append(f"{' '.join(settings)}: {error.what}")
    if faults:
        raise ConfigError("; ".join(faults), where="--over")
    return points


def run_sweep(
    points: Sequence[Point],
    data: Path,
    out: Path,
    *,
    jobs: int | None = None,
    on_done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Runs what is not finished yet, so many at once, and returns what became of each. One that fails stops no other;
    its log says why. `on_done` hears of each, the finished ones first."""
    places = slots(points[0].config, jobs)
    free: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()
    for place in places:
        free.put(place)
    running = _Children()
    told = threading.Lock()

    def outcome(point: Point) -> Outcome:
        found = finished(point, out)
        if found is None:
            place = free.get()
            try:
                found = running.run(point, data, out, place)
            finally:
                free.put(place)
        with told:
            on_done(found)
        return found

    order = sorted(range(len(points)), key=lambda i: finished(points[i], out) is None)
    pool = ThreadPoolExecutor(len(places))
    try:
        found = dict(zip(order, pool.map(lambda i: outcome(points[i]), order), strict=True))
    finally:
        running.end()
        pool.shutdown(wait=True, cancel_futures=True)
    return [found[i] for i in range(len(points))]


def finished(point: Point, out: Path) -> Outcome | None:
    """What a finished point came to; None for one that is not."""
    path = point.folder(out) / RESULT
    return Outcome(point, json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def slots(config: Config, jobs: int | None) -> list[dict[str, str]]:
    """The environment of each process that may run at once: one to a GPU where there are any and the config lets them
    be used, else as many as the cores have room for."""
    devices = [] if config.run.device == "cpu" else _devices()
    count = jobs or len(devices) or max(1, len(os.sched_getaffinity(0)) // config.run.threads)
    quiet = {"OMP_NUM_THREADS": str(config.run.threads), "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    if not devices:
        return [quiet] * count
    return [quiet | {"CUDA_VISIBLE_DEVICES": devices[i % len(devices)]} for i in range(count)]


def _devices() -> list[str]:
    """The names of the GPUs that we may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(i) for i in range(torch.cuda.device_count())] if named is None else [n for n in named.split(",") if n]


class _Children:
    """The processes that run; ended when the sweep is. Their standard input is a pipe that closes when we die."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def run(self, point: Point, data: Path, out: Path, place: Mapping[str, str]) -> Outcome:
        folder = point.folder(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(dump(point.config), encoding="utf-8")
        with (folder / LOG).open("ab") as log:
            child = self._start([sys.executable, "-m", "clinimm.training.point", str(folder), str(data)], place, log)
            if child is None:
                return Outcome(point, None, "not started")
            code = child.wait()
        with self._lock:
            self._running.discard(child)
        found = finished(point, out)
        if code == 0 and found is not None:
            return found
        return Outcome(point, None, f"exit code {code}: {_last_line(folder / LOG)}")

    def _start(self, command: list[str], place: Mapping[str, str], log: Any) -> "subprocess.Popen[bytes] | None":
        with self._lock:
            if self._ended:
                return None
            child = subprocess.Popen(
                command, env={**os.environ, **place}, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )
            self._running.add(child)
            return child

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for child in self._running:
                child.terminate()


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


def _parted(text: str) -> list[str]:
    """The text at its commas, but for those inside brackets, braces or quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]

"""Every image read once, out of process, to see which can be used: nothing is kept of the pixels."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clinimm.data.clock import Clock
from clinimm.errors import InputError
from clinimm.io.sandbox import Sandbox
from clinimm.io.scan_types import WindowChoice
from clinimm.types import Case, ImageFile

READABLE = "readable"


@dataclass(frozen=True)
class Picture:
    """One film or series to read, and the name it goes by. Where nobody states when it was acquired, `clock` holds it
    to what its header says."""

    name: str
    paths: tuple[Path, ...]
    window: WindowChoice = "voi"
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class Outcome:
    """`code` is "readable" or the refusal's, `what` a sentence on the refusal, `flags` what a reader should know."""

    name: str
    code: str
    what: str = ""
    flags: tuple[str, ...] = ()


def pictures_of(
    cases: Sequence[Case],
    windows: Mapping[str, WindowChoice],
    max_age_hours: Mapping[str, float | None] | None = None,
) -> list[Picture]:
    """The images of the cases, by case id and input, each with its input's window."""
    limits = max_age_hours or {}
    return [
        Picture(
            f"{case.case_id} {name}",
            found.paths,
            window,
            Clock(case.index_time, limits.get(name)) if found.acquired_at is None else Clock(),
        )
        for case in cases
        for name, window in windows.items()
        if isinstance(found := case.inputs.get(name), ImageFile)
    ]


def pictures_under(paths: Iterable[Path]) -> list[Picture]:
    """Each file as a picture of its own; a folder stands for all the visible files below it."""
    return [
        Picture(str(file), (file,))
        for path in paths
        for file in (sorted(path.rglob("[!.]*")) if path.is_dir() else [path])
        if not file.is_dir()
    ]


def decode(pictures: Iterable[Picture], sandbox: Sandbox) -> Iterator[Outcome]:
    """The outcome of each picture, as it is read."""
    for picture in pictures:
        try:
            scan = sandbox.read(picture.paths, picture.window)
        except InputError as error:
            yield Outcome(picture.name, error.code, error.what)
        else:
            age = picture.clock.told(scan.facts.get("acquired_at"))
            refused = age.refused
            code, what = (READABLE, "") if refused is None else (refused.reason, refused.detail)
            yield Outcome(picture.name, code, what, scan.flags + age.flags)


def tally(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How often each code, the readable first, then the most frequent."""
    counts = Counter(outcome.code for outcome in outcomes)
    return {READABLE: counts.pop(READABLE, 0), **dict(counts.most_common())}

"""What differs between two records, the cause before its effects: for a replay that did not give the same bits."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from clinimm.report.canonical import Json

# The first stage whose pattern fits a pointer has it. What comes in stands before what was made of it.
STAGES = (
    ("case", ("/case/*",)),
    ("input bytes", ("/inputs/*/sha256", "/inputs/*/text", "/inputs/*/acquired_at", "/inputs/*/analytes/*")),
    ("weights", ("/model/files/weights.safetensors", "/model/files/members.json", "/model/files/encoders.json")),
    ("config", ("/model/config_sha256", "/model/files/config.json", "/model/files/preparer.json")),
    ("calibration", ("/model/files/calibration.json", "/model/files/decision.json", "/model/files/guards.*")),
    ("model", ("/model/*",)),
    ("code", ("/schema", "/generator/clinimm", "/generator/code_sha256", "/contents/*", "/statements/*")),
    ("packages", ("/generator/*",)),
    ("settings", ("/settings/*",)),
    ("tensors", ("/tensors/*", "/inputs/*")),
    ("answer", ("/result/*", "/prediction/*", "/calibration/*", "/performance/*")),
    ("explanation", ("/explanations/*",)),
    ("comparison", ("/comparison*",)),
)
OTHER = "other"
_NAMES_OF_IT = ("/report_id", "/created", "/digest")  # follow from the rest, or are the time


@dataclass(frozen=True)
class Difference:
    """`pointer` leads to what differs, or is in one record alone; `stage` is what sort of cause or effect that is."""

    stage: str
    pointer: str


def differences(first: Json, second: Json) -> tuple[Difference, ...]:
    """Every leaf in which two records differ, in the order of STAGES: what stands first caused what follows. Empty for
    an answer and its replay, whenever they were made. Tells places, never values, which may be a patient's."""
    one, other = dict(leaves(first)), dict(leaves(second))
    both = [pointer for pointer in dict.fromkeys((*one, *other)) if pointer not in _NAMES_OF_IT]
    found = [Difference(_stage(pointer), pointer) for pointer in both if one.get(pointer) != other.get(pointer)]
    order = [name for name, _ in STAGES] + [OTHER]
    return tuple(sorted(found, key=lambda one: order.index(one.stage)))


def _stage(pointer: str) -> str:
    return next((name for name, fits in STAGES if any(fnmatchcase(pointer, fit) for fit in fits)), OTHER)


def leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, tuple[str, Any]]]:
    """(JSON pointer, (type, value)) of all that holds nothing else. Types are kept apart: 1 is not true."""
    inside = value.items() if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else ()
    if not inside:
        yield pointer, (type(value).__name__, value)
    for key, one in inside:
        yield from leaves(one, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")

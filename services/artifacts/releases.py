"""What explanations were worth from release to release: of every candidate, as it was judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinimm.errors import ArtifactError
from clinimm.registry import Entry, Registry

EVERYWHERE, BY_INPUT = ("reliable", "complete", "randomized weights"), "comprehensiveness"


@dataclass(frozen=True)
class Release:
    """A line of the registry's history, and what was found of the candidate's explanations: how many `patients` were
    explained, a number by measure, and one by input. `fault` says why nothing is told."""

    entry: Entry
    patients: int = 0
    everywhere: Mapping[str, Any] = field(default_factory=dict)
    by_input: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


def releases(registry: Path | None) -> list[Release]:
    """The latest first; none without a registry. Raises ArtifactError where the history does not hold."""
    if registry is None:
        return []
    kept = Registry(registry)
    return [_release(kept, entry) for entry in reversed(kept.history())]


def _release(kept: Registry, entry: Entry) -> Release:
    if entry.evaluation is None:
        return Release(entry, fault="nothing was measured")
    try:
        found = kept.evaluation(entry.evaluation).get("explanations", {}).get("candidate")
    except ArtifactError as error:
        return Release(entry, fault=error.what)
    if not found:
        return Release(entry, fault="explanations were not measured")
    numbers = {(one["measure"], one["modality"]): one for one in found["numbers"]}
    return Release(
        entry,
        found["patients"],
        {measure: numbers.get((measure, None)) for measure in EVERYWHERE},
        {name: number for (measure, name), number in numbers.items() if measure == BY_INPUT and name},
    )

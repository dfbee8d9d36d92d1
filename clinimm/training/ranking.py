"""What a sweep found, settings against settings: ranked by validation patients alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clinimm.evaluation.grid import UNKNOWN, Grid
from clinimm.training.sweep import Outcome
from clinimm.types import rounded

NOTES = (
    "Ranked by validation AUROC, mean over every subset of inputs, folds and seeds; +- is the deviation over seeds.",
    "Test figures are out of fold and not to choose by: report the chosen row's, once. The best of many rows looks"
    " better than it is.",
)


@dataclass(frozen=True)
class Ranked:
    """One combination of settings over its seeds. `validation` and `spread` are mean and deviation over the seeds;
    `test` is the out-of-fold test AUROC, mean over seeds and targets: to be reported, not to choose by."""

    settings: tuple[str, ...]
    seeds: int
    failed: int
    validation: float | None
    spread: float | None
    test: float | None
    seconds: float


def ranked(outcomes: Sequence[Outcome]) -> list[Ranked]:
    """Every combination, the highest validation score first; one of which nothing is known last."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.point.settings, []).append(outcome)
    rows = [_ranked(settings, group) for settings, group in groups.items()]
    return sorted(rows, key=lambda row: -math.inf if row.validation is None else row.validation, reverse=True)


def _ranked(settings: tuple[str, ...], group: Sequence[Outcome]) -> Ranked:
    known = [score for outcome in group if (score := outcome.validation) is not None]
    results = [outcome.result for outcome in group if outcome.result is not None]
    tests = [auroc for result in results if (auroc := _test_auroc(result["test"])) is not None]
    return Ranked(
        settings=settings,
        seeds=len(results),
        failed=len(group) - len(results),
        validation=_mean(known),
        spread=_deviation(known),
        test=_mean(tests),
        seconds=sum(result["seconds"] for result in results),
    )


def _test_auroc(record: Mapping[str, Any]) -> float | None:
    """The AUROC with all inputs, mean over the targets."""
    values = [max(target["subsets"], key=lambda row: row["name"].count("+")) for target in record["targets"]]
    return _mean([v for row in values if (v := row["metrics"]["auroc"]["value"]) is not None])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _deviation(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def ranking_grid(rows: Sequence[Ranked]) -> Grid:
    """The combinations from the best to the worst."""
    return Grid(
        "settings, the best on validation first",
        ("settings", "rank", "seeds", "failed", "validation", "+-", "test (do not choose by it)", "minutes"),
        tuple(
            (
                "  ".join(row.settings) or "as they are", str(place), str(row.seeds), str(row.failed),
                _figure(row.validation), _figure(row.spread), _figure(row.test), f"{row.seconds / 60:.1f}",
            )
            for place, row in enumerate(rows, 1)
        ),
        NOTES,
    )  # fmt: skip


def record(rows: Sequence[Ranked], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All of it as plain JSON types, every run with its folder's name."""
    return {
        "ranked_by": "validation",
        "settings": [
            {name: rounded(value) if isinstance(value, float) else value for name, value in asdict(row).items()}
            for row in rows
        ],
        "runs": [
            {
                "folder": f"{one.point.key}/seed-{one.point.seed}",
                "settings": list(one.point.settings),
                "seed": one.point.seed,
                "validation": rounded(one.validation),
                "failure": one.failure,
            }
            for one in outcomes
        ],
    }


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"

"""How well "which input next?" did: figures of what was expected of each hidden input against what it then did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from evaluation_tables import figure, markdown

from clinimm.bootstrap import Estimate, Values, Weights, paired_bootstrap_difference, patient_bootstrap
from clinimm.metrics import weighted_auroc, weighted_ece

FLIP_BINS = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0)
LINES = (
    ("Spearman, expected against actual change", "spearman", "spearman_fixed", "spearman_gain", ""),
    ("the same among cases asked the same thing", "spearman_within", "", "", ""),
    (
        "ranked first is what moves the answer most ({questions} questions)",
        "first_model", "first_fixed order", "first_gain", "first_chance",
    ),
    (
        "how far the first moves the answer (at best {moved_best[value]:.3f})",
        "moved_model", "moved_fixed order", "moved_gain", "moved_chance",
    ),
    ("AUROC of the chance of a turned decision", "flip_auroc", "flip_auroc_usual", "", ""),
    ("calibration error of that chance", "flip_ece", "flip_ece_usual", "", ""),
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """Rows, one per (case, shown inputs, hidden input), of one target. `question` numbers (case, shown inputs)."""

    patients: np.ndarray
    question: np.ndarray
    shown: np.ndarray
    hidden: np.ndarray
    expected: np.ndarray
    actual: np.ndarray
    chance: np.ndarray
    turned: np.ndarray
    usual: np.ndarray  # the mean change in training, given the same shown inputs
    usual_turn: np.ndarray

    @staticmethod
    def concat(parts: Sequence["Asked"]) -> "Asked":
        starts = np.cumsum([0, *(part.question.max(initial=-1) + 1 for part in parts)])
        shifted = [replace(part, question=part.question + start) for part, start in zip(parts, starts, strict=False)]
        names = [field.name for field in fields(Asked)]
        return Asked(**{name: np.concatenate([getattr(part, name) for part in shifted]) for name in names})


def spearman(x: np.ndarray, y: np.ndarray, weights: Weights) -> Values:
    """Spearman's correlation where each pair counts as often as its weight says; ties share their mean rank."""
    a, b = weighted_ranks(x, weights), weighted_ranks(y, weights)
    share = weights / weights.sum(axis=1, keepdims=True)
    a, b = a - (share * a).sum(1, keepdims=True), b - (share * b).sum(1, keepdims=True)
    spread = np.sqrt((share * a * a).sum(1) * (share * b * b).sum(1))
    return np.divide((share * a * b).sum(1), spread, out=np.full(len(weights), np.nan), where=spread > 0)


def weighted_ranks(x: np.ndarray, weights: Weights) -> np.ndarray:
    _, place = np.unique(x, return_inverse=True)
    totals = np.zeros((len(weights), place.max() + 1))
    np.add.at(totals.T, place, weights.T)
    return (np.cumsum(totals, axis=1) - totals / 2)[:, place]


def within(asked: Asked, weights: Weights) -> Values:
    """The mean Spearman correlation over (shown, hidden): how well the model tells apart cases that are asked the same
    thing, of which a fixed order knows nothing."""
    cells = np.array([f"{shown}>{hidden}" for shown, hidden in zip(asked.shown, asked.hidden, strict=True)])
    parts = [
        spearman(asked.expected[cells == c], asked.actual[cells == c], weights[:, cells == c]) for c in np.unique(cells)
    ]
    return np.mean(parts, axis=0)


@dataclass(frozen=True)
class Choices:
    """One row per question with two hidden inputs or more: whether the first choice was the best (a tie counts in
    part), and how far the answer moved by it."""

    patients: list[str]
    hits: dict[str, np.ndarray]
    moved: dict[str, np.ndarray]


def choices(asked: Asked) -> Choices:
    ways = {"model": asked.expected, "fixed order": asked.usual}
    patients: list[str] = []
    hits: dict[str, list[float]] = {name: [] for name in (*ways, "chance")}
    moved: dict[str, list[float]] = {name: [] for name in (*ways, "chance", "best")}
    for rows in np.split(np.arange(len(asked.question)), np.flatnonzero(np.diff(asked.question)) + 1):
        if len(rows) < 2:
            continue
        actual = asked.actual[rows]
        best = actual == actual.max()
        patients.append(str(asked.patients[rows[0]]))
        for name, score in ways.items():
            first = score[rows] == score[rows].max()
            hits[name].append(float(best[first].mean()))
            moved[name].append(float(actual[first].mean()))
        hits["chance"].append(float(best.mean()))
        moved["chance"].append(float(actual.mean()))
        moved["best"].append(float(actual.max()))
    return Choices(patients, *({k: np.array(v) for k, v in told.items()} for told in (hits, moved)))


def mean_of(values: np.ndarray, weights: Weights) -> Values:
    return weights @ values / weights.sum(axis=1)


def judge(asked: Asked, resamples: int) -> dict[str, Any]:
    """Every figure of one target as plain JSON types."""
    patients = [str(one) for one in asked.patients]
    draw: dict[str, Any] = {"resamples": resamples, "seed": 0}
    mine, fixed = partial(spearman, asked.expected, asked.actual), partial(spearman, asked.usual, asked.actual)
    told = patient_bootstrap(
        {
            "spearman": mine, "spearman_fixed": fixed, "spearman_within": partial(within, asked),
            "flip_ece": partial(weighted_ece, asked.turned, asked.chance),
            "flip_ece_usual": partial(weighted_ece, asked.turned, asked.usual_turn),
            "flip_auroc": partial(weighted_auroc, asked.turned, asked.chance),
            "flip_auroc_usual": partial(weighted_auroc, asked.turned, asked.usual_turn),
        }, patients, **draw,
    )  # fmt: skip
    told["spearman_gain"] = paired_bootstrap_difference(mine, fixed, patients, **draw)
    chosen = choices(asked)
    if chosen.patients:
        hits = {f"first_{name}": partial(mean_of, one) for name, one in chosen.hits.items()}
        moved = {f"moved_{name}": partial(mean_of, one) for name, one in chosen.moved.items()}
        told |= patient_bootstrap({**hits, **moved}, chosen.patients, **draw)
        for name in ("first", "moved"):
            told[f"{name}_gain"] = paired_bootstrap_difference(
                *({**hits, **moved}[f"{name}_{way}"] for way in ("model", "fixed order")), chosen.patients, **draw
            )
    return {
        "pairs": len(patients), "questions": len(chosen.patients), "patients": len(set(patients)),
        "expected_mean": float(asked.expected.mean()), "actual_mean": float(asked.actual.mean()),
        **{name: one.record() for name, one in told.items()}, "flip_bins": flip_bins(asked), "verdict": verdict(told),
    }  # fmt: skip


def flip_bins(asked: Asked) -> list[dict[str, float]]:
    """Pairs by the chance that was given to a turn: how many there are, their mean chance, how many turned."""
    which = np.clip(np.searchsorted(FLIP_BINS, asked.chance, side="right") - 1, 0, len(FLIP_BINS) - 2)
    return [
        {
            "from": FLIP_BINS[b], "to": FLIP_BINS[b + 1], "pairs": int((which == b).sum()),
            "predicted": float(asked.chance[which == b].mean()), "observed": float(asked.turned[which == b].mean()),
        }
        for b in range(len(FLIP_BINS) - 1) if (which == b).any()
    ]  # fmt: skip


def verdict(told: Mapping[str, Estimate]) -> str:
    """Whether the ranking is worth having, in a sentence."""
    gain, what = told.get("first_gain"), "picks the first input"
    if gain is None or gain.value is None:
        gain, what = told["spearman_gain"], "orders (case, input) pairs"
    if gain.clear:
        return f"The ranking {what} {'better' if gain.value > 0 else 'WORSE'} than a fixed order, clearly."
    return f"The ranking {what} NO better than a fixed order would, as far as these cases can tell ({gain.value:+.3f})."


def table(name: str, target: str, found: Mapping[str, Any]) -> str:
    """The figures of one target as Markdown."""
    title = f"{name}, {target}: {found['pairs']} (case, input) pairs of {found['patients']} patients"
    rows = [
        (what.format(**found), *(figure(found[key], sign=key.endswith("gain")) if key else "" for key in keys))
        for what, *keys in LINES
        if all(not key or key in found for key in keys)
    ]
    flips = "; ".join(
        f"{one['from']:g}-{one['to']:g}: {one['predicted']:.2f} said, {one['observed']:.2f} turned (n={one['pairs']})"
        for one in found["flip_bins"]
    )
    lines = [
        markdown((title, "model", "fixed order", "model - fixed", "chance"), rows),
        "",
        f"Mean change expected {found['expected_mean']:.3f}, actual {found['actual_mean']:.3f}. Decisions that turned, "
        f"by the chance given to it: {flips}.",
        "",
        found["verdict"],
    ]
    return "\n".join(lines)

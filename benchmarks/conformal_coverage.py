"""How often conformal sets hold the truth, per pattern of missing inputs, when inputs are missing by chance, by what
another input shows, or by what they would have shown themselves.

    python benchmarks/conformal_coverage.py --cases 2000 --seeds 20 --out conformal_coverage.json

Four ways to set the limits from the same calibration cases: ours (own cases, joined by weighed others where they are
few); one limit for all patterns; each pattern from all cases that have its inputs, the rest hidden; each from its own
cases only. Every seed draws new calibration cases; the truth is counted on the same large test population, in which a
pattern has thousands of cases, so that what is left is not chance. `off` is the mean coverage of a pattern over the
seeds less what was promised; `spread` the root mean square over patterns and seeds: what one user can expect.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from planted_scores import INPUTS, MECHANISMS, World

from clinimm.calibration import Calibrator
from clinimm.conformal import Conformal, Limits, holds, lower_limit
from clinimm.metrics import ece
from clinimm.platt import fit_lines
from clinimm.scores import Scores, columns, subsets

FEWEST = 100  # own calibration cases of a pattern that is judged
Probabilities = Mapping[str, np.ndarray]
Rows = Callable[[Scores, str], np.ndarray]


def came(scores: Scores, pattern: str) -> np.ndarray:
    return np.asarray(scores.patterns(scores.whole), dtype=object) == pattern


def has_all(scores: Scores, pattern: str) -> np.ndarray:
    return scores.present[:, columns(pattern, INPUTS)].all(axis=1)


def everyone(scores: Scores, pattern: str) -> np.ndarray:
    return np.ones(len(scores), bool)


RIVALS: dict[str, tuple[Rows, bool]] = {"pooled": (everyone, False), "masked": (has_all, True), "own": (came, True)}


def ours(scores: Scores, alpha: float) -> tuple[Calibrator, Conformal]:
    calibrator = Calibrator.fit(scores, sensitivity=0.9, bootstrap=1)
    return calibrator, Conformal.fit(scores, calibrated(calibrator, scores), alpha=alpha)


def calibrated(calibrator: Calibrator, scores: Scores) -> dict[str, np.ndarray]:
    return {name: calibrator.apply(logits, scores.patterns(name)) for name, logits in scores.logits.items()}


def rival(name: str, scores: Scores, alpha: float) -> tuple[Calibrator, Conformal]:
    """Lines and limits of each pattern from the cases that a plainer rule would take."""
    rows, by_label = RIVALS[name]
    calibrator, conformal = ours(scores, alpha)
    labels = scores.targets[:, 0] > 0.5
    target, limits = calibrator.targets["ill"], conformal.targets["ill"]
    for pattern in subsets(INPUTS):
        if not (chosen := rows(scores, pattern)).any():
            continue
        logits = scores.logits[scores.whole if name == "pooled" else pattern][:, 0]
        slope, offset = fit_lines(logits[chosen], labels[chosen], np.ones((1, int(chosen.sum()))))[0]
        fit = replace(target.pooled, slope=float(slope), offset=float(offset))
        target.patterns[pattern] = fit
        yes = fit.probability(logits)
        given = np.where(labels, yes, 1 - yes)
        parts = [labels == answer if by_label else chosen for answer in (False, True)]
        values = [max(0.0, lower_limit(given[c], np.ones(len(given[c])), alpha)) for c in (chosen & p for p in parts)]
        both = limits[pattern]
        limits[pattern] = Limits(replace(both.no, value=values[0]), replace(both.yes, value=values[1]))
    return calibrator, conformal


def judged(calibrator: Calibrator, conformal: Conformal, test: Scores, rows: Mapping[str, np.ndarray]) -> dict:
    """Coverage, of each answer too, size of the sets, and calibration error, per pattern."""
    found = {}
    for pattern, chosen in rows.items():
        labels, names = test.targets[chosen, 0] > 0.5, [pattern] * int(chosen.sum())
        yes = calibrator.apply(test.logits[pattern][chosen], names)
        sets = conformal.sets(yes, names)[:, 0]
        held = holds(sets, labels)
        found[pattern] = {
            "coverage": held.mean(), "no": held[~labels].mean(), "yes": held[labels].mean(),
            "size": sets.sum(axis=1).mean(), "empty": (~sets.any(axis=1)).mean(), "ece": ece(labels, yes[:, 0]),
        }  # fmt: skip
    return found


def measure(mechanism: str, cases: int, tests: int, seeds: int, alpha: float) -> dict:
    world = World(mechanism)
    test = world.draw(tests, seed=10_000)
    rows = {pattern: came(test, pattern) for pattern in subsets(INPUTS)}
    rows = {pattern: chosen for pattern, chosen in rows.items() if chosen.sum() >= 1000}
    runs: dict[str, list[dict]] = {name: [] for name in ("ours", *RIVALS)}
    own = {pattern: [] for pattern in rows}
    for seed in range(seeds):
        scores = world.draw(cases, seed)
        for pattern in rows:
            own[pattern].append(int(came(scores, pattern).sum()))
        enough = {pattern: chosen for pattern, chosen in rows.items() if own[pattern][-1] >= FEWEST}
        runs["ours"].append(judged(*ours(scores, alpha), test, enough))
        for name in RIVALS:
            runs[name].append(judged(*rival(name, scores, alpha), test, enough))
    return {
        "own": {pattern: float(np.mean(n)) for pattern, n in own.items()},
        "test": {pattern: int(chosen.sum()) for pattern, chosen in rows.items()},
        "ways": {name: summary(found, alpha) for name, found in runs.items()},
    }


def summary(runs: list[dict], alpha: float) -> dict:
    patterns = sorted({pattern for run in runs for pattern in run}, key=lambda p: (len(p), p))
    rows = {p: [run[p] for run in runs if p in run] for p in patterns}
    means = {p: {key: float(np.mean([row[key] for row in found])) for key in found[0]} for p, found in rows.items()}
    errors = np.array([row["coverage"] - (1 - alpha) for found in rows.values() for row in found])
    often = [p for p, found in rows.items() if len(found) * 2 >= len(runs)]
    return {
        "patterns": means,
        "worst": max(abs(means[p]["coverage"] - (1 - alpha)) for p in often),
        "worst_answer": max(abs(means[p][key] - (1 - alpha)) for p in often for key in ("no", "yes")),
        "spread": float(np.sqrt((errors**2).mean())),
        "within_2_points": float((np.abs(errors) <= 0.02).mean()),
        "size": float(np.mean([means[p]["size"] for p in often])),
        "ece": float(np.mean([means[p]["ece"] for p in often])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000, help="calibration cases, over all patterns")
    parser.add_argument("--tests", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--out", type=Path, default=None, help="also write the table as JSON")
    given = parser.parse_args()
    found = {}
    print(f"promised {100 * (1 - given.alpha):.0f} %; {given.cases} calibration cases, {given.seeds} seeds")
    print(f"{'':14}{'worst off':>10}{'of an answer':>14}{'spread':>8}{'within 2':>10}{'size':>7}{'ECE':>7}")
    for mechanism in MECHANISMS:
        found[mechanism] = measure(mechanism, given.cases, given.tests, given.seeds, given.alpha)
        for name, row in found[mechanism]["ways"].items():
            print(
                f"{mechanism:6}{name:8}{100 * row['worst']:10.1f}{100 * row['worst_answer']:14.1f}"
                f"{100 * row['spread']:8.1f}{100 * row['within_2_points']:9.0f}%{row['size']:7.2f}{row['ece']:7.3f}"
            )
        for pattern, n in found[mechanism]["own"].items():
            told = [w["patterns"].get(pattern) for w in found[mechanism]["ways"].values()]
            cells = "".join(f"{name:>8} {100 * row['coverage']:5.1f}" for name, row in zip(
                found[mechanism]["ways"], told, strict=True) if row)  # fmt: skip
            print(f"        {pattern:7}{n:5.0f} own{cells}")
    if given.out:
        given.out.write_text(json.dumps(vars(given) | {"out": None, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()

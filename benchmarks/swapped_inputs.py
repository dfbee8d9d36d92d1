"""How many inputs of another patient are found by their disagreement with the rest, at 2 % false alarms.

    python benchmarks/swapped_inputs.py --cases 2000 --out swapped_inputs.json

One input of each test case is exchanged for that of a patient with the opposite diagnosis. The judge knows calibration
cases only; its rivals are given their limit on the very test cases that were not swapped, which flatters them.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted_scores
from planted_scores import INPUTS, MECHANISMS, Patients, World
from scipy.special import logit

from clinimm.calibration import Calibrator
from clinimm.conflict import Disagreements
from clinimm.scores import Scores

STRENGTHS = {"weak": [1.6, 1.2, 0.9], "strong": [3.2, 2.4, 1.8]}
ALPHA = 0.02


def swapped(patients: Patients, rng: np.random.Generator) -> Patients:
    """One present input of each patient from a patient of the opposite diagnosis who has it."""
    shown = patients.shown.copy()
    chosen = np.array([rng.choice(np.flatnonzero(row)) for row in patients.present])
    for j in range(3):
        for ill in (False, True):
            rows = np.flatnonzero((patients.ill == ill) & (chosen == j))
            donors = np.flatnonzero((patients.ill != ill) & patients.present[:, j])
            shown[rows, j] = patients.shown[rng.choice(donors, len(rows)), j]
    return replace(patients, shown=shown)


def singles(calibrator: Calibrator, scores: Scores) -> dict[str, np.ndarray]:
    return {name: calibrator.apply(scores.logits[name], scores.patterns(name)) for name in INPUTS}


def chances(judge: Disagreements, said: dict[str, np.ndarray], present: np.ndarray) -> np.ndarray:
    """Chance of the disagreement of each case with two inputs or more."""
    found = []
    for i in np.flatnonzero(present.sum(axis=1) >= 2):
        one = judge.judge({name: said[name][i] for j, name in enumerate(INPUTS) if present[i, j]})
        found.append(1.0 if one is None else one.chance)
    return np.array(found)


def largest(distance: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """A rival: the largest distance over the pairs that a case has."""

    def judge(odds: np.ndarray, present: np.ndarray, known: np.ndarray) -> np.ndarray:
        rows = present.sum(axis=1) >= 2
        found = []
        for a, b in ((0, 1), (0, 2), (1, 2)):
            far = distance(odds[rows][:, [a, b]], known[:, [a, b]])
            found.append(np.where(present[rows, a] & present[rows, b], far, -np.inf))
        return np.max(found, axis=0)

    return judge


def plain(odds: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.abs(odds[:, 0] - odds[:, 1])


def standardized(odds: np.ndarray, known: np.ndarray) -> np.ndarray:
    z = (odds - known.mean(axis=0)) / known.std(axis=0)
    return np.abs(z[:, 0] - z[:, 1])


def mahalanobis(odds: np.ndarray, known: np.ndarray) -> np.ndarray:
    off = odds - known.mean(axis=0)
    return np.einsum("ni,ij,nj->n", off, np.linalg.inv(np.cov(known.T)), off)


RIVALS = {"difference": largest(plain), "standardized": largest(standardized), "mahalanobis": largest(mahalanobis)}


def measure(world: World, cases: int, tests: int) -> dict[str, float]:
    train, test = world.draw(cases, 0), world.patients(tests, 1)
    calibrator = Calibrator.fit(train, sensitivity=0.9, bootstrap=1)
    known = singles(calibrator, train)
    judge = Disagreements.fit(train, known)
    clean, dirty = world.score(test), world.score(swapped(test, np.random.default_rng(2)))
    said = [singles(calibrator, scores) for scores in (clean, dirty)]
    alarm = [float((chances(judge, one, test.present) <= ALPHA).mean()) for one in said]
    row = {"false": alarm[0], "found": alarm[1]}
    odds = [
        logit(np.concatenate([one[name] for name in INPUTS], axis=1).clip(1e-9, 1 - 1e-9)) for one in (*said, known)
    ]
    whole = odds[2][train.present.all(axis=1)]
    for name, rival in RIVALS.items():
        limit = np.quantile(rival(odds[0], test.present, whole), 1 - ALPHA)
        row[name] = float((rival(odds[1], test.present, whole) > limit).mean())
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--tests", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=None, help="also write the table as JSON")
    given = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    print(f"{'':16}" + "".join(f"{name:>14}" for name in ("false alarms", "found", *RIVALS)))
    for strength, signal in STRENGTHS.items():
        planted_scores.SIGNAL = np.array(signal)
        for mechanism in MECHANISMS:
            row = found[f"{strength} {mechanism}"] = measure(World(mechanism, rate=0.3), given.cases, given.tests)
            print(f"{strength:8}{mechanism:8}" + "".join(f"{100 * value:13.1f}%" for value in row.values()))
    if given.out:
        given.out.write_text(json.dumps({"cases": given.cases, "alpha": ALPHA, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What every artifact must hold by itself before it may answer, and here: its calibration, and its coverage.

A limit is broken only where the cases can tell: of artifacts that are sound one in twenty breaks it by chance somewhere
among the cells of a target, however many these are. A test set that cannot tell at all breaks it too.

n cases, r resamples, j cells."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clinimm import metrics
from clinimm.bootstrap import resampled
from clinimm.errors import ConfigError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.paired import EVERYONE, FEWEST_OF_CLASS, Groups, max_t_width

LEVEL = 0.95
FEWEST_CASES = 2 * FEWEST_OF_CLASS


@dataclass(frozen=True)
class Limits:
    """`no_worse`: how much AUROC with all inputs may be lost on everyone, the interval's lower end counted.
    `calibration_error`: the ECE of a cell. `coverage`: how far below its promise the share of right sets may lie.
    `false_blocks`: the share of usable test inputs that the guard may turn away. `caught`: the least share of wrong
    pictures, of each kind, that it must block or flag. `explained`: how many patients are explained, one case of each;
    `incomplete` the share of these whose maps may fail to add up, and `resemblance` the cosine that their maps may have
    with those of a net whose weights were shuffled; `by_chance` the p from which deletion is no better than in random
    orders, and `less_faithful` the share of a measure of the current artifact's explanations that may be lost."""

    no_worse: float = 0.05
    calibration_error: float = 0.05
    coverage: float = 0.02
    false_blocks: float = 0.02
    caught: float = 0.95
    explained: int = 24
    incomplete: float = 0.0
    resemblance: float = 0.8
    by_chance: float = 0.01
    less_faithful: float = 0.10

    def but(self, settings: Sequence[str]) -> "Limits":
        """These with some of them changed, each as `name=value`. Raises ConfigError."""
        changed: dict[str, Any] = {}
        kinds = {name: type(value) for name, value in asdict(self).items()}
        for setting in settings:
            name, _, value = setting.partition("=")
            try:
                changed[name] = kinds[name](value)
            except (KeyError, ValueError) as error:
                known = ", ".join(f"{key}={default}" for key, default in asdict(self).items())
                raise ConfigError(f"{setting!r} is not a limit", where="--limit", mend=f"one of {known}") from error
        return replace(self, **changed)


@dataclass(frozen=True)
class Finding:
    """A rule, whether it holds (None: it could not be asked), and in a sentence why."""

    rule: str
    holds: bool | None
    told: str

    def record(self) -> dict[str, Any]:
        return asdict(self)


def calibration_holds(answers: Answers, groups: Groups, limit: float, *, resamples: int, seed: int) -> list[Finding]:
    """Whether the ECE of every cell is within the limit, or within what a perfectly calibrated model would show there.

    What it would show: labels drawn by its own probabilities, the same draw for all cases of a patient, and one band
    over all cells. Source: Bröcker & Smith 2007 (consistency resampling), for ECE as Vaicenavicius et al. 2019 test
    it."""
    rng = np.random.default_rng(seed)
    patient = np.unique(np.asarray(answers.scores.patient_ids), return_inverse=True)[1]
    luck = rng.random((resamples, int(patient.max()) + 1))[:, patient]
    found: list[Finding] = []
    for j, target in enumerate(answers.scores.target_names):
        cells = _cells(answers, target, groups)
        if not cells:
            found.append(Finding("calibration", False, f"{target}: too few cases of a class to judge it by"))
            continue
        errors, draws = zip(
            *(
                _errors(answers.labels(target)[rows], answers.probabilities[subset][rows, j], luck[:, rows])
                for (subset, _), rows in cells.items()
            ),
            strict=True,
        )
        found.append(_calibration(target, list(cells), np.array(errors), np.stack(draws, axis=1), limit))
    return found


def coverage_holds(
    answers: Answers, groups: Groups, promised: float, tolerance: float, *, resamples: int, seed: int
) -> list[Finding]:
    """Whether in no cell the share of sets that hold the truth lies surely below `promised - tolerance`."""
    if not answers.covered:
        return [Finding("coverage", False, "the artifact gives no conformal sets")]
    found = []
    for j, target in enumerate(answers.scores.target_names):
        cells = _cells(answers, target, groups, both_classes=False)
        if not cells:
            found.append(Finding("coverage", False, f"{target}: too few cases to judge it by"))
            continue
        columns = [(rows, answers.covered[subset][rows, j]) for (subset, _), rows in cells.items()]
        shares, draws = resampled(
            lambda weights, columns=columns: np.stack(  # type: ignore[misc]
                [_share(covered, weights[:, rows]) for rows, covered in columns], axis=1
            ),
            answers.scores.patient_ids, resamples=resamples, seed=seed,
        )  # fmt: skip
        found.append(_coverage(target, list(cells), shares, max_t_width(draws, LEVEL), promised, tolerance))
    return found


def _calibration(
    target: str, cells: list[tuple[str, str]], errors: np.ndarray, draws: Float[np.ndarray, "r j"], limit: float
) -> Finding:
    most = draws.mean(axis=0) + max_t_width(-draws, LEVEL)
    broken = np.flatnonzero((errors > limit) & (errors > most))
    if not len(broken):
        worst = int(np.argmax(errors - np.maximum(limit, most)))
        told = f"{target}: {len(cells)} cells hold; the nearest to breaking is {_cell(cells[worst])}, "
        return Finding("calibration", True, told + _error(errors[worst], most[worst], limit))
    worst = int(broken[np.argmax((errors - most)[broken])])
    told = f"{target}: {len(broken)} of {len(cells)} cells break it, worst {_cell(cells[worst])}, "
    return Finding("calibration", False, told + _error(errors[worst], most[worst], limit))


def _error(error: float, most: float, limit: float) -> str:
    return f"ECE {error:.3f} (limit {limit:.3f}; a calibrated model shows up to {most:.3f} there)"


def _coverage(
    target: str, cells: list[tuple[str, str]], shares: np.ndarray, half: np.ndarray, promised: float, tolerance: float
) -> Finding:
    least = promised - tolerance
    best = shares + half
    worst = int(np.argmin(best))
    broken = int((best < least).sum())
    told = f"{_cell(cells[worst])} has {shares[worst]:.3f}, at best {best[worst]:.3f}, where {least:.3f} is asked"
    if broken:
        return Finding("coverage", False, f"{target}: {broken} of {len(cells)} cells fall short, worst {told}")
    return Finding("coverage", True, f"{target}: {len(cells)} cells hold; the lowest, {told}")


def _cells(
    answers: Answers, target: str, groups: Groups, *, both_classes: bool = True
) -> dict[tuple[str, str], Bool[np.ndarray, " n"]]:
    """Rows of each subset and group that has enough cases, and enough of each class."""
    everyone = {EVERYONE: np.ones(len(answers.scores), dtype=bool), **groups}
    found = {}
    for subset in answers.probabilities:
        for group, inside in everyone.items():
            rows = inside & answers.scores.known(target) & answers.scores.answered(subset)
            yes = int(answers.labels(target)[rows].sum())
            of_class = min(yes, int(rows.sum()) - yes) >= FEWEST_OF_CLASS
            if rows.sum() >= FEWEST_CASES and (of_class or not both_classes):
                found[subset, group] = rows
    return found


def _errors(
    labels: Bool[np.ndarray, " n"], p: Float[np.ndarray, " n"], luck: Float[np.ndarray, "r n"]
) -> tuple[float, Float[np.ndarray, " r"]]:
    """The ECE, and the ECEs were the probabilities true and the luck another."""
    parts = bin_parts(p)
    return metrics.ece(labels, p), np.abs(((luck < p) - p) @ parts).sum(axis=1) / len(p)


def bin_parts(p: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """How much of each case is in each of the bins of `metrics.ece`: bins hold equal numbers of cases, a case on a
    border is in both, and cases of equal probability are spread alike."""
    edges = np.linspace(0, len(p), metrics.BINS + 1)
    level, counts = np.unique(p, return_inverse=True, return_counts=True)[1:]
    ends = np.cumsum(counts)
    overlap = np.minimum(ends[:, None], edges[1:]) - np.maximum((ends - counts)[:, None], edges[:-1])
    return np.asarray((np.clip(overlap, 0, None) / counts[:, None])[level])


def _share(covered: Bool[np.ndarray, " n"], weights: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " r"]:
    total = weights.sum(axis=1)
    return np.divide(weights @ covered, total, out=np.full(len(weights), np.nan), where=total > 0)


def _cell(cell: tuple[str, str]) -> str:
    subset, group = cell
    return f"{subset} among {group}"


def all_hold(findings: Sequence[Finding]) -> bool:
    """Whether no rule is broken; one that could not be asked breaks nothing, and is told."""
    return all(finding.holds is not False for finding in findings)


def grouped(groupings: Mapping[str, Mapping[str, Bool[np.ndarray, " n"]]]) -> dict[str, Bool[np.ndarray, " n"]]:
    """Groups by one name each, such as sex=F."""
    return {f"{attribute}={label}": rows for attribute, of in groupings.items() for label, rows in of.items()}

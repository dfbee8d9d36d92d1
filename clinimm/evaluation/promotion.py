"""Whether a trained artifact may take the place of the one that answers: judged together, on patients new to both.

It is let in if, with all inputs and for everyone, it is surely not much worse; if it falls in no cell of subset of
inputs x subgroup x metric (`paired`: one band for all cells); and if it holds every limit by itself (`limits`,
`openings`, `faithful`). Both are asked as patients would ask them, with what their guards block hidden.

Cells are asked whether a fall is sure, not whether there surely is none: with few patients in a subgroup nobody could
ever show the latter. So a small test set lets small falls through, and the verdict says how small."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from clinimm import metrics
from clinimm.bootstrap import paired_bootstrap_difference
from clinimm.data.cohort import read_cohort
from clinimm.errors import ClinimmError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.faithful import explanations_hold
from clinimm.evaluation.hear import ask, read
from clinimm.evaluation.judge import unseen
from clinimm.evaluation.limits import (
    Finding,
    Limits,
    all_hold,
    calibration_holds,
    coverage_holds,
    grouped,
)
from clinimm.evaluation.openings import false_blocks_hold, right_kind, wrong_pictures_hold
from clinimm.evaluation.paired import Cell, paired_cells, same_cases
from clinimm.evaluation.subgroups import groupings
from clinimm.guard.gate import admit
from clinimm.inference import Predictor
from clinimm.scores import members, subset_name
from clinimm.types import Case


@dataclass(frozen=True)
class Promotion:
    """What was found. `cells` is empty where nothing answered before; `current` and `candidate` are digests."""

    candidate: str
    current: str | None
    cases: int
    patients: int
    left_out: int
    cells: tuple[Cell, ...]
    findings: tuple[Finding, ...]
    limits: Limits
    resamples: int
    seed: int

    @property
    def fallen(self) -> tuple[Cell, ...]:
        """The cells in which the candidate is surely worse, the worst first."""
        return tuple(sorted((c for c in self.cells if c.word == "falls"), key=lambda c: -c.worse_by))

    @property
    def promoted(self) -> bool:
        return not self.fallen and all_hold(self.findings)

    @property
    def sentence(self) -> str:
        """The verdict, and why."""
        if not self.promoted:
            reasons = [f"{f.rule}: {f.told}" for f in self.findings if f.holds is False]
            if self.fallen:
                worst = self.fallen[0]
                reasons.insert(0, f"falls in {len(self.fallen)} cells, worst in {named(worst)} by {worst.worse_by:.3f}")
            return f"REFUSED. {'; '.join(reasons)}."
        return f"PROMOTED. {self._sight()}"

    def _sight(self) -> str:
        """How much the cells could show."""
        judged = [cell for cell in self.cells if cell.word == "holds"]
        if not self.cells:
            return "Nothing answered before it: only the absolute limits were asked."
        if not judged:
            return "No cell has enough cases of both classes to be judged."
        widths = [(c.high or 0) - (c.difference or 0) for c in judged if c.metric == "auroc"]
        few = sum(cell.word == "too few" for cell in self.cells)
        return (
            f"None of {len(judged)} cells falls ({few} have too few cases); a fall in AUROC would have shown in half of"
            f" them from {np.median(widths):.3f} on, in all from {max(widths):.3f}."
        )

    def record(self) -> dict[str, Any]:
        """All of it as plain JSON types, no patient named."""
        return {
            "verdict": "promoted" if self.promoted else "refused",
            "sentence": self.sentence,
            "candidate": self.candidate,
            "current": self.current,
            "cases": self.cases,
            "patients": self.patients,
            "left_out": self.left_out,
            "limits": asdict(self.limits),
            "findings": [finding.record() for finding in self.findings],
            "cells": [cell.record() for cell in self.cells],
            "bootstrap": self.resamples,
            "seed": self.seed,
        }


def named(cell: Cell) -> str:
    """The cell in words: auroc of lesion with cxr+note among sex=F."""
    return f"{cell.metric} of {cell.target} with {cell.subset} among {cell.group}"


def judge_promotion(
    candidate: Path,
    current: Path | None,
    manifest: Path,
    data: Path,
    *,
    limits: Limits | None = None,
    resamples: int | None = None,
    backbone: Path | None = None,
    console: Console | None = None,
) -> Promotion:
    """Both artifacts on the cases of the manifest whose patients neither has seen; the candidate alone where nothing is
    current. Raises ClinimmError if there is no such case, or if the candidate cannot answer what the current one can.
    """
    limits = limits or Limits()
    predictor = Predictor.load(candidate, backbone=backbone)
    cases = read_cohort(predictor.config, data, manifest)
    new = unseen(candidate, cases)
    if current is not None:
        new = unseen(current, new)
    if not new:
        raise ClinimmError("no patient of the manifest is new to both artifacts", mend="give a test set of others")
    seed, count = predictor.config.run.seed, resamples or predictor.config.evaluation.bootstrap
    given = read(predictor, new, "for the candidate", console)
    batch = admit(predictor.guards, given)[0]
    answers = ask(predictor, new, batch)
    groups = grouped(groupings(answers.attributes))
    cells: tuple[Cell, ...] = ()
    findings: list[Finding] = []
    digest = None
    if current is not None:
        other = Predictor.load(current, backbone=backbone)
        same = _same(read_cohort(other.config, data, manifest), new)
        before = ask(other, same, admit(other.guards, read(other, same, "for the current one", console))[0])
        digest, answers_alike = other.digest, aligned(answers, before)
        promised = other.config.evaluation.sensitivity
        cells = paired_cells(answers_alike, before, groups, promised=promised, resamples=count, seed=seed)
        findings += no_worse(answers_alike, before, limits.no_worse, resamples=count, seed=seed)
    findings += calibration_holds(answers, groups, limits.calibration_error, resamples=count, seed=seed)
    promise = 1 - predictor.config.decision.alpha
    findings += coverage_holds(answers, groups, promise, limits.coverage, resamples=count, seed=seed)
    right = right_kind(predictor.config, new)
    findings += false_blocks_hold(given, batch, predictor.guards, right, limits.false_blocks)
    findings += wrong_pictures_hold(predictor.guards, given, predictor.config, right, limits.caught, seed=seed)
    findings += explanations_hold(
        predictor.network, batch, predictor.config.target_names,
        cases=limits.explained, incomplete=limits.incomplete, resemblance=limits.resemblance, seed=seed,
    )  # fmt: skip
    return Promotion(
        predictor.digest, digest, len(new), len({case.patient_id for case in new}), len(cases) - len(new),
        cells, tuple(findings), limits, count, seed,
    )  # fmt: skip


def aligned(candidate: Answers, current: Answers) -> Answers:
    """The candidate's answers by the subsets that the current model knows: what it has besides is used only where each
    case is taken as it came. Raises ClinimmError if it lacks an input, a target or a case of the current one's."""
    mine, theirs = candidate.scores, current.scores
    if lacking := [name for name in theirs.modalities if name not in mine.modalities]:
        raise ClinimmError(f"the candidate does not take {', '.join(lacking)}, which the current artifact does")
    same_cases(candidate, current)
    names = {subset: subset_name([m for m in mine.modalities if m in members(subset)]) for subset in theirs.logits}
    names[theirs.whole] = mine.whole
    return Answers(
        scores=theirs,
        probabilities={subset: candidate.probabilities[name] for subset, name in names.items()},
        flagged={subset: candidate.flagged[name] for subset, name in names.items()},
        attributes=candidate.attributes,
    )


def no_worse(candidate: Answers, current: Answers, limit: float, *, resamples: int, seed: int) -> list[Finding]:
    """Whether the 95 % interval of the difference in AUROC, all inputs and everyone, ends above `-limit`."""
    scores, found = current.scores, []
    for j, target in enumerate(scores.target_names):
        rows = scores.known(target) & scores.answered(scores.whole)
        labels = current.labels(target)[rows]
        after, before = (
            partial(metrics.weighted_auroc, labels, answers.probabilities[scores.whole][rows, j])
            for answers in (candidate, current)
        )
        ids = [scores.patient_ids[i] for i in np.flatnonzero(rows)]
        gap = paired_bootstrap_difference(after, before, ids, resamples=resamples, seed=seed)
        if gap.value is None or gap.low is None or gap.high is None:
            found.append(Finding("no worse", False, f"{target}: too few patients to compare the two on"))
            continue
        told = f"{target}: AUROC {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] with all inputs for everyone"
        found.append(Finding("no worse", gap.low >= -limit, f"{told} (may lose {limit:.3f})"))
    return found


def _same(cases: Sequence[Case], chosen: Sequence[Case]) -> list[Case]:
    by_id = {case.case_id: case for case in cases}
    return [by_id[case.case_id] for case in chosen]

"""Whether a trained artifact may take the place of the one that answers: judged together, on patients new to both.

It is let in if, with all inputs and for everyone, it is surely not much worse; if it falls in no cell of subset of
inputs x subgroup x metric (`paired`: one band for all cells); and if it holds every limit by itself (`limits`,
`openings`, `faithfulness_rules`). Both are asked as patients would ask them, with what their guards block hidden.

Cells are asked whether a fall is sure, not whether there surely is none: with few patients in a subgroup nobody could
ever show the latter. So a small test set lets small falls through, and the verdict says how small."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from clinimm import metrics
from clinimm.attribution.checked import Care
from clinimm.batch import Batch
from clinimm.bootstrap import paired_bootstrap_difference
from clinimm.data.cohort import read_cohort
from clinimm.errors import ClinimmError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.faithfulness import Faithfulness, Measured, sample
from clinimm.evaluation.faithfulness_rules import explanations_hold, explanations_no_worse
from clinimm.evaluation.hear import ask, explained, read
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
from clinimm.inference import Predictor, care_of
from clinimm.scores import members, subset_name
from clinimm.types import Case


@dataclass(frozen=True)
class Promotion:
    """What was found. `cells` is empty where nothing answered before; `current` and `candidate` are digests.
    `explanations` says what those of each are worth."""

    candidate: str
    current: str | None
    cases: int
    patients: int
    left_out: int
    cells: tuple[Cell, ...]
    findings: tuple[Finding, ...]
    explanations: Mapping[str, Faithfulness]
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
        unasked = [f"{f.rule}: {f.told}" for f in self.findings if f.holds is None]
        return f"PROMOTED. {self._sight()}" + (f" Not asked: {'; '.join(unasked)}." if unasked else "")

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
            "explanations": {which: one.record() for which, one in self.explanations.items()},
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
    ours = _asked(predictor, new, "the candidate", console)
    theirs = None if current is None else _before(current, manifest, data, new, backbone, console)
    groups = grouped(groupings(ours.answers.attributes))
    cells: tuple[Cell, ...] = ()
    findings: list[Finding] = []
    if theirs is not None:
        alike, before, promised = (
            aligned(ours.answers, theirs.answers),
            theirs.answers,
            theirs.predictor.config.evaluation.sensitivity,
        )
        cells = paired_cells(alike, before, groups, promised=promised, resamples=count, seed=seed)
        findings += no_worse(alike, before, limits.no_worse, resamples=count, seed=seed)
    findings += calibration_holds(ours.answers, groups, limits.calibration_error, resamples=count, seed=seed)
    promise = 1 - predictor.config.decision.alpha
    findings += coverage_holds(ours.answers, groups, promise, limits.coverage, resamples=count, seed=seed)
    right = right_kind(predictor.config, new)
    findings += false_blocks_hold(ours.given, ours.batch, predictor.guards, right, limits.false_blocks)
    findings += wrong_pictures_hold(predictor.guards, ours.given, predictor.config, right, limits.caught, seed=seed)
    explanations, told = _explanations(ours, theirs, limits, count, seed, console)
    return Promotion(
        predictor.digest, None if theirs is None else theirs.predictor.digest,
        len(new), len({case.patient_id for case in new}), len(cases) - len(new),
        cells, (*findings, *told), explanations, limits, count, seed,
    )  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """One artifact and what it says. `given` is what came, `batch` what its guards let through."""

    predictor: Predictor
    given: Batch
    batch: Batch
    answers: Answers
    label: str

    def explained(self, rows: Sequence[int], care: Care, seed: int, console: Console | None) -> Measured:
        ids = self.answers.scores.patient_ids
        return explained(self.predictor, self.batch, ids, rows, care, self.label, seed, console)


def _asked(predictor: Predictor, cases: Sequence[Case], label: str, console: Console | None) -> _Asked:
    given = read(predictor, cases, f"for {label}", console)
    batch = admit(predictor.guards, given)[0]
    return _Asked(predictor, given, batch, ask(predictor, cases, batch), label)


def _before(
    current: Path, manifest: Path, data: Path, chosen: Sequence[Case], backbone: Path | None, console: Console | None
) -> _Asked:
    """The artifact that answers now, asked about the same cases."""
    predictor = Predictor.load(current, backbone=backbone)
    by_id = {case.case_id: case for case in read_cohort(predictor.config, data, manifest)}
    return _asked(predictor, [by_id[case.case_id] for case in chosen], "the current one", console)


def _explanations(
    ours: _Asked, theirs: _Asked | None, limits: Limits, resamples: int, seed: int, console: Console | None
) -> tuple[dict[str, Faithfulness], list[Finding]]:
    """What the explanations of each are worth, and whether the candidate's hold. Both are measured on the same cases,
    and judged by the limits in the config of the one that answers now: a candidate cannot make its own easier."""
    ids = ours.answers.scores.patient_ids
    rows = sample(ours.batch.present.numpy(), ids, limits.explained, seed=seed)
    standard = care_of((theirs or ours).predictor.config.explain)
    own = care_of(ours.predictor.config.explain)
    care = replace(own, tolerance=standard.tolerance, orders=standard.orders, limits=standard.limits)
    found = {"candidate": ours.explained(rows, care, seed, console)}
    if theirs is not None:
        found["current"] = theirs.explained(rows, standard, seed, console)
    worth = {which: one.faithfulness(resamples=resamples, seed=seed) for which, one in found.items()}
    findings = explanations_hold(worth["candidate"], ours.answers.scores.modalities, limits)
    if theirs is not None:
        findings += explanations_no_worse(
            found["candidate"], found["current"], limits.less_faithful, resamples=resamples, seed=seed
        )
    return worth, findings


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

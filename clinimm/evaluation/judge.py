"""Trained artifacts judged on a cohort, and only on patients that they have never seen."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import clinimm
from clinimm.artifact import held_out_patients, seen_patients
from clinimm.errors import ClinimmError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.corruption import Corrupted
from clinimm.evaluation.external import committee_of_folds, external
from clinimm.evaluation.faithfulness import Measured
from clinimm.evaluation.hear import Heard, ask, hear, read
from clinimm.evaluation.judgement import Judgement, conclude
from clinimm.evaluation.opponents import Opinions
from clinimm.evaluation.probes.ask import Probed
from clinimm.evaluation.probes.findings import findings
from clinimm.evaluation.probes.shortcuts import picture_sizes
from clinimm.inference import Predictor
from clinimm.pseudonyms import hashed
from clinimm.types import Case

__all__ = ["artifacts_in", "ask", "judge", "read", "unseen", "unseen_parts"]


def artifacts_in(directory: Path) -> list[Path]:
    """The artifact that `directory` is or holds, or those of all folds of a run. Raises ClinimmError if there is
    none."""
    for pattern in ("manifest.json", "artifact/manifest.json", "fold-*/artifact/manifest.json"):
        found = sorted(path.parent for path in directory.glob(pattern))
        if found:
            return found
    raise ClinimmError("holds no artifact", where=str(directory), mend="give what clinimm train wrote")


def judge(
    directories: Sequence[Path],
    cases: Sequence[Case],
    *,
    bootstrap: int,
    seed: int = 0,
    opponents: bool = False,
    whole: bool = False,
    backbone: Path | None = None,
    console: Console | None = None,
) -> Judgement:
    """The evaluation of one artifact, or of the folds of one run, each on the patients it has not seen. Where none of
    them has seen any patient, the folds answer together for all: a cohort from elsewhere, set beside what the artifacts
    said of their own test patients.

    Opponents are trained on the seen cases and asked about the same unseen ones. `whole` asks for all that a page
    holds: subgroups, contributions, robustness, curves, spoilt inputs, faithfulness and, with opponents, probes of
    shortcuts. Raises ClinimmError if there is no unseen case, one that two folds would answer, or nothing to train
    opponents on."""
    parts = [unseen(directory, cases) for directory in directories]
    elsewhere = all(len(part) == len(cases) for part in parts)
    _check(parts[:1] if elsewhere else parts)
    if opponents and elsewhere:
        raise ClinimmError(
            "no case of this manifest was trained on, so there is nothing to train opponents on",
            where="--opponents", mend="leave it out, or give the manifest that the model was trained on",
        )  # fmt: skip
    predictors = [Predictor.load(directory, backbone=backbone) for directory in directories]
    sizes = picture_sizes(predictors[0].preparer, cases) if opponents and whole else None
    heard = [
        hear(
            predictor, part, _others(cases, part), directory.parent.name,
            held_out=held_out_patients(directory), opponents=opponents, sizes=sizes, whole=whole,
            seed=seed, console=console,
        )
        for predictor, directory, part in zip(predictors, directories, parts, strict=True)
    ]  # fmt: skip
    return _concluded(
        heard,
        [_metrics(directory) for directory in directories] if elsewhere else None,
        whole=whole, left_out=0 if elsewhere else len(cases) - sum(len(part) for part in parts),
        bootstrap=bootstrap, seed=seed,
    )  # fmt: skip


def _concluded(
    heard: Sequence[Heard],
    records: Sequence[dict[str, Any]] | None,
    *,
    whole: bool,
    left_out: int,
    bootstrap: int,
    seed: int,
) -> Judgement:
    """With `records`, the artifacts' own metrics, all of them have answered for the same cases from elsewhere."""
    each = [one.answers for one in heard]
    answers = Answers.concat(each) if records is None else committee_of_folds(each, [one.thresholds for one in heard])
    opinions = [one.opinions for one in heard if one.opinions is not None]
    of_each = heard if records is None else heard[:1]  # what is asked of one model of all that saw the same cases
    measured = [one.measured for one in of_each if one.measured is not None]
    probed = [one.probed for one in heard if one.probed is not None]
    return conclude(
        answers,
        Opinions.concat(opinions) if opinions else None,
        _joined([one.corrupted for one in of_each]),
        findings(Probed.concat(probed), bootstrap=bootstrap, seed=seed) if probed else (),
        () if records is None else external(answers, records, bootstrap=bootstrap, seed=seed),
        Measured.concat(measured) if measured else None,
        whole=whole, left_out=left_out, bootstrap=bootstrap, seed=seed,
        about={"name": heard[0].name, "artifacts": [one.digest for one in heard], "clinimm": clinimm.__version__},
    )  # fmt: skip


def unseen_parts(directories: Sequence[Path], cases: Sequence[Case]) -> list[list[Case]]:
    """The cases that each artifact has not seen. Raises ClinimmError if there is none, or one that two would answer."""
    parts = [unseen(directory, cases) for directory in directories]
    _check(parts)
    return parts


def unseen(directory: Path, cases: Sequence[Case]) -> list[Case]:
    """The cases of patients that an artifact was neither trained nor calibrated on."""
    seen = seen_patients(directory)
    return [case for case in cases if hashed(case.patient_id) not in seen]


def _others(cases: Sequence[Case], part: Sequence[Case]) -> list[Case]:
    chosen = {case.case_id for case in part}
    return [case for case in cases if case.case_id not in chosen]


def _check(parts: Sequence[Sequence[Case]]) -> None:
    ids = [case.case_id for part in parts for case in part]
    if not ids:
        raise ClinimmError("every patient of the manifest was trained or calibrated on", mend="give other patients")
    if len(set(ids)) < len(ids):
        raise ClinimmError("some cases are new to more than one fold", mend="give the artifact of one fold")


def _metrics(directory: Path) -> dict[str, Any]:
    """What an artifact said of its own test cases; it was hashed with the rest, and checked when it was loaded."""
    found: dict[str, Any] = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    return found


def _joined(parts: Sequence[tuple[Corrupted, ...]]) -> tuple[Corrupted, ...]:
    """Each corruption over the folds that had cases for it."""
    found: dict[tuple[str, str], list[Corrupted]] = {}
    for one in (one for part in parts for one in part):
        found.setdefault((one.modality, one.how), []).append(one)
    return tuple(Corrupted.concat(same) for same in found.values())

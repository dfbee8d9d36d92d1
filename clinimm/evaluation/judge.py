"""Trained artifacts judged on a cohort, and only on patients that they have never seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from clinimm.artifact import seen_patients
from clinimm.data.prepare import prepare_all
from clinimm.errors import ClinimmError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.compare import Comparison, compare
from clinimm.evaluation.evaluate import Evaluation, evaluate
from clinimm.evaluation.opponents import Opinions, opponents_to_train, train_opponents
from clinimm.evaluation.plain import plain_cases
from clinimm.inference import Predictor, score_subsets
from clinimm.progress import progress_bar
from clinimm.pseudonyms import hashed
from clinimm.types import Case


@dataclass(frozen=True)
class Judgement:
    """`left_out` counts the cases of patients that a model had seen; `comparisons` is empty without opponents."""

    evaluation: Evaluation
    comparisons: tuple[Comparison, ...]
    left_out: int


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
    backbone: Path | None = None,
    console: Console | None = None,
) -> Judgement:
    """The evaluation of one artifact, or of the folds of one run, each on the patients it has not seen.

    Opponents are trained on the seen cases and asked about the same unseen ones. Raises ClinimmError if there is no
    unseen case, or one that two folds would answer."""
    parts = unseen_parts(directories, cases)
    answers, opinions = [], []
    for directory, part in zip(directories, parts, strict=True):
        predictor = Predictor.load(directory, backbone=backbone)
        answers.append(ask(predictor, part, directory.parent.name, console))
        if opponents:
            chosen = {case.case_id for case in part}
            seen = [case for case in cases if case.case_id not in chosen]
            opinions.append(_opinions(predictor, seen, part, seed, directory.parent.name, console))
    pooled = Answers.concat(answers)
    return Judgement(
        evaluation=evaluate(pooled, bootstrap=bootstrap, seed=seed),
        comparisons=compare(pooled, Opinions.concat(opinions), bootstrap=bootstrap, seed=seed) if opponents else (),
        left_out=len(cases) - sum(len(part) for part in parts),
    )


def unseen_parts(directories: Sequence[Path], cases: Sequence[Case]) -> list[list[Case]]:
    """The cases that each artifact has not seen. Raises ClinimmError if there is none, or one that two would answer."""
    parts = [unseen(directory, cases) for directory in directories]
    _check(parts)
    return parts


def unseen(directory: Path, cases: Sequence[Case]) -> list[Case]:
    """The cases of patients that an artifact was neither trained nor calibrated on."""
    seen = seen_patients(directory)
    return [case for case in cases if hashed(case.patient_id) not in seen]


def _check(parts: Sequence[Sequence[Case]]) -> None:
    ids = [case.case_id for part in parts for case in part]
    if not ids:
        raise ClinimmError("every patient of the manifest was trained or calibrated on", mend="give other patients")
    if len(set(ids)) < len(ids):
        raise ClinimmError("some cases are new to more than one fold", mend="give the artifact of one fold")


def ask(predictor: Predictor, cases: Sequence[Case], label: str, console: Console | None = None) -> Answers:
    """What a model says of cases, for every subset of their inputs."""
    with progress_bar(console) as bar:
        task = bar.add_task(f"read {label}", total=len(cases), note="")
        batch = prepare_all(predictor.preparer, cases, on_done=lambda _: bar.advance(task))
    ids = [case.patient_id for case in cases]
    return Answers.of(score_subsets(predictor.network, batch, ids, predictor.config.target_names), predictor.calibrator)


def _opinions(
    predictor: Predictor, seen: Sequence[Case], unseen: Sequence[Case], seed: int, label: str, console: Console | None
) -> Opinions:
    train, test = (
        plain_cases(part, prepare_all(predictor.preparer, part), predictor.modalities) for part in (seen, unseen)
    )
    with progress_bar(console) as bar:
        task = bar.add_task(f"opponents of {label}", total=opponents_to_train(train), note="")

        def started(name: str) -> None:
            bar.update(task, advance=1, note=name)

        return train_opponents(
            train, test, sensitivity=predictor.config.evaluation.sensitivity, seed=seed, progress=started
        )

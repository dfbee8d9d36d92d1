"""One training run per fold of a cohort, each judged on the fold it never saw."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from clinimm.config import Config
from clinimm.data.split import Splits, folds, split_by_patient
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.evaluate import Evaluation, evaluate
from clinimm.training.run import Trained, train
from clinimm.types import Case

DEFAULT_FOLDS = 5


def split(config: Config, cases: Sequence[Case]) -> Splits:
    """Train, validation and test as the config says, by patient."""
    section = config.data.split
    return split_by_patient(
        cases, val=section.val, test=section.test, seed=section.seed, column=config.data.split_column
    )


def train_folds(config: Config, cases: Sequence[Case], out: Path, *, console: Console | None = None) -> Evaluation:
    """Artifacts in `out/fold-0` ... and the evaluation of all test folds pooled. The folds are the config's column, or
    five seeded ones."""
    return pooled(config, train_each(config, cases, out, console=console))


def pooled(config: Config, runs: Sequence[Trained]) -> Evaluation:
    """The evaluation of all test folds together."""
    answers = Answers.concat([run.answers for run in runs])
    return evaluate(answers, bootstrap=config.evaluation.bootstrap, seed=config.run.seed)


def train_each(config: Config, cases: Sequence[Case], out: Path, *, console: Console | None = None) -> list[Trained]:
    """The run of every fold."""
    section, column = config.data.split, config.data.fold_column
    number = None if column else DEFAULT_FOLDS
    splits = folds(cases, val=section.val, seed=section.seed, column=column, n=number)
    return [
        train(
            config, fold, out / f"fold-{i}",
            console=console, label=f"fold {i + 1} of {len(splits)}", features=out / "features",
        )
        for i, fold in enumerate(splits)
    ]  # fmt: skip

"""Which input next? Judged by hiding inputs that exist: what the model expected of each, against what it then did.

    python benchmarks/next_input.py                                     (a planted cohort)
    python benchmarks/next_input.py --data DIR [--config configs/appendicitis.toml] [--run DIR] [--json FILE]

Each test case is shown with every proper part of its inputs; each hidden one is then really given back. The run of
`clinimm train --folds` in --run is judged, on the patients that each of its folds has not seen; where there is none it
is trained first. Opponents are chance, and a fixed order: the input that, given the same others, changed the answer
most on average among the patients of the other folds, as told by the model that had not seen them. In the planted
cohort the first panel says which of the other two the answer hangs on, so that no fixed order beats chance once it is
shown. Intervals: 95 %, by drawing patients."""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import numpy as np
import torch
from gate_cohorts import panels, write_panels
from next_input_figures import Asked, judge, table
from rich.console import Console

from clinimm.batch import Batch
from clinimm.config import Config, load
from clinimm.data.cohort import read_cohort
from clinimm.data.prepare import prepare_all
from clinimm.errors import ClinimmError
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.judge import artifacts_in, unseen
from clinimm.inference import Predictor, evaluating, score_subsets
from clinimm.next_input import next_inputs
from clinimm.scores import subset_name, subsets
from clinimm.training.folds import train_folds
from clinimm.types import Case

CONFIG = Path(__file__).parent.parent / "configs" / "appendicitis.toml"
PLANTED = {"optim": {"epochs": 10}, "committee": {"folds": 3, "narrow": 4, "trees": 50}}

# --- asking


@dataclass(frozen=True)
class Fold:
    """One artifact, and what it says of cases that it has not seen and that have two inputs or more."""

    predictor: Predictor
    batch: Batch
    answers: Answers

    @classmethod
    def of(cls, directory: Path, cases: Sequence[Case], most: int) -> "Fold":
        """`most`: of how many cases at most, drawn by a fixed seed."""
        predictor = Predictor.load(directory)
        fresh = [case for case in unseen(directory, cases) if len(case.inputs) > 1]
        order = np.random.default_rng(0).permutation(len(fresh))[:most]
        fresh = [fresh[i] for i in sorted(order)]
        batch = prepare_all(predictor.preparer, fresh)
        patients, targets = [case.patient_id for case in fresh], predictor.config.target_names
        return cls(
            predictor,
            batch,
            Answers.of(score_subsets(predictor.network, batch, patients, targets), predictor.calibrator),
        )

    @property
    def targets(self) -> list[str]:
        return list(self.predictor.config.target_names)


def ask(folds: Sequence[Fold]) -> list[Asked]:
    """What the folds expected and then said, for each target."""
    if len(folds) < 2:
        raise SystemExit("a fixed order needs the patients of other folds: give a run of clinimm train --folds")
    rows = [list(_rows(fold, usual_changes([other.answers for other in folds if other is not fold]))) for fold in folds]
    return [Asked.concat([_asked(part, j) for part in rows if part]) for j in range(len(folds[0].targets))]


def usual_changes(others: Sequence[Answers]) -> dict[tuple[str, str], np.ndarray]:
    """Mean change and share of turned decisions, (2, k), by shown inputs and the one that comes."""
    return {
        (shown, name): np.concatenate(
            [_changes(one, shown, whole)[:, one.scores.has(whole)] for one in others], axis=1
        ).mean(axis=1)
        for shown, name, whole in _questions(others[0].scores.modalities)
        if any(one.scores.has(whole).any() for one in others)
    }


def _questions(names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Shown inputs, a hidden one, and both."""
    for shown in subsets(names)[:-1]:
        here = shown.split("+")
        for name in names:
            if name not in here:
                yield shown, name, subset_name([one for one in names if one in here or one == name])


def _changes(answers: Answers, before: str, after: str) -> np.ndarray:
    moved = np.abs(answers.probabilities[after] - answers.probabilities[before])
    return np.stack([moved, answers.flagged[after] != answers.flagged[before]])


@dataclass(frozen=True)
class _Row:
    patient: str
    question: int
    shown: str
    hidden: str
    said: np.ndarray  # (2, k): expected change, chance of a turn
    did: np.ndarray
    usual: np.ndarray


def _rows(fold: Fold, usual: Mapping[tuple[str, str], np.ndarray]) -> Iterator[_Row]:
    predictor, batch, answers = fold.predictor, fold.batch, fold.answers
    names = answers.scores.modalities
    did = {(shown, name): _changes(answers, shown, whole) for shown, name, whole in _questions(names)}
    question = 0
    for i in range(len(batch)):
        one = batch.rows(torch.tensor([i]))
        here = [name for name, there in zip(names, one.present[0].tolist(), strict=True) if there]
        with torch.inference_mode(), evaluating(predictor.network):
            tokens = predictor.network.tokens(one, one.present)
        for shown in subsets(here)[:-1]:
            with torch.inference_mode(), evaluating(predictor.network):
                part = showing(one, shown)
                output = predictor.network.fuse(tokens, part.present, part.quality)
                wanted = next_inputs(predictor.network, part, tokens, output, predictor.calibrator)
            for want in wanted:
                if want.name in here and (shown, want.name) in usual:
                    key = (shown, want.name)
                    said = [[told[t] for t in fold.targets] for told in (want.expected_change, want.flip_chance)]
                    yield _Row(
                        answers.scores.patient_ids[i], question, *key, np.array(said), did[key][:, i], usual[key]
                    )  # fmt: skip
            question += 1


def showing(batch: Batch, shown: str) -> Batch:
    """The batch with all else hidden."""
    keep = shown.split("+")
    parts = {
        name: part if name in keep else replace(part, present=torch.zeros_like(part.present))
        for name, part in batch.modalities.items()
    }
    return replace(batch, modalities=parts)


def _asked(rows: Sequence[_Row], j: int) -> Asked:
    pairs = [np.stack([getattr(row, name)[:, j] for row in rows]) for name in ("said", "did", "usual")]
    (expected, chance), (actual, turned), (usual, usual_turn) = (pair.T for pair in pairs)
    return Asked(
        np.array([row.patient for row in rows]), np.array([row.question for row in rows]),
        np.array([row.shown for row in rows]), np.array([row.hidden for row in rows]),
        expected, actual, chance, turned > 0.5, usual, usual_turn,
    )  # fmt: skip


# --- cohorts


def write_planted(path: Path, n: int, seed: int) -> dict[str, list[str]]:
    """Three panels of four values: sick is what the second says where the first is on, else what the third says. A
    tenth of the panels is missing, 3 % of labels are wrong."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (n, 3))
    sick = np.where(signs[:, 0] == 1, signs[:, 1], signs[:, 2]) ^ (rng.random(n) < 0.03)
    level = (2 * signs - 1) + rng.normal(0, 0.4, (n, 3))
    values = level[:, :, None] * np.array([1.0, -0.8, 0.9, 0.6]) + rng.normal(0, 0.5, (n, 3, 4))
    missing = rng.random((n, 3)) < 0.1
    missing[np.arange(n), rng.integers(0, 3, n)] = False
    return write_panels(path, values, missing, sick, folds=3)


def planted(folder: Path, n: int, seed: int) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    config = panels("planted", write_planted(folder / "cases.csv", n, seed), ["sick"])
    optim = config.optim.model_copy(update=PLANTED["optim"])
    return config.model_copy(
        update={"optim": optim, "committee": config.committee.model_copy(update=PLANTED["committee"])}
    )


# --- the command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the config's manifest; by default a planted cohort")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--run", type=Path, help="a run of clinimm train --folds; trained there if it is not")
    parser.add_argument("--cases", type=int, default=900, help="of the planted cohort")
    parser.add_argument("--most", type=int, default=1000, help="test cases asked about, per fold")
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.data or Path(scratch)
        config = load(given.config) if given.data else planted(folder, given.cases, given.seed)
        cases = read_cohort(config, folder)
        run = given.run or Path(scratch) / "run"
        try:
            directories = artifacts_in(run)
        except ClinimmError:
            train_folds(config, cases, run, console=Console(stderr=True))
            directories = artifacts_in(run)
        asked = ask([Fold.of(directory, cases, given.most) for directory in directories])
    found = {
        target: judge(of_target, given.bootstrap) for target, of_target in zip(config.target_names, asked, strict=True)
    }
    for target, figures in found.items():
        print(table(config.name, target, figures) + "\n")
    if given.json:
        given.json.write_text(json.dumps({"name": config.name, "targets": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What does a backbone buy, and which way of adapting it? On real films, notes and labs, target `severe`, out of fold.

    python benchmarks/transfer.py --data DIR [--work runs/transfer] [--workers 2] [--epochs 40] [--json FILE]

DIR holds `cases.csv` with the columns that configs/cxr_note_labs.toml names. For every fold a backbone is pretrained on
the films and notes of the other folds, labels unseen; then a diagnosis model, else as that config says, is trained on
those folds with the backbone's image tower in each way: frozen, with LoRA, its last blocks, or whole; from the
pretrained weights, and from random ones ("full, random" is training from scratch). "both towers" reads the note through
the backbone as well, in the place of the config's bag of words. All see the same folds, validation patients and epochs;
pretrained towers learn at a tenth of the run's rate, as is usual, random ones at the run's. Intervals: 95 %, by drawing
patients. Seconds an epoch hold training, judging on validation and saving; processes share the cores, so trust their
ratios."""

import argparse
import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import numpy as np
from rich.console import Console
from rich.table import Table

from clinimm import metrics
from clinimm.bootstrap import Estimate, paired_bootstrap_difference, patient_bootstrap
from clinimm.config import PretrainConfig, load, load_as
from clinimm.data.cohort import read_cohort
from clinimm.data.split import folds
from clinimm.evaluation.answers import Answers
from clinimm.inference import Predictor
from clinimm.paths import shipped
from clinimm.pretraining.build import read_cases
from clinimm.pretraining.run import pretrain
from clinimm.training.run import train

TARGET, FOLDS = "severe", ("0", "1", "2", "3", "4")
MODES = {
    "frozen": 'mode = "frozen"',
    "lora": 'mode = "lora", targets = "all"',
    "last_n": 'mode = "last_n", last_n = 2',
    "full": 'mode = "full"',
}
SCRATCH, SHIPPED, BOTH = "full, random", "shipped config", ", both towers"


@dataclass(frozen=True)
class Run:
    """One model of one fold: what it said of the fold, and what it cost."""

    answers: Answers
    learned: int
    seconds_per_epoch: float


@dataclass(frozen=True)
class Line:
    """One way, over all folds. `gain` is the AUROC of all inputs over training from scratch, `bought` that over the
    same way from random weights."""

    way: str
    learned: int
    seconds_per_epoch: float
    auroc: dict[str, Estimate]
    gain: Estimate | None
    bought: Estimate | None


def ways() -> list[str]:
    image = [f"{mode}, {start}" for start in ("pretrained", "random") for mode in MODES]
    return [*image, f"frozen, pretrained{BOTH}", SHIPPED]


# --- one fold


def learn_backbone(data: Path, work: Path, epochs: int, fold: str) -> Path:
    """The backbone of the films and notes of all folds but one."""
    kept = json.dumps([other for other in FOLDS if other != fold])
    overrides = (f"data.folds={kept}", *([f"optim.epochs={epochs}"] if epochs else []))
    config = load_as(PretrainConfig, shipped_config("pretrain_cxr.toml"), overrides)
    return pretrain(config, read_cases(config, data), work / "backbones" / f"fold-{fold}").directory


def run(data: Path, work: Path, epochs: int, way: str, fold: str) -> Run:
    """A model trained in one way, judged on the fold it never saw."""
    config = load(shipped_config("cxr_note_labs.toml"), settings(way, work / "backbones" / f"fold-{fold}", epochs))
    cases = read_cohort(config, data)
    section = config.data.split
    splits = folds(cases, val=section.val, seed=section.seed, column=config.data.fold_column)[FOLDS.index(fold)]
    out = work / way.replace(", ", "-").replace(" ", "-") / f"fold-{fold}"
    trained = train(config, splits, out, features=work / "features")
    network = Predictor.load(trained.directory).network
    learned = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    return Run(trained.answers, learned, seconds_per_epoch(out))


def settings(way: str, backbone: Path, epochs: int) -> list[str]:
    """What differs from the shipped config."""
    alike = [f"optim.epochs={epochs}", f"optim.patience={epochs}", "evaluation.bootstrap=10"]
    if way == SHIPPED:
        return alike
    mode, start = way.removesuffix(BOTH).split(", ")
    rate = ", lr = 3e-4" if start == "pretrained" else ""
    changed = [
        *alike,
        f'backbone.path="{backbone / "backbone"}"',
        f"backbone.pretrained={str(start == 'pretrained').lower()}",
        f"backbone.image={{ {MODES[mode]}{rate} }}",
        f"backbone.text={{ {MODES[mode]}{rate} }}",
        'inputs.cxr.encoder={ name = "backbone", dropout = 0.3 }',
    ]
    return [*changed, 'inputs.note.encoder={ name = "backbone", dropout = 0.3 }'] if way.endswith(BOTH) else changed


def seconds_per_epoch(run_folder: Path) -> float:
    """Median time from one epoch's figures to the next, kept beside the run: one that is resumed tells its earlier
    epochs again, all at once."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    kept = run_folder / "seconds_per_epoch.json"
    if not kept.exists():
        events = EventAccumulator(str(run_folder / "tensorboard"))
        events.Reload()
        times = [event.wall_time for event in events.Scalars("val_loss")]
        kept.write_text(json.dumps(median(np.diff(times).tolist())), encoding="utf-8")
    return float(json.loads(kept.read_text(encoding="utf-8")))


# --- all folds


def line(way: str, runs: Mapping[str, Sequence[Run]], resamples: int) -> Line:
    answers = pooled(runs[way])
    subsets = {"all inputs": answers.scores.whole, "image": "cxr", "note": "note"}
    alike = way.replace("pretrained", "random")
    return Line(
        way=way,
        learned=runs[way][0].learned,
        seconds_per_epoch=median(one.seconds_per_epoch for one in runs[way]),
        auroc={name: interval(answers, subset, resamples) for name, subset in subsets.items()},
        gain=None if way == SCRATCH else difference(answers, pooled(runs[SCRATCH]), resamples),
        bought=None if alike == way or alike not in runs else difference(answers, pooled(runs[alike]), resamples),
    )


def pooled(runs: Sequence[Run]) -> Answers:
    return Answers.concat([one.answers for one in runs])


def difference(mine: Answers, theirs: Answers, resamples: int) -> Estimate:
    """AUROC of all inputs, mine less theirs, on the same draws of patients."""
    whole = mine.scores.whole
    first, second = (partial(auroc, one, whole) for one in (mine, theirs))
    return paired_bootstrap_difference(first, second, judged(mine, whole)[2], resamples=resamples, seed=0)


def interval(answers: Answers, subset: str, resamples: int) -> Estimate:
    return patient_bootstrap(
        {"auroc": partial(auroc, answers, subset)}, judged(answers, subset)[2], resamples=resamples, seed=0
    )["auroc"]


def auroc(answers: Answers, subset: str, weights: np.ndarray) -> np.ndarray:
    labels, probabilities, _ = judged(answers, subset)
    return metrics.weighted_auroc(labels, probabilities, weights)


def judged(answers: Answers, subset: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, probabilities and patients of the cases that have a label and something of the subset."""
    scores = answers.scores
    j, rows = scores.target_names.index(TARGET), scores.known(TARGET) & scores.answered(subset)
    ids = [patient for patient, row in zip(scores.patient_ids, rows, strict=True) if row]
    return scores.targets[rows, j] > 0.5, answers.probabilities[subset][rows, j], ids


def advice(lines: Sequence[Line]) -> list[str]:
    """Which one to take when, by these figures alone."""
    rated = [one for one in lines if one.way != SHIPPED]
    best = max(rated, key=lambda one: value(one.auroc["all inputs"]))
    low = best.auroc["all inputs"].low or 0.0
    near = [one for one in rated if value(one.auroc["all inputs"]) >= low]
    cheapest = min(near, key=lambda one: one.seconds_per_epoch)
    clear = [one.way for one in rated if one.gain is not None and (one.gain.low or 0.0) > 0]
    worse = [one.way for one in rated if one.gain is not None and (one.gain.high or 0.0) < 0]
    bought = [f"{one.way.split(',')[0]} {shown(one.bought, '+')}" for one in rated if one.bought is not None]
    shipped_line = next(one for one in lines if one.way == SHIPPED)
    return [
        f"Highest: {best.way}, {value(best.auroc['all inputs']):.3f}; the shipped config has "
        f"{value(shipped_line.auroc['all inputs']):.3f}.",
        f"Surely better than from scratch: {', '.join(clear) or 'none'}; surely worse: {', '.join(worse) or 'none'}.",
        f"What pretraining bought, way by way: {'; '.join(bought)}.",
        f"Where time or room is short: {cheapest.way}, the cheapest whose AUROC lies within the best one's interval "
        f"({cheapest.seconds_per_epoch:.2f} s an epoch, {cheapest.learned:,} weights learned).",
    ]


def value(estimate: Estimate) -> float:
    return float("nan") if estimate.value is None else estimate.value


def shown(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None or estimate.value is None:
        return ""
    ends = "" if estimate.low is None else f" [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"
    return f"{estimate.value:{sign}.3f}{ends}"


def table(lines: Sequence[Line], cases: int) -> Table:
    costs, scores = ("weights learned", "s an epoch"), ("image alone", "note alone")
    heads = ("image tower", *costs, "all inputs", "over from scratch", "over random weights", *scores)
    grid = Table(*heads, title=f"AUROC of {TARGET}, out of fold, {cases} films")
    for one in lines:
        grid.add_row(
            one.way + (" (from scratch)" if one.way == SCRATCH else ""), f"{one.learned:,}",
            f"{one.seconds_per_epoch:.2f}", shown(one.auroc["all inputs"]), shown(one.gain, "+"),
            shown(one.bought, "+"), shown(one.auroc["image"]), shown(one.auroc["note"]),
        )  # fmt: skip
    return grid


def shipped_config(name: str) -> Path:
    import clinimm

    return shipped(clinimm.__file__, "configs") / name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/transfer"), help="a run cut off goes on from here")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--pretrain-epochs", type=int, default=0, help="0: as the config says")
    parser.add_argument("--bootstrap", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console(width=210)
    with ProcessPoolExecutor(args.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(learn_backbone, args.data, args.work, args.pretrain_epochs), FOLDS))
        console.print("pretrained a backbone for each fold")
        pairs = [(way, fold) for fold in FOLDS for way in ways()]
        each = pool.map(partial(run, args.data, args.work, args.epochs), *zip(*pairs, strict=True))
        runs: dict[str, list[Run]] = {way: [] for way in ways()}
        for (way, fold), done in zip(pairs, each, strict=True):
            runs[way].append(done)
            console.print(f"fold {fold}: {way}")
    lines = [line(way, runs, args.bootstrap) for way in ways()]
    scratch = pooled(runs[SCRATCH])
    console.print(table(lines, len(judged(scratch, scratch.scores.whole)[2])))
    said = advice(lines)
    console.print(*said, sep="\n", highlight=False)
    if args.json:
        record: dict[str, Any] = {"target": TARGET, "ways": [asdict(one) for one in lines], "advice": said}
        args.json.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

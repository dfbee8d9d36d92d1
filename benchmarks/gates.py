"""Ways of joining inputs, compared: the same encoders, folds, seeds and training for each operator.

    python benchmarks/gates.py --kind synergy redundant
    python benchmarks/gates.py --kind appendicitis covid --data DIR [--gates gate,evidential] [--json FILE]

Out of fold, averaged over the targets: AUROC with all inputs, its mean over every subset of inputs, and that of the
worst subset; calibration error; and what one spoilt input does to cases that have another: its weight after over
before, and the mean change of probability against the answer without it (`noise`: nothing of the patient is left in it;
`swap`: it is another patient's). `diff` is the mean over subsets less that of the gate, with a 95 % interval by drawing
patients. `doubted` (in the JSON) is the share of sound and of spoilt inputs with a trust under a half. --set changes
any setting for all, such as optim.balance=1."""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import numpy as np
import torch
from gate_cohorts import KINDS, cohort
from lightning_fabric import Fabric

from clinimm.assembly import network_for
from clinimm.batch import Batch
from clinimm.bootstrap import Values, Weights, paired_bootstrap_difference
from clinimm.calibration import Calibrator
from clinimm.config import Config, dump
from clinimm.config.reading import parse
from clinimm.data.doors import fit_preparer
from clinimm.data.prepare import Preparer
from clinimm.data.split import Splits
from clinimm.inference import evaluating, score_subsets
from clinimm.io.sandbox import Sandbox
from clinimm.metrics import ece, weighted_auroc
from clinimm.models.fusions import FUSIONS
from clinimm.models.network import Network
from clinimm.scores import Scores
from clinimm.training.corruption import spoil
from clinimm.training.loop import Fold, fit
from clinimm.training.setup import patients, plan_of, prepare_splits, prior_logits

DEFAULT = "gate"


@dataclass(frozen=True)
class Prepared:
    """One fold, ready for any operator."""

    preparer: Preparer
    parts: Mapping[str, Batch]
    splits: Splits


@dataclass(frozen=True)
class Out:
    """What an operator said of a test fold: calibrated probabilities by subset, and of spoilt inputs, per kind, rows of
    (weight before, weight after, |p - p without|, trust before, trust after)."""

    scores: Scores
    probabilities: dict[str, np.ndarray]
    spoilt: dict[str, np.ndarray]
    seconds: float


def prepare(config: Config, splits: Splits) -> Prepared:
    with Sandbox() as sandbox:
        preparer = fit_preparer(config, splits.train, sandbox)
        return Prepared(preparer, prepare_splits(preparer, splits, 1, None), splits)


def trained(config: Config, fold: Prepared, seed: int) -> Network:
    torch.manual_seed(seed)
    network = network_for(config, fold.preparer, prior_logits(fold.parts["train"]))
    network.fit_encoders(fold.parts["train"])
    train = fold.parts["train"]
    learned = train.rows(train.target_mask.any(1).nonzero()[:, 0])
    data = Fold(learned, fold.parts["val"], patients(fold.splits.val), config.target_names, fold.preparer.looks)
    with tempfile.TemporaryDirectory() as scratch:
        fit(
            network, data, replace(plan_of(config), seed=seed), Fabric(accelerator="cpu", devices=1),
            folder=Path(scratch) / "checkpoint", fingerprint="", on_epoch=lambda figures: None,
        )  # fmt: skip
    return network.eval()


def answered(config: Config, fold: Prepared, seed: int) -> Out:
    start = time.perf_counter()
    network = trained(config, fold, seed)
    seconds = time.perf_counter() - start
    names = config.target_names
    val = score_subsets(network, fold.parts["val"], patients(fold.splits.val), names)
    calibrator = Calibrator.fit(val, sensitivity=0.9, bootstrap=10)
    test = score_subsets(network, fold.parts["test"], patients(fold.splits.test), names)
    probabilities = {s: calibrator.apply(test.logits[s], test.patterns(s)) for s in test.logits}
    generator = torch.Generator().manual_seed(seed)
    batch = fold.parts["test"]
    kinds = {"noise": spoil(batch, generator, fold.preparer.looks), "swap": swapped(batch, generator)}
    spoilt = {kind: np.concatenate([against(network, batch, odd, i) for i in range(len(network.modalities))])
              for kind, odd in kinds.items()}  # fmt: skip
    return Out(test, probabilities, spoilt, seconds)


def swapped(batch: Batch, generator: torch.Generator) -> Batch:
    """Each present input is that of another case that has it."""
    parts = {}
    for name, part in batch.modalities.items():
        rows = part.present.nonzero()[:, 0]
        index = torch.arange(len(batch))
        index[rows] = rows[torch.randperm(len(rows), generator=generator)]
        parts[name] = replace(part.rows(index), present=part.present, states=part.states)
    return replace(batch, modalities=parts)


@torch.inference_mode()
def against(network: Network, batch: Batch, odd: Batch, i: int) -> np.ndarray:
    """What becomes of the cases that have input `i` and another when it is that of `odd`."""
    rows = (batch.present[:, i] & (batch.present.sum(1) > 1)).nonzero()[:, 0]
    if not len(rows):
        return np.empty((0, 5))
    name = network.modalities[i].name
    sound = batch.rows(rows)
    spoilt = replace(sound, modalities=dict(sound.modalities) | {name: odd.modalities[name].rows(rows)})
    without = sound.present.clone()
    without[:, i] = False
    with evaluating(network):
        before, after, absent = network(sound), network(spoilt), network(sound, without)
    moved = (after.logits.sigmoid() - absent.logits.sigmoid()).abs().mean(1)
    trusts = [torch.ones(len(rows)) if out.trust is None else out.trust[:, i] for out in (before, after)]
    return torch.stack([before.weights[:, i], after.weights[:, i], moved, *trusts], dim=1).numpy()


# --- over folds


@dataclass(frozen=True)
class Judged:
    """An operator's answers over all folds."""

    labels: np.ndarray
    patients: tuple[str, ...]
    rows: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    spoilt: dict[str, np.ndarray]
    seconds: float

    @classmethod
    def of(cls, outs: Sequence[Out]) -> "Judged":
        scores = Scores.concat([out.scores for out in outs])
        return cls(
            scores.targets, scores.patient_ids, {s: scores.answered(s) for s in scores.logits},
            {s: np.concatenate([out.probabilities[s] for out in outs]) for s in scores.logits},
            {kind: np.concatenate([out.spoilt[kind] for out in outs]) for kind in outs[0].spoilt},
            sum(out.seconds for out in outs),
        )  # fmt: skip

    def auroc(self, subset: str, weights: Weights) -> Values:
        """Mean over the targets."""
        found = []
        for j in range(self.labels.shape[1]):
            rows = self.rows[subset] & ~np.isnan(self.labels[:, j])
            found.append(
                weighted_auroc(self.labels[rows, j] > 0.5, self.probabilities[subset][rows, j], weights[:, rows])
            )
        return np.asarray(np.mean(found, axis=0))

    def over_subsets(self, weights: Weights) -> Values:
        return np.asarray(np.mean([self.auroc(subset, weights) for subset in self.rows], axis=0))

    def figures(self, default: "Judged | None") -> dict[str, Any]:
        once = np.ones((1, len(self.patients)))
        by_subset = {subset: float(self.auroc(subset, once)[0]) for subset in self.rows}
        whole = list(self.rows)[-1]
        errors = [
            ece(self.labels[known, j] > 0.5, self.probabilities[whole][known, j])
            for j in range(self.labels.shape[1]) if (known := ~np.isnan(self.labels[:, j])).any()
        ]  # fmt: skip
        found: dict[str, Any] = {
            "whole": by_subset[whole], "mean": float(np.mean(list(by_subset.values()))),
            "worst": min(by_subset.values()), "ece": float(np.mean(errors)), "seconds": self.seconds,
            "subsets": by_subset,
        }  # fmt: skip
        for kind, rows in self.spoilt.items():
            before, after, moved, *_ = rows.mean(0)
            found[kind] = {
                "weight": float(after / before),
                "moved": float(moved),
                "doubted": (rows[:, 3:] < 0.5).mean(0).tolist(),
            }
        if default is not None:
            for name, first, second in (
                ("diff", self.over_subsets, default.over_subsets),
                ("diff_whole", lambda w: self.auroc(whole, w), lambda w: default.auroc(whole, w)),
            ):
                estimate = paired_bootstrap_difference(first, second, self.patients, resamples=500, seed=0)
                found[name] = [estimate.value, estimate.low, estimate.high]
        return found


def table(kind: str, figures: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of a cohort as a Markdown table."""
    columns = ("all", "subsets", "worst", "ECE", "noise", "swap", "diff, subsets", "diff, all", "s")
    head = "| " + " | ".join((kind, *columns)) + " |"
    lines = [head, "|" + "---|" * 10]
    for name, row in figures.items():
        odd = [f"x {row[k]['weight']:.2f}, {row[k]['moved']:.3f}" for k in ("noise", "swap")]
        diffs = [_interval(row.get(key)) for key in ("diff", "diff_whole")]
        cells = [name, *(f"{row[key]:.3f}" for key in ("whole", "mean", "worst", "ece")), *odd, *diffs,
                 f"{row['seconds']:.0f}"]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _interval(found: Sequence[float] | None) -> str:
    return "" if found is None else f"{found[0]:+.3f} [{found[1]:+.3f}, {found[2]:+.3f}]"


def compare(config: Config, splits: Sequence[Splits], gates: Sequence[str], seeds: int) -> dict[str, Any]:
    """The figures of each operator, the default first."""
    prepared = [prepare(config, one) for one in splits]
    judged: dict[str, Judged] = {}
    for gate in gates:
        mine = with_settings(config, {"model.fusion": gate})
        outs = [answered(mine, fold, seed) for seed in range(seeds) for fold in prepared]
        judged[gate] = Judged.of(outs)
        print(f"  {gate}: {judged[gate].figures(None)['mean']:.3f} in {judged[gate].seconds:.0f} s", flush=True)
    default = judged.get(DEFAULT)
    return {name: one.figures(None if name == DEFAULT else default) for name, one in judged.items()}


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    values = json.loads(dump(config))
    for path, value in settings.items():
        *sections, key = path.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[key] = value
    return parse(values, "--set")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS[:2]))
    parser.add_argument("--data", type=Path, help="the folder with covid_cxr and appendicitis")
    parser.add_argument("--gates", default=",".join(FUSIONS))
    parser.add_argument("--folds", type=int, default=5, help="of those there are, how many are tested on")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], help="section.key=number, for every operator")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = {path: json.loads(value) for path, value in (one.split("=", 1) for one in asked.set)}
    found = {}
    for kind in asked.kind:
        with tempfile.TemporaryDirectory() as scratch:
            config, splits = cohort(kind, asked.data, Path(scratch) / kind, seed=0)
            found[kind] = compare(
                with_settings(config, settings), splits[: asked.folds], asked.gates.split(","), asked.seeds
            )
        print(table(kind, found[kind]), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

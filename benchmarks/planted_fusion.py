"""What fusion is for, on cohorts with planted truth: does it solve what no input can alone, does it let go of a spoilt
input, and does it hold as inputs are removed?

    python benchmarks/planted_fusion.py [--kind synergy redundant films] [--cases 1200] [--json FILE]

synergy: three panels; sick is where exactly one of the signs of two of them is on, so that each alone tells nothing.
redundant: three panels that all show the sickness, each with noise of its own. films: the synthetic cohort of the
quickstart, a film, a note and labs of each case, three findings. 60 % of the patients train, 40 % judge. Simple
opponents learn from the same patients. Each input is spoilt more and more (noise on pixels and values, blur, words of
other notes); what becomes of the answer is told of the whole model, and of its nets and its learner alone, with the
same calibration. Intervals: 95 %, by drawing patients."""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import torch
from evaluation_tables import corruption_table, evaluation_tables
from gate_cohorts import panels, write_planted
from rich.console import Console

import clinimm
from clinimm.config import Config, load
from clinimm.data.cohort import read_cohort
from clinimm.data.split import split_by_patient
from clinimm.data.synthetic.cohort import write_cohort
from clinimm.evaluation.corruption import judge_corruption
from clinimm.evaluation.hear import hear
from clinimm.evaluation.judge import judge
from clinimm.inference import Predictor
from clinimm.models.committee import Committee
from clinimm.paths import shipped
from clinimm.training.run import train
from clinimm.types import Case

KINDS = ("synergy", "redundant", "films")
TEST = 0.4
Record = Mapping[str, Any]


def planted(kind: str, folder: Path, cases: int, seed: int) -> tuple[Config, list[Case]]:
    """The config and the cases of a cohort, written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "films":
        write_cohort(folder, n=cases, seed=seed)
        config = load(shipped(clinimm.__file__, "configs") / "quickstart.toml")
    else:
        config = panels(kind, write_planted(folder / "cases.csv", kind, n=cases, seed=seed), ["sick"])
    return config, read_cohort(config, folder)


def members(committee: Committee) -> dict[str, Committee]:
    """The nets alone, and the learner on fixed features alone, where there is one that has a part in the answer."""
    nets = committee.networks
    found = {"nets": Committee(nets, None).eval()}
    if committee.learner is not None:
        found["learner"] = Committee(nets, committee.learner, torch.ones_like(committee.share)).eval()
    return found


def spoilt(artifact: Path, cases: Sequence[Case], bootstrap: int) -> dict[str, list[dict[str, Any]]]:
    """What spoiling an input does to each part of the model."""
    predictor = Predictor.load(artifact)
    targets = predictor.config.target_names
    found = {}
    for name, part in members(predictor.network).items():
        heard = hear(replace(predictor, network=part), cases, (), name, whole=True)
        found[name] = [
            one.record() for way in heard.corrupted for one in judge_corruption(way, targets, bootstrap=bootstrap)
        ]
    return found


def measure(kind: str, folder: Path, cases: int, seed: int, bootstrap: int) -> dict[str, Any]:
    """Trained, judged beside opponents, and spoilt."""
    config, everyone = planted(kind, folder / "cohort", cases, seed)
    splits = split_by_patient(everyone, val=config.data.split.val, test=TEST, seed=seed)
    console = Console(stderr=True)
    start = time.perf_counter()
    artifact = train(config, splits, folder / "run", console=console).directory
    seconds = time.perf_counter() - start
    judged = judge([artifact], splits.test + splits.train + splits.val, bootstrap=bootstrap, opponents=True, whole=True)
    share = Predictor.load(artifact).network.share
    return {
        "seconds": seconds,
        "learner_share": dict(zip(config.target_names, share.tolist(), strict=True)),
        "record": judged.record(),
        "members": spoilt(artifact, splits.test, bootstrap),
    }


def synergy(record: Record) -> str:
    """Whether fusion solves what no single input can, in a sentence."""
    rows = {row["name"]: row["metrics"]["auroc"] for row in record["targets"][0]["subsets"]}
    *singles, whole = [name for name in rows if "+" not in name] + list(rows)[-1:]
    alone = {name: rows[name] for name in singles}
    above = [name for name, one in alone.items() if one["interval"] and one["interval"][0] > 0.5]
    best = max(one["value"] for one in alone.values())
    said = f"The best single input has {best:.3f}, all together {rows[whole]['value']:.3f}."
    return said + (f" Above chance alone: {', '.join(above)}." if above else " No input alone is above chance.")


def tables(kind: str, found: Mapping[str, Any]) -> str:
    """All that was found of a cohort, in Markdown."""
    share = ", ".join(f"{name} {value:.2f}" for name, value in found["learner_share"].items())
    parts = [
        f"### Planted: {kind}", f"Trained in {found['seconds']:.0f} s; the learner's share of the answer: {share}.",
        evaluation_tables(found["record"]),
    ]  # fmt: skip
    if kind == "synergy":
        parts.append(synergy(found["record"]))
    for name, records in {"the whole model": found["record"]["corruption"], **found["members"]}.items():
        parts += [f"Spoilt inputs, {name}:", corruption_table(records)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--cases", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="keeps cohorts and runs there; goes on from what is there")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for kind in given.kind:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (given.out or Path(scratch)) / kind
            found[kind] = measure(kind, folder, given.cases, given.seed, given.bootstrap)
        print(tables(kind, found[kind]) + "\n", flush=True)
        if given.json:
            given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

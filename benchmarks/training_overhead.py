"""What our training loop costs over a bare PyTorch loop with the same net, the same loss and the same steps.

    python benchmarks/training_overhead.py [--repeats 5] [--json OUT]

Both loops run in turn in one process; the figures are medians, the ratios those of paired repeats."""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.table import Table

from clinimm.batch import Batch, ModalityBatch
from clinimm.models.build import EncoderPlan, Vocabulary, build_network
from clinimm.models.network import Network
from clinimm.training.loop import Plan, train_epoch
from clinimm.training.modality_dropout import Schedule
from clinimm.training.objective import Objective, Terms
from clinimm.training.optim import build_optimizer, peak_rates
from clinimm.types import Analyte, InputState, Kind, Modality, Status

LENGTH, ANALYTES, QUALITY = 96, 10, {"cxr": 5, "note": 4, "labs": 4}
NETS = {
    "quickstart: resnet10 (16-64 planes), 64 px, bag of words": (64, "resnet10", {"planes": [16, 32, 64, 64]}, "bag"),
    "resnet18, 128 px, small BERT": (128, "resnet18", {}, "transformer"),
}
PLAN = Plan(
    lr=1e-3, weight_decay=0.05, epochs=100, batch_size=32, clip=1.0, warmup=0.1, patience=9, terms=Terms(0.3),
    schedule=Schedule(0.5, 0.0, 0.1), observed=0.5, analyte_dropout=0.15, pictures=(), seed=0,
)  # fmt: skip


def network_and_cases(side: int, trunk: str, options: dict[str, object], text: str, n: int) -> tuple[Network, Batch]:
    modalities = (
        Modality("cxr", Kind.IMAGE, (1, side, side)),
        Modality("note", Kind.TEXT, (LENGTH,)),
        Modality("labs", Kind.TABULAR, (ANALYTES,), tuple(Analyte(f"a{i}", "mg/L") for i in range(ANALYTES))),
    )
    plans = {
        "cxr": EncoderPlan(trunk, options=options),
        "note": EncoderPlan(text, vocabulary=Vocabulary(600, 0, (0, 1, 2))),
        "labs": EncoderPlan("analytes"),
    }
    torch.manual_seed(0)
    network = build_network(modalities, plans, QUALITY, width=32, fusion="gate", dropout=0.1, prior=[0.0, 0.0])
    present = torch.rand(n, 3) < 0.85
    present[:, 0] = True
    values = {
        "cxr": torch.randn(n, 1, side, side),
        "note": torch.randint(5, 600, (n, LENGTH)),
        "labs": torch.randn(n, ANALYTES),
    }
    masks = {"cxr": None, "note": torch.rand(n, LENGTH) < 0.7, "labs": torch.rand(n, ANALYTES) < 0.8}
    parts = {
        name: ModalityBatch(
            values[name], present[:, i], masks[name], torch.randn(n, QUALITY[name]),
            tuple(InputState(Status.PRESENT if here else Status.ABSENT) for here in present[:, i].tolist()),
        )
        for i, name in enumerate(values)
    }  # fmt: skip
    batch = Batch(
        tuple(map(str, range(n))), parts, (torch.rand(n, 2) < 0.5).float(), torch.ones(n, 2, dtype=torch.bool)
    )
    network.fit_encoders(batch)
    return network, batch


def bare_epoch(objective: Objective, optimizer: torch.optim.Optimizer, cases: Batch) -> None:
    """As one would write it by hand: shuffle, slice, forward, backward, clip, step."""
    objective.train()
    order = torch.randperm(len(cases))
    for start in range(0, len(cases), PLAN.batch_size):
        batch = cases.rows(order[start : start + PLAN.batch_size])
        losses = objective(batch, batch.present)
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), PLAN.clip)
        optimizer.step()
        optimizer.zero_grad()


def measure(net: tuple[int, str, dict[str, object], str], n: int, repeats: int) -> dict[str, float]:
    network, cases = network_and_cases(*net, n)
    objective = Objective(network, PLAN.terms)
    peaks = peak_rates(network, PLAN.rates)
    bare = build_optimizer(peaks, PLAN.weight_decay)
    fabric = Fabric(accelerator="cpu", devices=1)
    module, optimizer = fabric.setup(objective, build_optimizer(peaks, PLAN.weight_decay))
    times: dict[str, list[float]] = {"bare": [], "ours": [], "ours, films shaken": []}
    for repeat in range(repeats + 1):
        for name, run in (
            ("bare", lambda: bare_epoch(objective, bare, cases)),
            ("ours", lambda: train_epoch(module, optimizer, network.modalities, cases, PLAN, fabric, 1)),
            (
                "ours, films shaken",
                lambda: train_epoch(
                    module, optimizer, network.modalities, cases, replace(PLAN, pictures=("cxr",)), fabric, 1
                ),
            ),
        ):
            start = time.perf_counter()
            run()
            if repeat:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    found = {name: statistics.median(values) for name, values in times.items()}
    for name in ("ours", "ours, films shaken"):
        ratios = [mine / theirs for mine, theirs in zip(times[name], times["bare"], strict=True)]
        found[f"{name} / bare"] = statistics.median(ratios)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", type=int, default=256)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: measure(net, arguments.cases, arguments.repeats) for name, net in NETS.items()}
    table = Table(title=f"seconds per epoch of {arguments.cases} cases, medians of {arguments.repeats}")
    for column in ("net", *next(iter(results.values()))):
        table.add_column(column)
    for name, row in results.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console(width=150).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

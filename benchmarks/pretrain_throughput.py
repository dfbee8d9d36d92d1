"""How fast pretraining is, beside a bare loop with the same towers, and what share of the machine's matrix rate it is.

    python benchmarks/pretrain_throughput.py [--device cpu] [--net small] [--batch 64] [--repeats 5] [--json FILE]

Ours is the loop of `clinimm pretrain` with InfoNCE alone: unpaired rows, gathered negatives of several processes, and
resumption are there to be paid for. Bare: slice, both towers, softmax over the batch, backward, clip, step, as one
would write it by hand. `films shaken` adds augmentation; `cached` holds a quarter of the batch in memory at once
(gradient caching: towers run twice). Matrix rate: that of a large square product in the same precision, measured here.
Share of it: the step's operations, counted (torch's FlopCounterMode, forward and backward), over its time. Runs take
turns; figures are medians, ratios those of paired repeats. Memory is the card's peak, told on a GPU only."""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy, normalize
from torch.optim import AdamW
from torch.utils.flop_counter import FlopCounterMode

from clinimm.models.text import small_bert
from clinimm.models.towers.build import build_tower
from clinimm.pretraining.corpus import NONE, Corpus, Texts
from clinimm.pretraining.encoders import Encoders
from clinimm.pretraining.loop import Plan, build_optimizer, train_epoch
from clinimm.pretraining.objectives import JointObjectives
from clinimm.pretraining.processes import Processes, joined
from clinimm.pretraining.sampling import Habits
from clinimm.pretraining.step import Learner

VOCABULARY = 2000
NETS: dict[str, tuple[int, int, dict[str, Any], dict[str, int]]] = {  # picture's side, text's length, towers
    "small": (64, 96, {"trunk": "resnet10", "options": {"planes": [16, 32, 64, 64]}}, {"hidden": 64, "layers": 2}),
    "resnet18": (128, 96, {"trunk": "resnet18"}, {"hidden": 128, "layers": 4}),
    "base": (224, 128, {"trunk": "resnet50"}, {"hidden": 768, "layers": 12, "heads": 12}),
}


def towers(net: str) -> Encoders:
    """The same towers, with the same weights, every time."""
    side, length, trunk, bert = NETS[net]
    torch.manual_seed(0)
    image = build_tower({"name": "trunk", "width": 128, "size": [side, side], **trunk})
    config = small_bert(VOCABULARY, length, dropout=0.0, **bert)
    return Encoders(image, build_tower({"name": "bert", "config": config, "width": 128, "length": length}))  # type: ignore[arg-type]


def corpus(net: str, cases: int) -> Corpus:
    """Noise, every picture with a text of full length: what is in it does not change the time."""
    side, length, *_ = NETS[net]
    rows = torch.arange(cases)
    texts = Texts(
        ids=torch.randint(5, VOCABULARY, (cases, length)),
        mask=torch.ones(cases, length, dtype=torch.bool),
        labels=torch.zeros(cases, 1),
        patients=rows,
    )
    none = torch.full((cases, 2), NONE)
    return Corpus(
        pixels=torch.rand(cases, 1, side, side), texts=texts, picture=rows, whole=rows, sentences=none * 0,
        prompts=torch.zeros(1, 2, dtype=torch.long), labels=torch.zeros(cases, 1), patients=rows, facts={},
    )  # fmt: skip


# --- the loops


def bare_loop(net: str, data: Corpus, batch: int, processes: Processes) -> Callable[[], None]:
    """One epoch as one would write it by hand."""
    module = towers(net).to(processes.device).train()
    scale = nn.Parameter(torch.tensor(2.66, device=processes.device))
    weights = [*module.parameters(), scale]
    optimizer = AdamW(weights, lr=1e-4)

    def epoch() -> None:
        order = torch.randperm(len(data))
        for rows in order.split(batch):
            pixels, ids = data.pixels[rows].to(processes.device), data.texts.ids[rows].to(processes.device)
            mask = data.texts.mask[rows].to(processes.device)
            with processes.precision():
                image, text = module.image(pixels), module.text(ids, mask)
            logits = scale.exp() * normalize(image.float(), dim=1) @ normalize(text.float(), dim=1).T
            own = torch.arange(len(rows), device=processes.device)
            ((cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2).backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return epoch


def our_loop(
    net: str, data: Corpus, batch: int, processes: Processes, *, micro: int | None = None, shake: bool = False
) -> Callable[[], None]:
    encoders = towers(net)
    objectives = JointObjectives(128, {"info_nce": 1.0}).to(processes.device)
    learner = Learner(processes.join(encoders), objectives, {}, processes, micro)
    optimizer = build_optimizer([([*encoders.parameters(), *objectives.parameters()], 1e-4)], 0.05)
    plan = Plan(0.05, 100, batch, 1.0, 0.1, 0, Habits(sentence=0.0, shake=shake))
    return lambda: void(train_epoch(learner, optimizer, data, plan, 1))


def void(_: object) -> None:
    return None


# --- measuring


def seconds(run: Callable[[], None], device: torch.device) -> float:
    settle(device)
    start = time.perf_counter()
    run()
    settle(device)
    return time.perf_counter() - start


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(processes: Processes) -> float:
    """Operations a second of a square product, the best of ten."""
    n = 8192 if processes.device.type == "cuda" else 2048
    dtype = torch.bfloat16 if processes.bf16 else torch.float32
    left, right = (torch.randn(n, n, device=processes.device, dtype=dtype) for _ in range(2))
    left @ right
    return 2 * n**3 / min(seconds(lambda: void(left @ right), processes.device) for _ in range(10))


def operations(run: Callable[[], None]) -> float:
    """What one epoch computes, counted."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def memory_mib(run: Callable[[], None], device: torch.device) -> float | None:
    """The card's peak during the run; None on a CPU, where a process only knows its own."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    run()
    return torch.cuda.max_memory_allocated(device) / 2**20


def measure(net: str, batch: int, steps: int, repeats: int, processes: Processes) -> dict[str, Any]:
    data = corpus(net, batch * steps)
    runs = {
        "bare loop": bare_loop(net, data, batch, processes),
        "ours": our_loop(net, data, batch, processes),
        "ours, films shaken": our_loop(net, data, batch, processes, shake=True),
        "ours, cached": our_loop(net, data, batch, processes, micro=max(1, batch // 4)),
    }
    counted = {name: operations(run) for name, run in runs.items()}  # it also warms up
    memory = {name: memory_mib(run, processes.device) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(seconds(run, processes.device))
    rate = matrix_rate(processes)
    rows = {
        name: {
            "samples_per_second": len(data) / median(taken),
            "times_the_bare_loop": median(a / b for a, b in zip(taken, times["bare loop"], strict=True)),
            "share_of_matrix_rate": counted[name] / median(taken) / rate,
            "memory_mib": memory[name],
        }
        for name, taken in times.items()
    }
    return {"net": net, "batch": batch, "matrix_rate": rate, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="32-true", choices=("32-true", "bf16-mixed"))
    parser.add_argument("--net", default="small", choices=sorted(NETS))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with joined(args.device, "ddp", args.precision) as processes:
        found = measure(args.net, args.batch, args.steps, args.repeats, processes)
    where = torch.cuda.get_device_name() if processes.device.type == "cuda" else "CPU"
    grid = Table("", "samples a second", "times the bare loop", "share of matrix rate", "peak memory, MiB",
                 title=f"{args.net}, batch {args.batch}, {args.precision}, {where}: a product reaches "
                 f"{found['matrix_rate'] / 1e9:.0f} GFLOP/s")  # fmt: skip
    for name, row in found["rows"].items():
        grid.add_row(
            name, f"{row['samples_per_second']:.0f}", f"{row['times_the_bare_loop']:.2f}",
            f"{row['share_of_matrix_rate']:.2f}", "" if row["memory_mib"] is None else f"{row['memory_mib']:.0f}",
        )  # fmt: skip
    Console(width=150).print(grid)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

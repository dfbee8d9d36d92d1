"""What an explanation costs: forward passes, and seconds beside one forward pass of the same net on the same case.

    python benchmarks/explanation_cost.py [--artifact DIR --data COHORT] [--cases 12] [--repeats 3] [--json FILE]

Without an artifact it writes a cohort and trains configs/quickstart.toml on it first. One thread, steps interleaved,
medians over cases. `forward` is the whole net on a batch of one without gradients; an integrated-gradients step is a
forward and a backward pass."""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import torch
from planted_truth import split, train_one

from clinimm.attribution.explain import explain
from clinimm.attribution.methods import Effort, Ends, integrated_gradients
from clinimm.attribution.question import ask
from clinimm.attribution.shapley import interaction_index, shapley_values, subset_logits
from clinimm.batch import Batch
from clinimm.data.cohort import read_cohort
from clinimm.inference import Predictor
from clinimm.report import html, record
from clinimm.types import Case

ROWS = 8


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `work`."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(predictor: Predictor, case: Case, repeats: int) -> dict[str, float]:
    """Seconds of each part of one explanation of the first target, and its forward passes."""
    network, target = predictor.network, predictor.config.target_names[0]
    batch = predictor.preparer.prepare(case)
    attribution = explain(network, batch, 0, target_name=target)
    question, effort = ask(network, batch, 0), Effort(0.01, attribution.steps, ROWS)
    ends = Ends(attribution.baseline_logit, attribution.logit)
    parts: dict[str, Callable[[], object]] = {
        "forward": lambda: forward(predictor, batch),
        "shapley": lambda: shapley(predictor, batch),
        "integrated gradients": lambda: integrated_gradients(question, ends, effort),
        "explain": lambda: explain(network, batch, 0, target_name=target),
        "report": lambda: html.render(record.build(predictor, case, predictor.predict([case])[0], [attribution])),
    }
    took = {name: seconds(work, repeats) for name, work in parts.items()}
    return {"steps": attribution.steps, "passes": attribution.forward_passes, **took}


def forward(predictor: Predictor, batch: Batch) -> None:
    with torch.inference_mode():
        predictor.network(batch)


def shapley(predictor: Predictor, batch: Batch) -> None:
    """Exact values and interactions of all inputs, the encoders run once."""
    question = ask(predictor.network, batch, 0)
    with torch.no_grad():
        tokens = question.tokens(*(question.embedded[name] for name in question.used))
    values = subset_logits(question, tokens)
    shapley_values(question.used, values)
    interaction_index(question.used, values)


def table(measured: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Medians over cases; `times_forward` are ratios taken case by case."""
    names = [name for name in measured[0] if name not in ("steps", "passes")]
    return {
        "cases": len(measured),
        "steps": statistics.median(one["steps"] for one in measured),
        "forward_passes": statistics.median(one["passes"] for one in measured),
        "ms": {name: round(1000 * statistics.median(one[name] for one in measured), 2) for name in names},
        "times_forward": {
            name: round(statistics.median(one[name] / one["forward"] for one in measured), 2) for name in names
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, help="a trained model; needs --data")
    parser.add_argument("--data", type=Path, help="the cohort that it was trained on")
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cohort = asked.data or Path(scratch) / "cohort"
        artifact = asked.artifact or train_one(cohort, Path(scratch) / "run", cases=300, seed=7)
        predictor = Predictor.load(artifact)
        cases = split(predictor.config, read_cohort(predictor.config, cohort)).test
        complete = [case for case in cases if len(case.inputs) == len(predictor.modalities)][: asked.cases]
        result = table([measure(predictor, case, asked.repeats) for case in complete])
    print(f"{result['cases']} cases, {result['steps']:g} steps, {result['forward_passes']:g} forward passes (medians)")
    print(f"{'':<24}{'ms':>10}{'x forward':>12}")
    for name, ms in result["ms"].items():
        print(f"{name:<24}{ms:>10.2f}{result['times_forward'][name]:>12.2f}")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

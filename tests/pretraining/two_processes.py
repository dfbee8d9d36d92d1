"""What two processes under torchrun do: `python -m torch.distributed.run ... two_processes.py OUT`.

Leaves of each strategy OUT/STRATEGY.safetensors, the gradient of one step by the size of its micro-batches, and
OUT/STRATEGY.json, the figures of a short run."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent.parent))

from small_corpora import HABITS, exact, gradients, rates, small_corpus, small_encoders, small_learner

from clinimm.pretraining.loop import Plan, fit
from clinimm.pretraining.processes import Processes, joined, whole
from clinimm.pretraining.sampling import draw, generator_of
from clinimm.pretraining.step import backward

PLAN = Plan(weight_decay=0.05, epochs=3, batch_size=7, clip=1.0, warmup=0.1, seed=3, habits=HABITS)
STRATEGIES = ("ddp", "fsdp")
MICRO_BATCHES = (None, 2)


def one_gradient(processes: Processes, micro_batch: int | None) -> dict[str, torch.Tensor]:
    """Of eleven cases, so that two processes have unequal parts, in float64."""
    corpus = exact(small_corpus(11))
    encoders = small_encoders().double().train()
    learner = small_learner(encoders, micro_batch=micro_batch, processes=processes)
    backward(learner, corpus, draw(corpus, torch.arange(11), HABITS, generator_of(0)), (0, 0, 0))
    return {name: whole(gradient).clone() for name, gradient in gradients(encoders, learner).items()}


def short_run(processes: Processes, folder: Path) -> list[dict[str, float]]:
    encoders = small_encoders()
    learner = small_learner(encoders, processes=processes)
    train, val = small_corpus(22), small_corpus(8, seed=5)
    standing = fit(
        learner, encoders, rates(encoders, learner), train, val, PLAN,
        folder=folder, fingerprint="f", on_epoch=lambda figures: None,
    )  # fmt: skip
    return standing.history


def main(out: Path) -> None:
    with joined("cpu") as alike:
        for strategy in STRATEGIES:
            processes = replace(alike, strategy=strategy)
            found = {f"{size}/{n}": g for size in MICRO_BATCHES for n, g in one_gradient(processes, size).items()}
            figures = short_run(processes, out / strategy)
            assert short_run(processes, out / strategy) == figures  # from its last checkpoint, with nothing left to do
            if processes.leads:
                save_file(found, out / f"{strategy}.safetensors")
                (out / f"{strategy}.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))

"""What explaining a case costs beside plain Captum, in passes, seconds and memory: for `benchmarks/attribution.py`.

A case is explained for all its targets, as a report is. Captum is given the whole committee as one function of all
embedded inputs, a target at a time, and its steps are doubled from its default of 50 until its maps add up as closely
as ours must; all encoders run at every step. Its modality Shapley values are `ShapleyValues` over the presence of the
inputs. `off the limit`: by how much the maps differ from Captum's with 400 steps, as a share of these. Of a large model
these steps and the tests are left out: they would take a quarter of an hour."""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, ShapleyValues
from torch import Tensor

from clinimm.attribution.checked import explain_checked
from clinimm.attribution.checks import allowed
from clinimm.attribution.committee import explain_together
from clinimm.attribution.kept import Member
from clinimm.attribution.question import Question, ask
from clinimm.attribution.shapley import interaction_index, shapley_values, subset_answers
from clinimm.attribution.smoothing import smoothed
from clinimm.batch import Batch
from clinimm.inference import Predictor, care_of
from clinimm.models.committee import Committee
from clinimm.types import Attribution, Case

TOLERANCE, MOST = 0.01, 400
ROWS, ROWS_OF_LARGE = 64, 8  # that Captum runs at once: all members' graphs are held together
WARM = 3  # times that small nets are timed: a worker explains one case after another
Asked = list[tuple[float, Question]]
Maps = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """The median seconds of some work, by how many MB a process that does nothing else grows, and what came of it."""

    seconds: float
    megabytes: float
    value: Any


def costs(predictor: Predictor, cases: Sequence[Case], *, is_large: bool = False) -> dict[str, Any]:
    """Medians over complete cases; of a large model without what would take a quarter of an hour."""
    rows = [_of_case(predictor, predictor.admit(case)[0], is_large) for case in cases]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]} | {"cases": len(rows)}


def _of_case(predictor: Predictor, batch: Batch, is_large: bool) -> dict[str, float]:
    network, care = predictor.network, care_of(predictor.config.explain)
    targets = {name: place for place, name in enumerate(predictor.config.target_names)}
    members = network.members_for(batch)
    plain = [_asked(members, batch, place) for place in targets.values()]
    forward, repeats = _run(lambda: _forward(predictor, batch), 5), 1 if is_large else WARM
    runs = {
        "our Shapley": _run(lambda: _shapley(members, batch), 5),
        "Captum's Shapley": _run(lambda: _captum_shapley(predictor, batch)),
        "our explanation": _run(lambda: _explained(network, batch, targets), repeats),
    }
    if not is_large:
        runs["our explanation, checked"] = _run(lambda: explain_checked(network, batch, targets, care), repeats)
    ours: list[Attribution] = runs["our explanation"].value
    changes = [one.logit - one.baseline_logit for one in ours]
    rows = ROWS_OF_LARGE if is_large else ROWS
    theirs = [_captum(asked, change, rows, repeats) for asked, change in zip(plain, changes, strict=True)]
    steps = [count for count, _ in theirs]
    runs["Captum's maps alone"] = Run(
        sum(run.seconds for _, run in theirs), max(run.megabytes for _, run in theirs), None
    )
    return {
        "ms, forward": 1000 * forward.seconds,
        **{f"ms, {name}": 1000 * run.seconds for name, run in runs.items()},
        **{f"x forward, {name}": run.seconds / forward.seconds for name, run in runs.items()},
        **{f"MB, {name}": run.megabytes for name, run in runs.items() if "Shapley" not in name},
        "targets": len(targets),
        "passes, ours": sum(one.forward_passes for one in ours),
        "passes, Captum": sum((count + 2) * len(asked) for count, asked in zip(steps, plain, strict=True)),
        "times faster": runs["Captum's maps alone"].seconds / runs["our explanation"].seconds,
        "gap, ours": max(one.checks[0].value for one in ours),
        "gap, Captum": max(
            abs(run.value - change) / max(abs(change), 0.1) for (_, run), change in zip(theirs, changes, strict=True)
        ),
        **({} if is_large else _off_limit(plain, [one.maps for one in ours], steps)),
    }


def _asked(members: Sequence[Member], batch: Batch, target: int) -> Asked:
    return [(float(part[target]), ask(one, batch, target)) for one, part in members if float(part[target]) > 0]


def _explained(network: Committee, batch: Batch, targets: Mapping[str, int]) -> list[Attribution]:
    return explain_together(network, [(batch, target) for target in targets.items()])


def _forward(predictor: Predictor, batch: Batch) -> None:
    with torch.inference_mode():
        predictor.network(batch)


def _shapley(members: Sequence[Member], batch: Batch) -> None:
    """Exact values and interactions of all inputs, for all targets, the encoders run once."""
    asked = [(part, ask(net, batch, 0)) for net, part in members if bool((part > 0).any())]
    with torch.no_grad():
        each = [(part, subset_answers(q, q.tokens(*(q.embedded[name] for name in q.used)))) for part, q in asked]
        whole = {subset: sum(part * found[subset] for part, found in each) for subset in each[0][1]}
    used = asked[0][1].used
    for target in range(len(asked[0][0])):
        values = {subset: float(logits[target]) for subset, logits in whole.items()}
        shapley_values(used, values)
        interaction_index(used, values)


def _captum_shapley(predictor: Predictor, batch: Batch) -> None:
    def answer(present: Tensor) -> Tensor:
        rows = [predictor.network(batch, one[None] > 0.5).logits[:, 0] for one in present]
        return torch.cat(rows)

    with torch.no_grad():
        ShapleyValues(answer).attribute(batch.present.float(), baselines=0.0)


def _ends(asked: Asked) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    flat = [(q.embedded[name], q.baseline[name]) for _, q in asked for name in q.used]
    return tuple(one for one, _ in flat), tuple(one for _, one in flat)


def _captum(asked: Asked, change: float, rows: int, repeats: int) -> tuple[int, Run]:
    """The fewest doublings of 50 steps with which Captum's maps add up, and what they cost and sum to."""
    steps = 50
    while True:
        maps = partial(_maps, asked, steps, rows)
        run = _run(lambda: sum(float(values.sum(dtype=np.float64)) for values in maps().values()), repeats)  # noqa: B023
        if abs(run.value - change) <= allowed(change, TOLERANCE) or steps >= MOST:
            return steps, run
        steps *= 2


def _off_limit(plain: Sequence[Asked], ours: Sequence[Maps], steps: Sequence[int]) -> dict[str, float]:
    limits = [_as_read(_maps(asked, MOST)) for asked in plain]
    theirs = [_as_read(_maps(asked, count)) for asked, count in zip(plain, steps, strict=True)]
    return {
        f"off the limit, {whose}": max(map(_off, maps, limits)) for whose, maps in (("ours", ours), ("Captum", theirs))
    }


def _as_read(maps: Maps) -> Maps:
    """With pictures' maps smoothed, as ours are."""
    return {name: smoothed(values) if values.ndim > 1 else values for name, values in maps.items()}


def _off(maps: Mapping[str, np.ndarray], limit: Mapping[str, np.ndarray]) -> float:
    """How far maps are from those of very many steps, as a share of these."""
    apart = sum(float(np.abs(maps[name] - values).sum()) for name, values in limit.items())
    return apart / sum(float(np.abs(values).sum()) for values in limit.values())


def _maps(asked: Asked, steps: int, rows: int = ROWS) -> dict[str, np.ndarray]:
    """Captum's maps with so many steps, words summed, all members together."""
    count = len(asked[0][1].used)

    def answer(*given: Tensor) -> Tensor:
        parts = [part * q.logits(*given[i * count : (i + 1) * count]) for i, (part, q) in enumerate(asked)]
        return torch.stack(parts).sum(0)

    case, baseline = _ends(asked)
    found = IntegratedGradients(answer).attribute(case, baselines=baseline, n_steps=steps, internal_batch_size=rows)
    shapes = {modality.name: modality.shape for modality in asked[0][1].network.modalities}
    maps: dict[str, np.ndarray] = {}
    for name, values in zip([name for _, q in asked for name in q.used], found, strict=True):
        own = values[0].detach().numpy()
        own = own.sum(-1) if own.ndim > len(shapes[name]) else own
        maps[name] = maps.get(name, 0) + own
    return maps


def _run(work: Callable[[], Any], repeats: int = 1) -> Run:
    """Does the work in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
        for _ in range(repeats):
            start = time.perf_counter()
            value = work()
            times.append(time.perf_counter() - start)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        sender.send(Run(statistics.median(times), grown, value))

    child = context.Process(target=run)
    child.start()
    sender.close()
    try:
        found: Run = receiver.recv()
    except EOFError:
        sys.exit("what was to be timed died, for want of memory perhaps")
    child.join()
    return found

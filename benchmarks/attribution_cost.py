"""What explaining a case costs beside plain Captum, in passes, seconds and memory: for `benchmarks/attribution.py`.

A case is explained for all its targets, as a report is. Captum is given the whole committee as one function of all
embedded inputs, a target at a time, and its steps are doubled from its default of 50 until its maps add up as closely
as ours must; all encoders run at every step. Its modality Shapley values are `ShapleyValues` over the presence of the
inputs. `off the limit`: by how much the maps differ from Captum's with 400 steps, as a share of these; not told of a
model so large that these steps take a quarter of an hour."""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
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
from clinimm.batch import Batch
from clinimm.inference import Predictor, care_of
from clinimm.models.committee import Committee
from clinimm.types import Attribution, Case

TOLERANCE, MOST = 0.01, 400
ROWS = 64
Asked = list[tuple[float, Question]]
Maps = Mapping[str, np.ndarray]


def costs(predictor: Predictor, cases: Sequence[Case], *, with_limit: bool = True) -> dict[str, Any]:
    """Medians over complete cases."""
    rows = [_of_case(predictor, predictor.admit(case)[0], with_limit) for case in cases]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]} | {"cases": len(rows)}


def _of_case(predictor: Predictor, batch: Batch, with_limit: bool) -> dict[str, float]:
    network, care = predictor.network, care_of(predictor.config.explain)
    targets = {name: place for place, name in enumerate(predictor.config.target_names)}
    members = network.members_for(batch)
    plain = {place: _asked(members, batch, place) for place in targets.values()}
    ours = _explained(network, batch, targets)
    moved = [abs(one.logit - one.baseline_logit) for one in ours]
    steps, gaps = zip(
        *(_steps_needed(plain[i], one.logit - one.baseline_logit) for i, one in enumerate(ours)), strict=True
    )
    works: dict[str, Callable[[], object]] = {
        "forward": lambda: _forward(predictor, batch),
        "our Shapley": lambda: _shapley(members, batch),
        "Captum's Shapley": lambda: _captum_shapley(predictor, batch),
        "our explanation": lambda: _explained(network, batch, targets),
        "our explanation of one target": lambda: _explained(network, batch, dict([*targets.items()][:1])),
        "our explanation, checked": lambda: explain_checked(network, batch, targets, care),
        "Captum's maps alone": lambda: [_captum(plain[i], count) for i, count in enumerate(steps)],
    }
    took = {name: _seconds(work) for name, work in works.items()}
    memory = {
        f"MB, {name}": _megabytes(work) for name, work in works.items() if "maps" in name or "explanation" in name
    }
    return {
        **{f"ms, {name}": 1000 * one for name, one in took.items()},
        **{f"x forward, {name}": one / took["forward"] for name, one in took.items()},
        **memory,
        "passes, ours": sum(one.forward_passes for one in ours),
        "passes, Captum": sum((count + 2) * len(plain[i]) for i, count in enumerate(steps)),
        "times faster": took["Captum's maps alone"] / took["our explanation"],
        "gap, ours": max(one.checks[0].value for one in ours),
        "gap, Captum": max(gap / max(change, 0.1) for gap, change in zip(gaps, moved, strict=True)),
        **(_off_limit(plain, [one.maps for one in ours], steps) if with_limit else {}),
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


def _captum(asked: Asked, steps: int) -> float:
    """What Captum's maps with so many steps sum to."""
    return sum(float(values.sum(dtype=np.float64)) for values in _maps(asked, steps).values())


def _off_limit(plain: Mapping[int, Asked], ours: Sequence[Maps], steps: Sequence[int]) -> dict[str, float]:
    limits = [_maps(asked, MOST) for asked in plain.values()]
    theirs = [_maps(asked, count) for asked, count in zip(plain.values(), steps, strict=True)]
    return {
        f"off the limit, {whose}": max(map(_off, maps, limits)) for whose, maps in (("ours", ours), ("Captum", theirs))
    }


def _off(maps: Mapping[str, np.ndarray], limit: Mapping[str, np.ndarray]) -> float:
    """How far maps are from those of very many steps, as a share of these."""
    apart = sum(float(np.abs(maps[name] - values).sum()) for name, values in limit.items())
    return apart / sum(float(np.abs(values).sum()) for values in limit.values())


def _maps(asked: Asked, steps: int) -> dict[str, np.ndarray]:
    """Captum's maps with so many steps, words summed, all members together."""
    count = len(asked[0][1].used)

    def answer(*given: Tensor) -> Tensor:
        parts = [part * q.logits(*given[i * count : (i + 1) * count]) for i, (part, q) in enumerate(asked)]
        return torch.stack(parts).sum(0)

    case, baseline = _ends(asked)
    found = IntegratedGradients(answer).attribute(case, baselines=baseline, n_steps=steps, internal_batch_size=ROWS)
    shapes = {modality.name: modality.shape for modality in asked[0][1].network.modalities}
    maps: dict[str, np.ndarray] = {}
    for name, values in zip([name for _, q in asked for name in q.used], found, strict=True):
        own = values[0].detach().numpy()
        own = own.sum(-1) if own.ndim > len(shapes[name]) else own
        maps[name] = maps.get(name, 0) + own
    return maps


def _steps_needed(asked: Asked, change: float) -> tuple[int, float]:
    """The fewest doublings of 50 steps that add up, and the gap that is left in logits."""
    steps = 50
    while (gap := abs(_captum(asked, steps) - change)) > allowed(change, TOLERANCE) and steps < MOST:
        steps *= 2
    return steps, gap


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _megabytes(work: Callable[[], object]) -> float:
    """By how much a process that does nothing but `work` grows at its peak."""
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()

    def run() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        told.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)

    child = context.Process(target=run)
    child.start()
    child.join()
    return float(told.get())

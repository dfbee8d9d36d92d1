"""What an explanation costs beside plain Captum, in passes, seconds and memory: for `benchmarks/attribution.py`.

Captum is given the whole committee as one function of all embedded inputs, and its steps are doubled from its default
of 50 until its maps add up as closely as ours must; all encoders run at every step. Its modality Shapley values are
`ShapleyValues` over the presence of the inputs. `off the limit`: by how much the maps differ from Captum's with 400
steps, as a share of these; not told of a model so large that these steps take a quarter of an hour."""

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
from clinimm.attribution.committee import explain_committee, members_answering
from clinimm.attribution.question import Question, ask
from clinimm.attribution.shapley import interaction_index, shapley_values, subset_logits
from clinimm.batch import Batch
from clinimm.inference import Predictor, care_of
from clinimm.types import Case

TOLERANCE, MOST = 0.01, 400
ROWS = 64
Asked = list[tuple[float, Question]]


def costs(predictor: Predictor, cases: Sequence[Case], *, with_limit: bool = True) -> dict[str, Any]:
    """Medians over complete cases, of the first target."""
    rows = [_of_case(predictor, predictor.admit(case)[0], with_limit) for case in cases]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]} | {"cases": len(rows)}


def _of_case(predictor: Predictor, batch: Batch, with_limit: bool) -> dict[str, float]:
    network, target = predictor.network, predictor.config.target_names[0]
    asked, plain = (
        [(float(part[0]), ask(one, batch, 0)) for one, part in members if float(part[0]) > 0]
        for members in (members_answering(network, batch, 0), network.members_for(batch))
    )
    care = care_of(predictor.config.explain)
    ours = explain_committee(network, batch, 0, target_name=target)
    steps, gap = _steps_needed(plain, ours.logit - ours.baseline_logit)
    works: dict[str, Callable[[], object]] = {
        "forward": lambda: _forward(predictor, batch),
        "our Shapley": lambda: _shapley(asked),
        "Captum's Shapley": lambda: _captum_shapley(predictor, batch),
        "our explanation": lambda: explain_committee(network, batch, 0, target_name=target),
        "our explanation, checked": lambda: explain_checked(network, batch, {target: 0}, care),
        "Captum's maps alone": lambda: _captum(plain, steps),
    }
    took = {name: _seconds(work) for name, work in works.items()}
    memory = {
        f"MB, {name}": _megabytes(work) for name, work in works.items() if "maps" in name or "explanation" in name
    }
    change = abs(ours.logit - ours.baseline_logit)
    return {
        **{f"ms, {name}": 1000 * one for name, one in took.items()},
        **{f"x forward, {name}": one / took["forward"] for name, one in took.items()},
        **memory,
        "passes, ours": ours.forward_passes,
        "passes, Captum": steps * len(asked) + 2 * len(asked),
        "times faster": took["Captum's maps alone"] / took["our explanation"],
        "gap, ours": ours.checks[0].value,
        "gap, Captum": gap / max(change, 0.1),
        **(_off_limit(asked, ours.maps, steps) if with_limit else {}),
    }


def _forward(predictor: Predictor, batch: Batch) -> None:
    with torch.inference_mode():
        predictor.network(batch)


def _shapley(asked: Asked) -> None:
    """Exact values and interactions of all inputs, the encoders run once."""
    with torch.no_grad():
        each = [(part, subset_logits(q, q.tokens(*(q.embedded[name] for name in q.used)))) for part, q in asked]
    values = {subset: sum(part * found[subset] for part, found in each) for subset in each[0][1]}
    used = asked[0][1].used
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


def _off_limit(asked: Asked, ours: Mapping[str, np.ndarray], steps: int) -> dict[str, float]:
    limit = _maps(asked, MOST)
    return {"off the limit, ours": _off(ours, limit), "off the limit, Captum": _off(_maps(asked, steps), limit)}


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

"""Why a committee gave its logit: its members' explanations, each with its part.

The committee's logit is a weighted mean of its members', and maps, Shapley values and interactions are linear in the
logit, so those of the committee are the same weighted means."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from clinimm.attribution.checks import FLOOR, completeness, efficiency
from clinimm.attribution.explain import MAX_STEPS, explain
from clinimm.batch import Batch
from clinimm.models.committee import Committee
from clinimm.types import Attribution

Part = tuple[float, Attribution]


def explain_committee(
    committee: Committee,
    batch: Batch,
    target_index: int,
    *,
    target_name: str,
    tolerance: float = 0.01,
    max_steps: int = MAX_STEPS,
) -> Attribution:
    """The explanation of a batch of one; `committee` must be in evaluation mode. Members without a part in this target
    are not asked. Where members pull apart, what is left of their changes is small beside their gaps: they are then
    asked again for gaps as much smaller. Raises ValueError for a batch of more than one."""
    members = [(float(part[target_index]), one) for one, part in committee.members_for(batch)]

    def parts(gap: float) -> list[Part]:
        return [
            (part, explain(one, batch, target_index, target_name=target_name, tolerance=gap, max_steps=max_steps))
            for part, one in members
            if part > 0
        ]

    first = parts(tolerance)
    found = combined(first, tolerance)
    pull = sum(part * abs(one.logit - one.baseline_logit) for part, one in first)
    left = max(abs(found.logit - found.baseline_logit), FLOOR / tolerance)
    if found.checks[0].passed or left >= pull:
        return found
    return combined(parts(tolerance * left / pull), tolerance)


def combined(parts: Sequence[Part], tolerance: float) -> Attribution:
    """The weighted sum of explanations of the same target of the same case."""
    first = parts[0][1]
    maps = {
        name: np.sum([part * one.maps[name].astype(np.float64) for part, one in parts], axis=0).astype(np.float32)
        for name in first.maps
    }
    logit, prior, baseline = np.sum(
        [[part * value for value in (one.logit, one.prior_logit, one.baseline_logit)] for part, one in parts], axis=0
    ).tolist()
    net = {name: float(values.sum(dtype=np.float64)) for name, values in maps.items()}
    shapley = _sums(parts, lambda one: one.shapley)
    return Attribution(
        case_id=first.case_id,
        target=first.target,
        method=first.method,
        baselines=first.baselines,
        maps=maps,
        net=net,
        gross={name: float(np.abs(values).sum(dtype=np.float64)) for name, values in maps.items()},
        shapley=shapley,
        interactions=_sums(parts, lambda one: one.interactions),
        subsets=_sums(parts, lambda one: one.subsets),
        logit=logit,
        prior_logit=prior,
        baseline_logit=baseline,
        steps=max(one.steps for _, one in parts),
        forward_passes=sum(one.forward_passes for _, one in parts),
        checks=(
            completeness(sum(net.values()), logit - baseline, tolerance),
            efficiency(sum(shapley.values()), logit, prior),
        ),
    )


def _sums(parts: Sequence[Part], read: Callable[[Attribution], Mapping[str, float]]) -> dict[str, float]:
    return {name: float(sum(weight * read(one)[name] for weight, one in parts)) for name in read(parts[0][1])}

"""Whether an artifact's explanations explain it: their maps add up, and they are not those of a shuffled net.

Source: Sundararajan, Taly & Yan 2017 (completeness); Adebayo et al. 2018, Sanity Checks for Saliency Maps (maps that do
not change with the weights show the picture, not the model)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from clinimm.attribution.committee import explain_committee
from clinimm.attribution.explain import MAX_STEPS, explain
from clinimm.attribution.network import Explainable
from clinimm.attribution.trust.randomized import SHUFFLES, STEPS, cosine, shuffled
from clinimm.batch import Batch
from clinimm.evaluation.limits import Finding
from clinimm.models.committee import Committee
from clinimm.types import Attribution

TOLERANCE = 0.01  # of the maps' sum, as in every explanation


def explanations_hold(
    network: nn.Module, batch: Batch, targets: Sequence[str], *, cases: int, incomplete: float, resemblance: float,
    seed: int,
) -> list[Finding]:  # fmt: skip
    """Explains `cases` of the batch, those with the most inputs first, each for one of the targets in turn."""
    rows = _most_inputs(batch, cases)
    if not rows:
        return [Finding("explanations", None, "no case with a usable input to explain")]
    asked = [(batch.rows(torch.tensor([row])), place % len(targets)) for place, row in enumerate(rows)]
    ours = [_explained(network, one, j, targets[j]) for one, j in asked]
    failed = [a for a in ours if not all(check.passed for check in a.checks)]
    told = f"{len(ours) - len(failed)} of {len(ours)} explained cases add up to their logit"
    return [
        Finding("completeness", len(failed) <= incomplete * len(ours), told),
        _resemblance(network, asked, ours, targets, resemblance, seed),
    ]


def _resemblance(
    network: nn.Module, asked: Sequence[tuple[Batch, int]], ours: Sequence[Attribution], targets: Sequence[str],
    limit: float, seed: int,
) -> Finding:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    cosines = []
    for _ in range(SHUFFLES):
        other = shuffled(network, generator)
        theirs = [_explained(other, one, j, targets[j], max_steps=STEPS) for one, j in asked]
        cosines += [cosine(a, b) for a, b in zip(ours, theirs, strict=True)]
    mean = float(np.mean(cosines))
    told = f"maps of a net with shuffled weights resemble these by {mean:+.2f} (cosine; limit {limit:.2f})"
    return Finding("randomized weights", mean <= limit, told)


def _explained(network: nn.Module, one: Batch, target: int, name: str, max_steps: int = MAX_STEPS) -> Attribution:
    """The explanation of a committee, or of a single net."""
    if isinstance(network, Committee):
        here = one.to(network.prior.device)
        return explain_committee(network, here, target, target_name=name, tolerance=TOLERANCE, max_steps=max_steps)
    assert isinstance(network, Explainable)  # noqa: S101 - what we train is
    return explain([(network, 1.0)], one.to(network.prior.device), target, target_name=name, max_steps=max_steps)


def _most_inputs(batch: Batch, cases: int) -> list[int]:
    """Rows of the cases with the most inputs, and no case without any."""
    counts = batch.present.sum(1)
    order = torch.argsort(counts, descending=True, stable=True).tolist()
    return [row for row in order if counts[row] > 0][:cases]

"""Zero-shot scores of a cohort, and how well they tell yes from no where the answer is known."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from clinimm.backbone.directory import Backbone
from clinimm.backbone.encode import encode_pictures
from clinimm.bootstrap import Estimate, Values, Weights, patient_bootstrap
from clinimm.config import ZeroShotConfig
from clinimm.data.pairs import look
from clinimm.data.picture_door import PictureDoor
from clinimm.evaluation.grid import Grid, figure
from clinimm.metrics import weighted_auroc
from clinimm.retrieval.zeroshot import Prompted, target_scores
from clinimm.types import Case


@dataclass(frozen=True)
class Scored:
    """n cases with a readable picture, k targets. `refused` counts the other cases, by why."""

    cases: tuple[Case, ...]
    targets: tuple[str, ...]
    scores: Float[np.ndarray, "n k"]
    refused: dict[str, int]


@dataclass(frozen=True)
class Judged:
    """One target where its answer is known."""

    target: str
    cases: int
    positives: int
    auroc: Estimate


def score_cases(
    backbone: Backbone,
    cases: Sequence[Case],
    door: PictureDoor,
    prompts: Prompted,
    config: ZeroShotConfig,
    *,
    workers: int = 1,
    on_done: Callable[[int], None] = lambda _: None,
) -> Scored:
    """Every target's score of each case whose picture can be read."""
    kept: list[Case] = []
    parts: list[Tensor] = []
    refused: Counter[str] = Counter()
    for block in look(cases, door, workers=workers, on_done=on_done):
        refused.update(seen or "no_picture" for _, seen in block if not isinstance(seen, Tensor))
        seen = [(case, pixels) for case, pixels in block if isinstance(pixels, Tensor)]
        if not seen:
            continue
        kept += [case for case, _ in seen]
        vectors = encode_pictures(backbone, torch.stack([pixels for _, pixels in seen]))
        columns = [
            target_scores(vectors, one, ensemble=config.ensemble, score=config.score, scale=backbone.scale)
            for one in prompts.targets.values()
        ]
        parts.append(torch.stack(columns, dim=1))
    scores = torch.cat(parts).cpu().double().numpy() if parts else np.zeros((0, len(prompts.targets)))
    return Scored(tuple(kept), tuple(prompts.targets), scores, dict(refused))


def judge_scores(found: Scored, *, resamples: int, seed: int) -> tuple[Judged, ...]:
    """The AUROC of each target whose answer is known of some case."""
    judged = []
    for column, name in enumerate(found.targets):
        known = [i for i, case in enumerate(found.cases) if case.targets.get(name) is not None]
        if not known:
            continue
        labels = np.array([bool(found.cases[i].targets[name]) for i in known])
        scores = found.scores[known, column]

        def auroc(weights: Weights, labels: np.ndarray = labels, scores: np.ndarray = scores) -> Values:
            return weighted_auroc(labels, scores, weights)

        patients = [found.cases[i].patient_id for i in known]
        estimate = patient_bootstrap({"auroc": auroc}, patients, resamples=resamples, seed=seed)["auroc"]
        judged.append(Judged(name, len(known), int(labels.sum()), estimate))
    return tuple(judged)


def judged_grid(judged: Sequence[Judged], config: ZeroShotConfig, prompts: Prompted) -> Grid:
    rows = tuple((one.target, str(one.cases), str(one.positives), figure(one.auroc)) for one in judged)
    notes = [f"{prompts.count} prompts, ensemble {config.ensemble}; 95 % intervals by drawing patients. Chance is 0.5."]
    if prompts.cut:
        notes.append(f"{prompts.cut} prompts were longer than the text tower reads, and cut.")
    return Grid("Zero-shot: no label was trained on", ("target", "cases", "yes", "AUROC"), rows, tuple(notes))

"""What the guard blocks is hidden before anything is fused; what it says of the rest goes with the answer. b cases."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from clinimm.batch import Batch, ModalityBatch
from clinimm.config import Config
from clinimm.guard.guards import Guards
from clinimm.guard.judgement import Judgement, Verdict
from clinimm.pseudonyms import hashed
from clinimm.types import Case, InputState, Modality, Outlier, Status

FOLDS = 3


def fit_guards(config: Config, modalities: Sequence[Modality], batch: Batch, cases: Sequence[Case]) -> Guards:
    """The guards of the training cases, which stand in the order of `batch`; patients are dealt to folds by a hash."""
    folds = torch.tensor([int(hashed(case.patient_id)[:8], 16) % FOLDS for case in cases])
    return Guards.fit(modalities, batch, folds, config.inputs, cases=cases, seed=config.run.seed)


def admit(guards: Guards, batch: Batch) -> tuple[Batch, tuple[Mapping[str, Outlier], ...]]:
    """The batch with every blocked input absent, its state rejected for the guard's first reason; and for each case how
    odd its guarded inputs are, the blocked ones too."""
    verdicts = guards.judge(batch)
    parts = {
        name: _admit(part, verdicts[name]) if name in verdicts else part for name, part in batch.modalities.items()
    }
    rows = [{name: one[i] for name, one in verdicts.items()} for i in range(len(batch))]
    return replace(batch, modalities=parts), tuple(_outliers(row) for row in rows)


def _admit(part: ModalityBatch, judged: tuple[Judgement | None, ...]) -> ModalityBatch:
    blocked = [found is not None and found.verdict is Verdict.BLOCK for found in judged]
    if not any(blocked):
        return part
    states = tuple(
        _refused(state, found) if found is not None and stop else state
        for state, found, stop in zip(part.states, judged, blocked, strict=True)
    )
    return replace(part, present=part.present & ~torch.tensor(blocked, device=part.present.device), states=states)


def _refused(state: InputState, found: Judgement) -> InputState:
    reason = found.reasons[0] if found.reasons else "unlike_training"
    detail = f"odder than {found.percentile:.1f} % of valid inputs of its kind"
    return replace(state, status=Status.REJECTED, reason=reason, detail=detail)


def _outliers(judged: Mapping[str, Judgement | None]) -> dict[str, Outlier]:
    return {
        name: Outlier(found.percentile, found.verdict.value, found.reasons)
        for name, found in judged.items()
        if found is not None
    }

"""One model and its test cases, put through every probe; what comes out can be joined over folds.

n cases, k targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import logit
from torch import Tensor

from clinimm.batch import Batch, ModelOutput, Tokens
from clinimm.calibration import Calibrator
from clinimm.evaluation.probes.changes import (
    SWAPPED,
    Change,
    Changed,
    known_of,
    picture_changes,
    table_changes,
    typical_value,
)
from clinimm.evaluation.probes.shortcuts import Sight, Sizes, gap_logits, shortcut_logits, with_gaps
from clinimm.scores import subset_name
from clinimm.types import Kind, Modality

ROWS = 64  # cases through a model at once
SUREST = 1e-9

ByTarget: TypeAlias = Float[np.ndarray, "n k"]
Key = TypeVar("Key")


@runtime_checkable
class Model(Protocol):
    """A network or a committee of them, as far as probes need one."""

    @property
    def modalities(self) -> tuple[Modality, ...]: ...

    def tokens(self, batch: Batch, present: Bool[Tensor, "b m"]) -> dict[str, Tokens]: ...

    def fuse(
        self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"], quality: Mapping[str, Float[Tensor, "b _"]]
    ) -> ModelOutput: ...


@dataclass(frozen=True)
class Probed:
    """What a model and the shortcuts said of test cases: calibrated logits. `shortcuts` by sort and name, NaN where one
    has nothing to see; `changed` NaN where a change leaves a case as it is; `gaps` by "" (as they came) and by the
    table in which another case's gaps stand."""

    patient_ids: tuple[str, ...]
    target_names: tuple[str, ...]
    targets: ByTarget
    sites: tuple[str, ...]
    base: ByTarget
    shortcuts: dict[tuple[str, str], ByTarget]
    changed: dict[Change, ByTarget]
    gaps: dict[str, ByTarget]

    @staticmethod
    def concat(parts: Sequence["Probed"]) -> "Probed":
        """The folds of a cross-validation, each probed by its own model."""
        first = parts[0]
        return Probed(
            patient_ids=tuple(patient for part in parts for patient in part.patient_ids),
            target_names=first.target_names,
            targets=np.concatenate([part.targets for part in parts]),
            sites=tuple(site for part in parts for site in part.sites),
            base=np.concatenate([part.base for part in parts]),
            shortcuts=_joined([part.shortcuts for part in parts]),
            changed=_joined([part.changed for part in parts]),
            gaps=_joined([part.gaps for part in parts]),
        )


def probe(
    model: Model,
    calibrator: Calibrator,
    train: Sight,
    test: Sight,
    *,
    target_names: Sequence[str],
    sizes: Sizes | None = None,
    site: str = "site",
    seed: int = 0,
) -> Probed:
    """What the model, and learners of shortcuts trained on `train`, say of `test`. `sizes` are the stored sizes of the
    pictures of both, see `picture_sizes`; `site` is the attribute that names the hospital."""
    answers = _Answers(model, calibrator)
    changed: dict[Change, ByTarget] = {}
    gaps = {"": gap_logits(train.plain, test.plain, seed)}
    for modality in model.modalities:
        if modality.kind is Kind.IMAGE:
            typical = typical_value(train.batch.modalities[modality.name])
            changes = picture_changes(test.batch, modality, typical)
        elif modality.kind is Kind.TABULAR:
            changes = table_changes(test.batch, modality, seed)
            swapped = changes[Change(SWAPPED, modality.name)].batch.modalities[modality.name]
            told = with_gaps(test.plain, modality.name, known_of(swapped))
            gaps[modality.name] = gap_logits(train.plain, told, seed)
        else:
            continue
        changed |= {change: answers.of_changed(one) for change, one in changes.items()}
    return Probed(
        patient_ids=test.plain.patient_ids,
        target_names=tuple(target_names),
        targets=test.plain.targets,
        sites=tuple(case.attributes.get(site, "") for case in test.cases),
        base=answers.of(test.batch),
        shortcuts=shortcut_logits(train, test, model.modalities, sizes or {}, site, seed),
        changed=changed,
        gaps=gaps,
    )


@dataclass(frozen=True)
class _Answers:
    """The model's calibrated logits."""

    model: Model
    calibrator: Calibrator

    @torch.inference_mode()
    def of(self, batch: Batch) -> ByTarget:
        """Of each case with what it has; NaN where it has nothing."""
        logits = [self._logits(batch.rows(rows)) for rows in torch.arange(len(batch)).split(ROWS)]
        present = batch.present.cpu().numpy()
        names = [modality.name for modality in self.model.modalities]
        patterns = [subset_name([name for name, there in zip(names, row, strict=True) if there]) for row in present]
        raw = np.concatenate(logits) if logits else np.zeros((0, len(self.calibrator.targets)))
        probabilities = np.clip(self.calibrator.apply(raw, patterns), SUREST, 1 - SUREST)
        nothing = np.asarray(~present.any(axis=1))
        return np.where(nothing[:, None], np.nan, logit(probabilities))

    def of_changed(self, changed: Changed) -> ByTarget:
        """Of the cases that were changed; NaN for the others, and where nothing is left."""
        found = np.full((len(changed.batch), len(self.calibrator.targets)), np.nan)
        rows = changed.rows.nonzero()[:, 0]
        if len(rows):
            found[rows.cpu().numpy()] = self.of(changed.batch.rows(rows))
        return found

    def _logits(self, part: Batch) -> ByTarget:
        tokens = self.model.tokens(part, part.present)
        return self.model.fuse(tokens, part.present, part.quality).logits.double().cpu().numpy()


def _joined(parts: Sequence[dict[Key, Float[np.ndarray, "_ k"]]]) -> dict[Key, Float[np.ndarray, "_ k"]]:
    """What every part has, in the order of the first, one part after the other."""
    shared = [key for key in parts[0] if all(key in part for part in parts)]
    return {key: np.concatenate([part[key] for part in parts]) for key in shared}

"""The guards of a model, one for each of its inputs that has enough valid cases to learn from. b cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from clinimm.batch import Batch, ModalityBatch
from clinimm.config import ImageInput, InputSection
from clinimm.errors import ArtifactError, ConfigError
from clinimm.guard.judgement import Judgement, Verdict
from clinimm.guard.notes import NoteGuard
from clinimm.guard.panels import PanelGuard
from clinimm.guard.pictures import PictureGuard
from clinimm.types import Case, Kind, Modality

AnyGuard: TypeAlias = PictureGuard | NoteGuard | PanelGuard
Verdicts: TypeAlias = dict[str, tuple[Judgement | None, ...]]
GUARDS: dict[Kind, type[AnyGuard]] = {
    Kind.IMAGE: PictureGuard, Kind.TEXT: NoteGuard, Kind.TABULAR: PanelGuard,
}  # fmt: skip


@dataclass(frozen=True)
class Guards:
    """By modality; an input that is not watched, or had too few cases, has none."""

    by_name: Mapping[str, AnyGuard]

    @staticmethod
    def fit(
        modalities: Sequence[Modality],
        batch: Batch,
        folds: Int[Tensor, " b"],
        sections: Mapping[str, InputSection],
        *,
        cases: Sequence[Case] = (),
        seed: int = 0,
    ) -> "Guards":
        """From the training cases, each patient's in one of the `folds`: thresholds are of inputs judged by guards
        that saw none of their fold. `cases`, in the order of the batch, tell which pictures are of the accepted kind;
        without them all are. Raises ConfigError if a guard's column is not among their attributes."""
        found: dict[str, AnyGuard] = {}
        for modality in modalities:
            section = sections[modality.name]
            if section.guard.enabled:
                valid = accepted(modality.name, section, cases, len(batch))
                guard = _fit(modality.kind, batch.modalities[modality.name], folds, section, valid, seed)
                if guard is not None:
                    found[modality.name] = guard
        return Guards(found)

    def judge(self, batch: Batch) -> Verdicts:
        """For each guarded input, a judgement of each case, None where the input is absent."""
        return {name: _judge(guard, batch.modalities[name]) for name, guard in self.by_name.items()}

    def state(self) -> dict[str, Tensor]:
        """All arrays, by modality and name."""
        return {
            f"{name}/{array}": values.contiguous()
            for name, guard in self.by_name.items()
            for array, values in guard.state().items()
        }

    def record(self) -> dict[str, Any]:
        """All that is not an array, as JSON types, by modality."""
        return {name: guard.record() for name, guard in self.by_name.items()}

    @staticmethod
    def restore(state: Mapping[str, Tensor], record: Mapping[str, Any], modalities: Sequence[Modality]) -> "Guards":
        """The guards whose state and record these are, to the last bit. Raises ArtifactError."""
        kinds = {modality.name: modality.kind for modality in modalities}
        try:
            return Guards({name: GUARDS[kinds[name]].restore(_of(name, state), record[name]) for name in record})
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError("the guards cannot be read", mend="train the model again") from error


def accepted(name: str, section: InputSection, cases: Sequence[Case], n: int) -> Bool[Tensor, " b"]:
    """Which cases' pictures are of the kind that the section accepts; all, where it does not say or no case is given.

    Raises ConfigError if its column is not among the cases' attributes."""
    if not isinstance(section, ImageInput) or section.guard.column is None or not cases:
        return torch.ones(n, dtype=torch.bool)
    column = section.guard.column
    if any(column not in case.attributes for case in cases):
        raise ConfigError(
            f"no case has the attribute {column!r}", where=f"inputs.{name}.guard.column",
            mend="name it in data.attributes",
        )  # fmt: skip
    return torch.tensor([case.attributes[column] in section.guard.accept for case in cases])


def flag_of(name: str, judgement: Judgement) -> str:
    """What an answer calls an odd input, `ood:cxr:inverted` for one; "" where it is not odd."""
    if judgement.verdict is Verdict.OK:
        return ""
    return ":".join(("ood", name, *judgement.reasons[:1]))


def _fit(
    kind: Kind,
    part: ModalityBatch,
    folds: Int[Tensor, " b"],
    section: InputSection,
    valid: Bool[Tensor, " b"],
    seed: int,
) -> AnyGuard | None:
    rows = part.present.nonzero()[:, 0]
    here, folds = part.rows(rows).to("cpu"), folds[rows].cpu()
    if isinstance(section, ImageInput):
        return PictureGuard.fit(
            here.values, folds, valid[rows.cpu()], mean=section.mean, std=section.std,
            blocks=section.guard.false_blocks, flags=section.guard.flags, seed=seed,
        )  # fmt: skip
    known = here.mask if here.mask is not None else torch.ones_like(here.values, dtype=torch.bool)
    if kind is Kind.TEXT:
        return NoteGuard.fit(here.values, known, folds, flags=section.guard.flags)
    return PanelGuard.fit(here.values, known, folds, flags=section.guard.flags)


def _judge(guard: AnyGuard, part: ModalityBatch) -> tuple[Judgement | None, ...]:
    rows = part.present.nonzero()[:, 0]
    if not len(rows):
        return (None,) * len(part.present)
    here = part.rows(rows)
    if isinstance(guard, PictureGuard):
        found = guard.judge(here.values)
    else:
        known = here.mask if here.mask is not None else torch.ones_like(here.values, dtype=torch.bool)
        found = guard.judge(here.values, known)
    by_row = dict(zip(rows.tolist(), found, strict=True))
    return tuple(by_row.get(row) for row in range(len(part.present)))


def _of(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): values for key, values in state.items() if key.startswith(prefix)}

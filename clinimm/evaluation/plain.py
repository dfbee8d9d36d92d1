"""Cases as simple learners see them: small pictures as rows of pixels, notes as text, labs as columns with gaps.

n cases, m modalities, p features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from clinimm.batch import Batch, ModalityBatch
from clinimm.types import Case, Kind, Modality, Note

SIDE_2D, SIDE_3D = 64, 16

Rows: TypeAlias = Int[np.ndarray, " r"] | Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class PlainCases:
    """`values` by modality: pixels (n, p); analytes (n, f), NaN where unknown; text (n,) of str. A row that is not
    `present` means nothing. `targets` are 1, 0 or NaN where unknown."""

    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    targets: Float[np.ndarray, "n k"]
    present: Bool[np.ndarray, "n m"]
    kinds: dict[str, Kind]
    values: dict[str, Shaped[np.ndarray, "n ..."]]

    def __len__(self) -> int:
        return len(self.case_ids)

    def has(self, name: str) -> Bool[np.ndarray, " n"]:
        """Which cases have this modality."""
        return np.asarray(self.present[:, list(self.kinds).index(name)])

    def take(self, rows: Rows) -> "PlainCases":
        return PlainCases(
            case_ids=tuple(np.asarray(self.case_ids, dtype=object)[rows]),
            patient_ids=tuple(np.asarray(self.patient_ids, dtype=object)[rows]),
            targets=self.targets[rows],
            present=self.present[rows],
            kinds=self.kinds,
            values={name: values[rows] for name, values in self.values.items()},
        )


def plain_cases(cases: Sequence[Case], batch: Batch, modalities: Sequence[Modality]) -> PlainCases:
    """The cases of `batch`, prepared as the model gets them, for learners that know no tensors.

    Pictures are averaged down to 64 x 64 (volumes to 16 x 16 x 16). Notes are whole, not cut to the model's length."""
    targets = batch.targets.double().masked_fill(~batch.target_mask, float("nan"))
    return PlainCases(
        case_ids=tuple(case.case_id for case in cases),
        patient_ids=tuple(case.patient_id for case in cases),
        targets=targets.cpu().numpy(),
        present=batch.present.cpu().numpy(),
        kinds={modality.name: modality.kind for modality in modalities},
        values={m.name: _values(m, batch.modalities[m.name], cases) for m in modalities},
    )


def _values(modality: Modality, part: ModalityBatch, cases: Sequence[Case]) -> Shaped[np.ndarray, "n ..."]:
    if modality.kind is Kind.TEXT:
        return np.array([_text(case, modality.name) for case in cases], dtype=object)
    if modality.kind is Kind.IMAGE:
        return _small(part.values)
    known = part.present[:, None] if part.mask is None else part.mask & part.present[:, None]
    return np.asarray(part.values.double().masked_fill(~known, float("nan")).cpu().numpy())


def _text(case: Case, name: str) -> str:
    note = case.inputs.get(name)
    return note.text if isinstance(note, Note) else ""


def _small(pictures: Float[Tensor, "n ..."]) -> Float[np.ndarray, "n p"]:
    if pictures.dim() == 4:
        h, w = (min(SIDE_2D, length) for length in pictures.shape[2:])
        return _rows(F.adaptive_avg_pool2d(pictures.float(), (h, w)))
    h, w, d = (min(SIDE_3D, length) for length in pictures.shape[2:])
    return _rows(F.adaptive_avg_pool3d(pictures.float(), (h, w, d)))


def _rows(pictures: Float[Tensor, "n ..."]) -> Float[np.ndarray, "n p"]:
    return np.asarray(pictures.flatten(1).cpu().numpy())

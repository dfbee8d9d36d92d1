"""The logits that a model gave to cases, for every subset of their inputs. n cases, k targets, m modalities.

A subset is named by its modalities joined by "+" in the config's order. Scoring a subset hides everything else from
every case, so that a case which never had all of it is scored on what is left: its *pattern* under that subset."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

Targets: TypeAlias = Float[np.ndarray, "n k"]
Present: TypeAlias = Bool[np.ndarray, "n m"]


def subset_name(names: Sequence[str]) -> str:
    """The name of a subset; "" is the empty one."""
    return "+".join(names)


def members(subset: str) -> tuple[str, ...]:
    """The modalities of a subset."""
    return tuple(subset.split("+")) if subset else ()


def subsets(modalities: Sequence[str]) -> tuple[str, ...]:
    """Every non-empty subset, small ones first, each in the order of `modalities`."""
    sizes = range(1, len(modalities) + 1)
    return tuple(subset_name(chosen) for size in sizes for chosen in combinations(modalities, size))


def columns(subset: str, modalities: Sequence[str]) -> list[int]:
    """Where the members of `subset` stand in `modalities`."""
    return [list(modalities).index(name) for name in members(subset)]


def answered(present: Present, subset: str, modalities: Sequence[str]) -> Bool[np.ndarray, " n"]:
    """Which cases have at least one input of `subset`."""
    return np.asarray(present[:, columns(subset, modalities)].any(axis=1))


def patterns(present: Present, subset: str, modalities: Sequence[str]) -> tuple[str, ...]:
    """What each case is left with when everything outside `subset` is hidden; "" is nothing."""
    chosen = columns(subset, modalities)
    return tuple(subset_name([modalities[j] for j in chosen if row[j]]) for row in present)


@dataclass(frozen=True)
class Scores:
    """`targets` are 1, 0 or NaN where unknown. `logits` has every subset of `modalities`; the row of a case that has
    nothing of a subset holds the model's prior and is not an answer."""

    case_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    target_names: tuple[str, ...]
    modalities: tuple[str, ...]
    targets: Targets
    present: Present
    logits: dict[str, Targets]

    def __len__(self) -> int:
        return len(self.case_ids)

    @property
    def whole(self) -> str:
        """The subset of all modalities: each case as it came."""
        return subset_name(self.modalities)

    def answered(self, subset: str) -> Bool[np.ndarray, " n"]:
        return answered(self.present, subset, self.modalities)

    def patterns(self, subset: str) -> tuple[str, ...]:
        return patterns(self.present, subset, self.modalities)

    def has(self, pattern: str) -> Bool[np.ndarray, " n"]:
        """Which cases have all inputs of `pattern`, and maybe more."""
        return np.asarray(self.present[:, columns(pattern, self.modalities)].all(axis=1))

    def came(self, pattern: str) -> Bool[np.ndarray, " n"]:
        """Which cases came with just the inputs of `pattern`."""
        return self.has(pattern) & (self.present.sum(axis=1) == len(members(pattern)))

    def known(self, target: str) -> Bool[np.ndarray, " n"]:
        """Which cases have a label for `target`."""
        return ~np.isnan(self.targets[:, self.target_names.index(target)])

    @staticmethod
    def concat(parts: Sequence["Scores"]) -> "Scores":
        """The cases of several runs of one model. Logits of different models share no scale: calibrate those first."""
        first = parts[0]
        return Scores(
            case_ids=tuple(case_id for part in parts for case_id in part.case_ids),
            patient_ids=tuple(patient_id for part in parts for patient_id in part.patient_ids),
            target_names=first.target_names,
            modalities=first.modalities,
            targets=np.concatenate([part.targets for part in parts]),
            present=np.concatenate([part.present for part in parts]),
            logits={name: np.concatenate([part.logits[name] for part in parts]) for name in first.logits},
        )

"""Cases into training, validation and test: by patient, always."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clinimm.errors import ConfigError
from clinimm.types import Case


@dataclass(frozen=True)
class Splits:
    """No patient is in two of them; together they hold every case, each in the order it was given."""

    train: tuple[Case, ...]
    val: tuple[Case, ...]
    test: tuple[Case, ...]


def split_by_patient(
    cases: Sequence[Case], *, val: float, test: float, seed: int = 0, column: str | None = None
) -> Splits:
    """The split that `column` gives (train, val or test), or a seeded one: `val` and `test` are shares of patients.

    Drawn within groups of patients alike in the first target, so that rates agree; the order of the cases does not
    matter. Raises ConfigError if a part would be empty."""
    homes = _given(cases, column) if column else _drawn(cases, {"test": test, "val": val}, seed)
    return _splits(cases, homes)


def split_off(
    cases: Sequence[Case], val: float, seed: int = 0, column: str | None = None
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Training and validation cases, no patient in both: those that `column` calls train and val, or a seeded share
    `val` of the patients for validation, of which there may be none. Raises ConfigError."""
    homes = _given(cases, column) if column else _drawn(cases, {"val": val}, seed)
    train, held_out = (tuple(case for case in cases if homes[case.patient_id] == part) for part in ("train", "val"))
    if not train:
        raise ConfigError("no patient is left for train", where="split", mend="give more patients")
    return train, held_out


def folds(
    cases: Sequence[Case], *, val: float, seed: int = 0, column: str | None = None, n: int | None = None
) -> list[Splits]:
    """One split per fold: the fold is the test part, `val` is the share of the other patients for validation.

    Folds are the values of `column`, in sorted order, or `n` seeded ones. Raises ConfigError."""
    if column:
        fold_of = _given(cases, column)
    elif n and n > 1:
        fold_of = patient_folds(cases, n, seed)
    else:
        raise ConfigError("folds need a column or a number over 1", where="folds", mend="set data.fold_column")
    return [_without(cases, fold_of, fold, val, seed) for fold in sorted(set(fold_of.values()), key=_in_order)]


def patient_folds(cases: Sequence[Case], n: int, seed: int = 0) -> dict[str, str]:
    """The fold of each patient, "0" to str(n - 1): alike in size and in rates of the first target."""
    return _drawn(cases, {str(fold): 1 / n for fold in range(n)}, seed)


def _in_order(fold: str) -> tuple[int, str]:
    return len(fold), fold  # 2 comes before 10


def _without(cases: Sequence[Case], fold_of: Mapping[str, str], fold: str, val: float, seed: int) -> Splits:
    rest = [case for case in cases if fold_of[case.patient_id] != fold]
    homes = _drawn(rest, {"val": val}, seed) if rest else {}
    return _splits(cases, {patient: homes.get(patient, "test") for patient in fold_of})


def _given(cases: Sequence[Case], column: str) -> dict[str, str]:
    """Where each patient is, by a column of the manifest. Raises ConfigError if one is in two places or in none."""
    homes: dict[str, str] = {}
    for case in cases:
        home = case.attributes.get(column, "")
        if not home or homes.setdefault(case.patient_id, home) != home:
            raise ConfigError(
                "a case has no value, or its patient two", where=f"column {column}", mend="mend the manifest"
            )
    return homes


def _drawn(cases: Sequence[Case], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Where each patient goes: each part's share of every group of like patients, and the rest to train.

    Parts are filled one patient at a time, to where most is owed over all groups so far: shares hold as well for many
    small groups as for a large one."""
    homes: dict[str, str] = {}
    owed = dict.fromkeys((*shares, "train"), 0.0)
    share_of = {**shares, "train": max(0.0, 1 - sum(shares.values()))}
    for patient in _in_groups(cases, seed):
        owed = {part: owed[part] + share_of[part] for part in owed}
        home = max(owed, key=lambda part: owed[part])
        owed[home] -= 1
        homes[patient] = home
    return homes


def _in_groups(cases: Iterable[Case], seed: int) -> list[str]:
    """The patients, those alike in the first target together, shuffled within a group by a hash: no order leaks in."""
    answers: dict[str, set[bool | None]] = defaultdict(set)
    for case in cases:
        answers[case.patient_id].add(next(iter(case.targets.values()), None))
    return sorted(answers, key=lambda patient: (_group(answers[patient]), _hash(patient, seed)))


def _group(answers: set[bool | None]) -> int:
    """Ever yes, else ever no, else never known."""
    return 0 if True in answers else 1 if False in answers else 2


def _hash(patient_id: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{patient_id}".encode()).hexdigest()


def _splits(cases: Sequence[Case], homes: Mapping[str, str]) -> Splits:
    parts = {part: tuple(case for case in cases if homes[case.patient_id] == part) for part in ("train", "val", "test")}
    if empty := [part for part, members in parts.items() if not members]:
        raise ConfigError(f"no patient is left for {', '.join(empty)}", where="split", mend="give more patients")
    return Splits(**parts)

"""What is in a cohort, and what is not: counts, missingness by input and pattern, refused values, label rates."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clinimm.bootstrap import Estimate
from clinimm.data.clock import Clock
from clinimm.data.missingness import mask_auroc, mask_of
from clinimm.io.labs import LabPanel, canonical
from clinimm.types import Analyte, Case, Measurements, Modality, Note, rounded

CHANCE = 0.5
NOTHING = "nothing"


@dataclass(frozen=True)
class InputCheck:
    """How many cases have an input, and why the others lack it; `refused` counts those that a stated time forbids to
    use, by why, `undated` those whose age nobody states (a film's header may tell); `flags` count what had to be mended
    or left out."""

    name: str
    present: int
    reasons: Mapping[str, int]
    refused: Mapping[str, int]
    undated: int
    flags: Mapping[str, int]


@dataclass(frozen=True)
class AnalyteCheck:
    """How many cases have a usable value, the median of those in `unit`, and how often each fault left one out."""

    input: str
    name: str
    unit: str
    known: int
    median: float | None
    faults: Mapping[str, int]


@dataclass(frozen=True)
class TargetCheck:
    """How many cases have an answer and a yes, and how well missingness alone tells it (`missingness.mask_auroc`)."""

    name: str
    known: int
    positive: int
    mask_auroc: Estimate

    @property
    def told_by_missingness(self) -> bool:
        return self.mask_auroc.low is not None and self.mask_auroc.low > CHANCE


@dataclass(frozen=True)
class CohortCheck:
    """`cases_per_patient` counts patients by their number of cases, `patterns` cases by the inputs that they have."""

    cases: int
    patients: int
    cases_per_patient: Mapping[int, int]
    inputs: tuple[InputCheck, ...]
    patterns: Mapping[str, int]
    analytes: tuple[AnalyteCheck, ...]
    targets: tuple[TargetCheck, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for every target that missingness alone tells better than chance."""
        return tuple(_warning(target) for target in self.targets if target.told_by_missingness)

    def record(self) -> dict[str, Any]:
        """The check as plain JSON types."""
        targets = [{**asdict(target), "mask_auroc": target.mask_auroc.record()} for target in self.targets]
        return {**asdict(self), "targets": targets, "warnings": list(self.warnings)}


def check_cohort(
    cases: Sequence[Case],
    modalities: Sequence[Modality],
    targets: Sequence[str],
    seed: int = 0,
    max_age_hours: Mapping[str, float | None] | None = None,
) -> CohortCheck:
    """What is in the cases, of the inputs and targets that a config declares."""
    limits = max_age_hours or {}
    names = [modality.name for modality in modalities]
    panels = {m.name: [_panel(case, m) for case in cases] for m in modalities if m.analytes}
    mask = mask_of(cases, names, list(panels.values()))
    per_patient = Counter(case.patient_id for case in cases)
    return CohortCheck(
        cases=len(cases),
        patients=len(per_patient),
        cases_per_patient=dict(sorted(Counter(per_patient.values()).items())),
        inputs=tuple(_input(cases, m.name, limits.get(m.name)) for m in modalities),
        patterns=dict(Counter(_pattern(case, names) for case in cases).most_common()),
        analytes=tuple(check for m in modalities if m.analytes for check in _analytes(m, panels[m.name])),
        targets=tuple(_target(cases, name, mask_auroc(cases, name, mask, seed)) for name in targets),
    )


def _panel(case: Case, modality: Modality) -> LabPanel:
    found = case.inputs.get(modality.name)
    return canonical(found.values if isinstance(found, Measurements) else (), modality.analytes)


def _input(cases: Sequence[Case], name: str, max_age_hours: float | None) -> InputCheck:
    having = [case for case in cases if name in case.inputs]
    found = [case.inputs[name] for case in having]
    ages = [Clock(case.index_time, max_age_hours).stated(case.inputs[name].acquired_at) for case in having]
    return InputCheck(
        name=name,
        present=len(found),
        reasons=_counted(case.absent[name].reason for case in cases if name in case.absent),
        refused=_counted(age.refused.reason for age in ages if age.refused is not None),
        undated=sum(age.days is None and age.refused is None for age in ages),
        flags=_counted(flag for given in found if isinstance(given, Note) for flag in given.flags),
    )


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _pattern(case: Case, names: Sequence[str]) -> str:
    return "+".join(name for name in names if name in case.inputs) or NOTHING


def _analytes(modality: Modality, panels: Sequence[LabPanel]) -> list[AnalyteCheck]:
    values = np.stack([panel.values for panel in panels])
    flags = Counter(flag for panel in panels for flag in panel.flags)
    return [_analyte(modality.name, analyte, values[:, at], flags) for at, analyte in enumerate(modality.analytes)]


def _analyte(name: str, analyte: Analyte, values: np.ndarray, flags: Mapping[str, int]) -> AnalyteCheck:
    known = values[~np.isnan(values)]
    median = rounded(float(np.median(known))) if len(known) else None
    faults = {flag.partition(":")[0]: n for flag, n in flags.items() if flag.partition(":")[2] == analyte.name}
    return AnalyteCheck(name, analyte.name, analyte.unit, len(known), median, faults)


def _target(cases: Sequence[Case], name: str, told: Estimate) -> TargetCheck:
    answers = [answer for case in cases if (answer := case.targets.get(name)) is not None]
    return TargetCheck(name, len(answers), sum(answers), told)


def _warning(target: TargetCheck) -> str:
    told = target.mask_auroc
    return (
        f"Which inputs are missing tells {target.name} by itself, AUROC {told.value:.3f} [{told.low:.3f}, "
        f"{told.high:.3f}]: a model may learn who was tested rather than who is ill. Compare with this figure."
    )

"""`evidence.json`, the planted truth: for every case and target, which input decides it and where in that input."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinimm.data.synthetic.plan import Mechanism
from clinimm.data.synthetic.region import Ellipse
from clinimm.errors import ConfigError

EVIDENCE = "evidence.json"
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Planted:
    """The truth about one target of one case, by the names of the inputs.

    `sources` decide it and `visible` are those that were not hidden; `on` show its sign. A negative case of a target
    without synergy has no source. `region`, `spans` (character offsets [start, end) in the note) and `analytes` tell
    where, for a visible source. `label` is what the manifest says: the truth, but for label noise."""

    mechanism: Mechanism
    truth: bool
    label: bool
    sources: tuple[str, ...]
    visible: tuple[str, ...]
    on: tuple[str, ...]
    region: Ellipse | None = None
    spans: Spans = ()
    analytes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseEvidence:
    """`present` are the inputs that the case has."""

    case_id: str
    present: tuple[str, ...]
    targets: Mapping[str, Planted] = field(default_factory=dict)


def write_evidence(path: Path, recipe: Mapping[str, Any], cases: Sequence[CaseEvidence]) -> None:
    record = {**recipe, "cases": [_case_record(case) for case in cases]}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_evidence(folder: Path) -> dict[str, CaseEvidence]:
    """The planted truth of the cohort in `folder`, by case id. Raises ConfigError where there is none."""
    try:
        record = json.loads((folder / EVIDENCE).read_text(encoding="utf-8"))
        return {case["case_id"]: _case(case) for case in record["cases"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"holds no readable {EVIDENCE}", where=str(folder), mend="write the cohort with `clinimm data synth`"
        ) from error


def _case_record(case: CaseEvidence) -> dict[str, Any]:
    targets = {name: _planted_record(planted) for name, planted in case.targets.items()}
    return {"case_id": case.case_id, "present": case.present, "targets": targets}


def _planted_record(planted: Planted) -> dict[str, Any]:
    region = None if planted.region is None else vars(planted.region)
    return {**vars(planted), "mechanism": planted.mechanism.value, "region": region}


def _case(record: Mapping[str, Any]) -> CaseEvidence:
    targets = {name: _planted(planted) for name, planted in record["targets"].items()}
    return CaseEvidence(record["case_id"], tuple(record["present"]), targets)


def _planted(record: Mapping[str, Any]) -> Planted:
    region = record["region"]
    return Planted(
        mechanism=Mechanism(record["mechanism"]),
        truth=record["truth"],
        label=record["label"],
        sources=tuple(record["sources"]),
        visible=tuple(record["visible"]),
        on=tuple(record["on"]),
        region=region and Ellipse(**{name: tuple(values) for name, values in region.items()}),
        spans=tuple((start, end) for start, end in record["spans"]),
        analytes=tuple(record["analytes"]),
    )

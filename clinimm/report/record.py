"""The record of one explained answer: plain JSON, complete enough to be drawn and to be replayed."""

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import clinimm
from clinimm.attribution.checks import agreement
from clinimm.batch import Batch
from clinimm.config import dump
from clinimm.inference import Predictor
from clinimm.report.evidence import Json, map_of, show
from clinimm.types import Attribution, Case, Check, Input, Measurements, Modality, Note, Prediction, rounded

SCHEMA = "clinimm.report/1"

USE = "Advisory. Not for diagnosis: a clinician decides, with the original images, notes and results at hand."
CAVEAT = "An attribution says what moved this model's answer. It is neither a localization of disease nor its cause."


def build(
    predictor: Predictor,
    case: Case,
    prediction: Prediction,
    attributions: Sequence[Attribution],
    *,
    created: datetime | None = None,
    patient_id: str | None = None,
) -> Json:
    """The record, of JSON types only. `patient_id` is on it only if given here; `created` is now unless given.

    `report_id` names the content without the time, so that a replay that gives the same content gives the same id;
    `digest` is the SHA-256 of everything else in the record. A target that was abstained from is not explained: that
    would tell its number. Reads the case's files once more."""
    batch = predictor.admit(case)[0]
    told = {answer.target for answer in prediction.targets if answer.abstained is None}
    record: Json = {
        "schema": SCHEMA,
        "statements": {"use": USE, "caveat": CAVEAT},
        "generator": _generator(),
        "model": _model(predictor),
        "case": {"case_id": case.case_id} | ({"patient_id": patient_id} if patient_id is not None else {}),
        "prediction": prediction.record(),
        "inputs": {m.name: _input(predictor, m, case, batch) for m in predictor.modalities},
        "explanations": [_explanation(predictor, case, batch, prediction, a) for a in attributions if a.target in told],
    }
    record["report_id"] = digest(record)[:32]
    record["created"] = (created or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    record["digest"] = digest(record)
    return record


def digest(record: Json) -> str:
    """SHA-256 of a record in canonical form, its own `digest` left out."""
    content = {key: value for key, value in record.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _sha256(text)


def _generator() -> Json:
    packages = {name: version(name) for name in ("torch", "captum", "numpy")}
    return {"clinimm": clinimm.__version__, "python": platform.python_version(), **packages}


def _model(predictor: Predictor) -> Json:
    config = dump(predictor.config)
    return {"name": predictor.config.name, "digest": predictor.digest, "config_sha256": _sha256(config)}


def _input(predictor: Predictor, modality: Modality, case: Case, batch: Batch) -> Json:
    given, part = case.inputs.get(modality.name), batch.modalities[modality.name]
    return {
        "kind": modality.kind.value,
        "acquired_at": given.acquired_at.isoformat() if given and given.acquired_at else None,
        "sha256": _fingerprint(given) if given else None,
        **show(predictor, modality, case, part),
    }


def _fingerprint(given: Input) -> str | None:
    """SHA-256 of what was handed in: a file's bytes, the joined digests of a series' files, a note's text, or a panel
    as JSON. None if a file has gone."""
    if isinstance(given, Note):
        return _sha256(given.text)
    if isinstance(given, Measurements):
        return _sha256(json.dumps(sorted([m.name, m.unit, repr(m.value)] for m in given.values)))
    try:
        files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in given.paths]
    except OSError:
        return None
    return files[0] if len(files) == 1 else _sha256("".join(files))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _explanation(
    predictor: Predictor, case: Case, batch: Batch, prediction: Prediction, attribution: Attribution
) -> Json:
    checks = [*attribution.checks, *_served(prediction, attribution)]
    used = {m.name: m for m in predictor.modalities if m.name in attribution.baselines}
    return {
        "target": attribution.target,
        "method": attribution.method,
        "baselines": dict(attribution.baselines),
        "steps": attribution.steps,
        "forward_passes": attribution.forward_passes,
        "logit": _finite(attribution.logit),
        "prior_logit": _finite(attribution.prior_logit),
        "baseline_logit": _finite(attribution.baseline_logit),
        **{
            name: _numbers(getattr(attribution, name))
            for name in ("shapley", "interactions", "subsets", "net", "gross")
        },
        "checks": [_check(check) for check in checks],
        "trusted": all(check.passed for check in checks),
        "maps": {
            name: map_of(predictor, m, case, batch.modalities[name], attribution.maps[name]) for name, m in used.items()
        },
    }


def _served(prediction: Prediction, attribution: Attribution) -> list[Check]:
    """That the explained logit is the one that was served."""
    served = [t.logit for t in prediction.targets if t.target == attribution.target]
    return [agreement(attribution.logit, logit) for logit in served if logit is not None]


def _check(check: Check) -> Json:
    return {"name": check.name, "value": _finite(check.value), "limit": check.limit, "passed": check.passed}


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    """To 6 places; None for what is no number, which JSON cannot hold."""
    return rounded(value) if math.isfinite(value) else None

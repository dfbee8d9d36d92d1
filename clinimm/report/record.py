"""The record of one explained answer: plain JSON, complete enough to be drawn and to be replayed."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from clinimm.attribution.checks import agreement
from clinimm.batch import Batch
from clinimm.inference import Predictor
from clinimm.report.binding import fingerprint, generator, model, settings, tensors
from clinimm.report.canonical import Json, canonical, digest, parsed
from clinimm.report.comparison import Previous, compare
from clinimm.report.contents import contents
from clinimm.report.evidence import Films, films_of, map_of, show
from clinimm.report.performance import like_this
from clinimm.report.schema import SCHEMA
from clinimm.scores import subset_name
from clinimm.types import Attribution, Case, Check, Modality, Prediction, rounded

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
    tenant: str = "",
    previous: Previous | None = None,
) -> Json:
    """The record, of JSON types only. `patient_id` is on it only if given here; so is the `tenant` whose
    case it is; `created` is now unless given; `previous` is the answer that this one takes the place of.

    `report_id` names the content without the time, so that a replay that gives the same content gives the same id;
    see `differences` for one that does not. A target that was abstained from is not explained: that would tell its
    number. Reads the case's files twice more: as the model sees them, and as they are shown."""
    batch, films = predictor.admit(case)[0], films_of(predictor, case)
    told = {answer.target for answer in prediction.targets if answer.abstained is None}
    explained = [one for one in attributions if one.target in told]
    answered = prediction.record()
    record: Json = {
        "schema": SCHEMA,
        "contents": contents(),
        "statements": {"use": USE, "caveat": CAVEAT},
        "case": _case(case, patient_id, tenant),
        "prediction": answered,
        "inputs": {m.name: _input(m, case, films) for m in predictor.modalities},
        "explanations": [_explanation(predictor, case, batch, prediction, one, films) for one in explained],
        "calibration": _calibration(predictor, prediction),
        "performance": like_this(predictor.provenance, predictor.config.target_names, prediction.used, case.attributes),
        "comparison": compare(previous, answered),
        "model": model(predictor),
        "generator": generator(),
        "settings": settings(predictor),
        "tensors": tensors(batch),
    }
    record["report_id"] = digest(record)[:32]
    record["created"] = (created or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    return parsed(canonical(record))  # as whoever reads it finds it, so that both draw the same page


def _case(case: Case, patient_id: str | None, tenant: str) -> Json:
    told = {"case_id": case.case_id, "patient_id": patient_id, "tenant": tenant or None}
    return {name: value for name, value in told.items() if value is not None}


def _input(modality: Modality, case: Case, films: Films) -> Json:
    given = case.inputs.get(modality.name)
    return {
        "kind": modality.kind.value,
        "acquired_at": given.acquired_at.isoformat() if given and given.acquired_at else None,
        "sha256": fingerprint(given) if given else None,
        **show(modality, case, films),
    }


def _calibration(predictor: Predictor, prediction: Prediction) -> Json:
    """Of each target the line that made its logit a probability, what that stands on, and what its threshold reached on
    validation cases."""
    pattern = subset_name(prediction.used)
    found = {}
    for name, target in predictor.calibrator.targets.items():
        fit, threshold = target.fit_for(pattern), target.threshold
        found[name] = {
            "level": str(fit.level),
            "slope": rounded(fit.slope),
            "offset": rounded(fit.offset),
            "cases": fit.cases,
            "own": fit.own,
            "positives": fit.positives,
            "threshold": rounded(threshold.value),
            "sensitivity": rounded(threshold.sensitivity),
            "specificity": rounded(threshold.specificity),
        }
    return {"inputs": pattern, "targets": found}


def _explanation(
    predictor: Predictor, case: Case, batch: Batch, prediction: Prediction, attribution: Attribution, films: Films
) -> Json:
    checks = [*attribution.checks, *_served(prediction, attribution)]
    used = {m.name: m for m in predictor.modalities if m.name in attribution.baselines}
    return {
        "target": attribution.target,
        "method": attribution.method,
        "baselines": dict(attribution.baselines),
        "steps": attribution.steps,
        "forward_passes": attribution.forward_passes,
        "smoothing": attribution.smoothing,
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
            name: map_of(predictor, m, case, batch.modalities[name], attribution.maps[name], films)
            for name, m in used.items()
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

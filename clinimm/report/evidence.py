"""Each input of a case as it is shown: the film, the words, the values, and their part in one target's answer."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from clinimm.batch import ModalityBatch
from clinimm.inference import Predictor
from clinimm.io.labs import canonical
from clinimm.report.picture import draw
from clinimm.report.words import score_words
from clinimm.types import Analyte, Case, Input, Kind, Measurements, Modality, Note, rounded

Json: TypeAlias = dict[str, Any]
Map: TypeAlias = Float[np.ndarray, "*shape"]


def show(predictor: Predictor, modality: Modality, case: Case, part: ModalityBatch) -> Json:
    """One input with nothing said of its part in the answer; empty where there is nothing to show."""
    given = case.inputs.get(modality.name)
    if isinstance(given, Note):
        return {"text": given.text}
    if isinstance(given, Measurements) or modality.kind is Kind.TABULAR:
        return {"analytes": _values(modality.analytes, given)}
    if modality.kind is Kind.IMAGE and bool(part.present[0]):
        return {"views": _views(_film(predictor, modality, part), None)["views"]}
    return {}


def map_of(predictor: Predictor, modality: Modality, case: Case, part: ModalityBatch, values: Map) -> Json:
    """The map of one input that was used, in the form it is drawn from."""
    given, values = case.inputs[modality.name], np.nan_to_num(values)
    if isinstance(given, Note):
        offsets = predictor.preparer.words(modality.name, given.text)
        words = score_words(given.text, offsets, values)
        return {"words": [{"start": w.start, "end": w.end, "score": rounded(w.score)} for w in words]}
    if modality.kind is Kind.TABULAR:
        known = part.mask[0].tolist() if part.mask is not None else [True] * len(values)
        pairs = zip(modality.analytes, values, known, strict=True)
        return {"scores": {a.name: rounded(float(value)) if here else None for a, value, here in pairs}}
    return _views(_film(predictor, modality, part), values.sum(axis=0))


def _film(predictor: Predictor, modality: Modality, part: ModalityBatch) -> Map:
    """The picture as the model saw it, in [0, 1]: standardization undone, channels averaged."""
    section = predictor.config.inputs[modality.name]
    pixels = part.values[0].mean(dim=0).cpu().numpy().astype(np.float64)
    return np.asarray(pixels * getattr(section, "std", 1.0) + getattr(section, "mean", 0.0))


def _views(film: Map, heat: Map | None) -> Json:
    picture = draw(film, None if heat is None else heat.astype(np.float64))
    views = [{"name": v.name, "film": v.film, "heat": v.heat, "peak": v.peak and list(v.peak)} for v in picture.views]
    return {"views": views, "limit": float(f"{picture.limit:.6g}")}


def _values(analytes: tuple[Analyte, ...], given: Input | None) -> list[Json]:
    measured = given.values if isinstance(given, Measurements) else ()
    panel = canonical(measured, analytes)
    reasons: Mapping[str, list[str]] = {a.name: [] for a in analytes}
    for code, _, name in (flag.partition(":") for flag in panel.flags):
        reasons.get(name, []).append(code)
    return [
        _value(analyte, float(value), reasons[analyte.name])
        for analyte, value in zip(analytes, panel.values, strict=True)
    ]


def _value(analyte: Analyte, value: float, flags: list[str]) -> Json:
    known = not math.isnan(value)
    return {
        "name": analyte.name,
        "unit": analyte.unit,
        "value": rounded(value) if known else None,
        "reference": analyte.reference and list(analyte.reference),
        "plausible": analyte.plausible and list(analyte.plausible),
        "range": _range(value, analyte.reference) if known else None,
        "flags": flags,
    }


def _range(value: float, reference: tuple[float, float] | None) -> str | None:
    if reference is None:
        return None
    low, high = reference
    return "low" if value < low else "high" if value > high else "within"

"""Each input of a case as it is shown: the film, the words, the values, and their part in one target's answer."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float

from clinimm.attribution.sentences import Sentence, score_sentences
from clinimm.batch import ModalityBatch
from clinimm.data.picture_door import PictureDoor
from clinimm.errors import InputError
from clinimm.inference import Predictor
from clinimm.io.labs import canonical
from clinimm.report.binding import tensor_fingerprint
from clinimm.report.canonical import Json
from clinimm.report.heat import packed
from clinimm.report.picture import Film, Picture, Slice, View, by_slice, draw
from clinimm.report.words import Word, score_words
from clinimm.types import Analyte, Case, ImageFile, Input, Kind, Measurements, Modality, Note, rounded

Map: TypeAlias = Float[np.ndarray, "*shape"]
Films: TypeAlias = Mapping[str, Film | InputError]


def films_of(predictor: Predictor, case: Case) -> Films:
    """The film of every image that came, read once more; or why it cannot be shown."""
    doors = predictor.preparer.doors.items()
    given = [(name, door, case.inputs.get(name)) for name, door in doors if isinstance(door, PictureDoor)]
    return {name: _film(door, one) for name, door, one in given if isinstance(one, ImageFile)}


def show(modality: Modality, case: Case, films: Films) -> Json:
    """One input with nothing said of its part in the answer; empty where there is nothing to show."""
    given, film = case.inputs.get(modality.name), films.get(modality.name)
    if isinstance(given, Note):
        return {"text": given.text}
    if isinstance(given, Measurements) or modality.kind is Kind.TABULAR:
        return {"analytes": _values(modality.analytes, given)}
    if isinstance(film, InputError):
        return {"views": [], "problem": _problem(film)}
    return {} if film is None else {"views": [_view(view) for view in draw(film).views], "grid": _grid(film)}


def map_of(
    predictor: Predictor, modality: Modality, case: Case, part: ModalityBatch, values: Map, films: Films
) -> Json:
    """The map of one input that was used, in the form it is drawn from, and the fingerprint of its numbers."""
    given = case.inputs[modality.name]
    told = {"sha256": tensor_fingerprint(torch.from_numpy(np.ascontiguousarray(values)))["sha256"]}
    if values.shape != modality.shape:
        what = f"the map is of {_size(values.shape)}, the input of {_size(modality.shape)}"
        return told | {"problem": {"code": "map_does_not_fit", "detail": what}}
    values = np.nan_to_num(values)
    if isinstance(given, Note):
        offsets = predictor.preparer.words(modality.name, given.text)
        words = score_words(given.text, offsets, values)
        sentences = score_sentences(given.text, offsets, values)
        return told | {"words": _scored(words), "sentences": _scored(sentences)}
    if modality.kind is Kind.TABULAR:
        known = part.mask[0].tolist() if part.mask is not None else [True] * len(values)
        pairs = zip(modality.analytes, values, known, strict=True)
        return told | {"scores": {a.name: rounded(float(value)) if here else None for a, value, here in pairs}}
    film = films[modality.name]
    if isinstance(film, InputError):
        return told | {"problem": _problem(film)}
    heat = values.sum(axis=0)
    return told | _picture(draw(film, heat)) | _slices(by_slice(film, heat))


def _scored(spans: Sequence[Word] | Sequence[Sentence]) -> list[Json]:
    return [{"start": one.start, "end": one.end, "score": rounded(one.score)} for one in spans]


def _film(door: PictureDoor, given: ImageFile) -> Film | InputError:
    try:
        look = door.look(given)
    except InputError as error:
        return error
    shrunk = (look.facts["shrunk_by"], look.facts["shrunk_by"], 1)[: look.whole.ndim]
    spacing = look.spacing_mm and tuple(mm / by for mm, by in zip(look.spacing_mm, shrunk, strict=False))
    known = spacing if spacing and len(spacing) == look.whole.ndim else None
    return Film(look.whole.numpy(), shrunk, look.geometry, known, look.orientation)


def _problem(error: InputError) -> Json:
    return {"code": error.code, "detail": error.what}


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _grid(film: Film) -> Json:
    """How the model's grid lies on the stored pixels: see data.geometry."""
    told = film.geometry
    parts = ("stored", "start", "end", "first", "cells", "axes")
    return {part: list(getattr(told, part)) for part in parts}


def _picture(picture: Picture) -> Json:
    """A film's gray is with the input; a volume's planes, which go through the map's peak, are with the map, and so is
    its whole map."""
    volume = len(picture.views) > 1
    views = [_view(view) if volume else _view(view) | {"film": None} for view in picture.views]
    told = {"views": views, "limit": float(f"{picture.limit:.6g}"), "padding": rounded(picture.padding)}
    return told | ({"whole": packed(picture.heat, picture.limit)} if volume and picture.heat is not None else {})


def _slices(layers: Sequence[Slice]) -> Json:
    parts = ("middle", "net", "gross")
    return {"slices": [{part: rounded(getattr(one, part)) for part in parts} for one in layers]} if layers else {}


def _view(view: View) -> Json:
    return {
        "name": view.name,
        "film": view.film,
        "heat": view.heat,
        "size": list(view.size),
        "box": list(view.box),
        "peak": view.peak and [round(at, 1) for at in view.peak],
        "spacing_mm": view.spacing_mm and [rounded(mm) for mm in view.spacing_mm],
        "letters": view.letters and list(view.letters),
    }


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

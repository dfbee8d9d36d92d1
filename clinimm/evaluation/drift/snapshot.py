"""All that a model sees and says of a cohort, as columns of numbers that need no label.

n cases, e width."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from clinimm.batch import Batch
from clinimm.data.quality import QUALITIES
from clinimm.evaluation.embeddings import embed, networks_of
from clinimm.inference import Answer, Predictor
from clinimm.types import Case, Kind, Modality

MISSING, QUALITY, ANALYTE, UNKNOWN = "missing", "quality", "analyte", "analyte unknown"
WEIGHT, ANSWER, ABSTAINED, LABEL = "gate weight", "answer", "abstained", "label"


@dataclass(frozen=True)
class Column:
    """One number per case, NaN where it has none; a rate is 0 or 1."""

    group: str
    name: str
    values: Float[np.ndarray, " n"]
    is_rate: bool = False


@dataclass(frozen=True)
class Snapshot:
    """A cohort as one model sees it; `embeddings` by input, NaN in the rows of cases that lack it."""

    patient_ids: tuple[str, ...]
    columns: tuple[Column, ...]
    embeddings: dict[str, Float[np.ndarray, "n _"]]


def snapshot(
    predictor: Predictor, cases: Sequence[Case], on_done: Callable[[int, int], None] = lambda done, total: None
) -> Snapshot:
    """The cohort as the model sees it. `on_done` hears how many of how many are done."""
    batches, answers = [], []
    for case in cases:
        batches.append(predictor.preparer.prepare(case))
        answers.append(predictor.answer(case))
        on_done(len(answers), len(cases))
    batch = Batch.cat(batches)
    columns = [*_inputs(batch, predictor.modalities), *_answers(answers, predictor), *_labels(batch, predictor)]
    embeddings = embed(networks_of(predictor.network)[0], batch)
    return Snapshot(tuple(case.patient_id for case in cases), tuple(columns), embeddings)


def _inputs(batch: Batch, modalities: Sequence[Modality]) -> list[Column]:
    found = []
    for modality in modalities:
        name, part = modality.name, batch.modalities[modality.name]
        present = part.present.cpu().numpy()
        found.append(Column(MISSING, name, (~present).astype(np.float64), is_rate=True))
        quality = part.quality.double().cpu().numpy()
        for j, feature in enumerate(QUALITIES[modality.kind]):
            found.append(Column(QUALITY, f"{name}, {feature}", np.where(present, quality[:, j], np.nan)))
        if modality.kind is Kind.TABULAR:
            known = present[:, None] if part.mask is None else (part.mask & part.present[:, None]).cpu().numpy()
            values = part.values.double().cpu().numpy()
            for j, analyte in enumerate(modality.analytes):
                unknown = np.where(present, ~known[:, j], np.nan).astype(np.float64)
                found.append(Column(UNKNOWN, f"{name}, {analyte.name}", unknown, is_rate=True))
                found.append(Column(ANALYTE, f"{name}, {analyte.name}", np.where(known[:, j], values[:, j], np.nan)))
    return found


def _answers(answers: Sequence[Answer], predictor: Predictor) -> list[Column]:
    said = [answer.prediction for answer in answers]
    abstained = np.array([prediction.abstained is not None for prediction in said], dtype=np.float64)
    weights = {
        m.name: np.array([prediction.weights.get(m.name, np.nan) for prediction in said], dtype=np.float64)
        for m in predictor.modalities
    }
    used = {m.name: np.array([m.name in prediction.used for prediction in said]) for m in predictor.modalities}
    columns = [Column(WEIGHT, name, np.where(used[name], values, np.nan)) for name, values in weights.items()]
    for j, target in enumerate(predictor.config.target_names):
        told = [prediction.targets[j].probability for prediction in said]
        columns.append(Column(ANSWER, target, np.array([np.nan if p is None else p for p in told], dtype=np.float64)))
    return [*columns, Column(ABSTAINED, "from any answer", abstained, is_rate=True)]


def _labels(batch: Batch, predictor: Predictor) -> list[Column]:
    """The prevalence among the cases whose label is known: in a fresh cohort none may be."""
    labels = np.where(batch.target_mask.cpu().numpy(), batch.targets.double().cpu().numpy(), np.nan)
    return [Column(LABEL, name, labels[:, j], is_rate=True) for j, name in enumerate(predictor.config.target_names)]

"""What was planted in a synthetic cohort, and how much of an explanation is there: for `benchmarks/attribution.py`."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinimm.attribution.committee import explain_committee
from clinimm.attribution.units import units_of
from clinimm.batch import Batch
from clinimm.bootstrap import patient_bootstrap
from clinimm.data.cohort import read_cohort
from clinimm.data.picture import onto_grid, place
from clinimm.data.synthetic.chance import Stream, generator
from clinimm.data.synthetic.evidence import EVIDENCE, Planted, read_evidence
from clinimm.data.synthetic.film import draw_anatomy, draw_film
from clinimm.data.synthetic.missingness import Missing
from clinimm.data.synthetic.plan import Mechanism, PlannedCase, Recipe, plan_cohort
from clinimm.findings.sentences import spans
from clinimm.inference import Predictor
from clinimm.types import Case, Kind, Modality, Note

VISIBLE = 0.1  # of the greatest difference: less of a sign than that, nobody sees
COVERED = 0.5  # of a patch: then it counts as the sign's
STRONGEST = 0.1  # of the places that a sign takes up
RESAMPLES = 2000
SHARES = ("read", "finest", "finest, strongest")
Shares = tuple[float, float, float]


def top_share(scores: np.ndarray, planted: np.ndarray, part: float = 1.0) -> float:
    """Of what the k highest scores raise the answer by, the share in the planted places, of which k is that part; NaN
    where k is 0."""
    raised, k = np.clip(scores, 0, None), math.ceil(part * int(planted.sum()))
    first = np.argsort(-raised, kind="stable")[:k]
    whole = float(raised[first].sum())
    return float(raised[first][planted[first]].sum()) / whole if whole else float("nan") if not k else 0.0


@dataclass(frozen=True)
class Truth:
    """How the cohort in a folder was made."""

    seed: int
    plans: dict[str, PlannedCase]

    @staticmethod
    def of(cohort: Path, cases: int) -> "Truth":
        told = json.loads((cohort / EVIDENCE).read_text(encoding="utf-8"))
        mechanism = told["mechanism"] and Mechanism(told["mechanism"])
        recipe = Recipe(told["seed"], Missing(told["missing"]), told["rate"], mechanism, told["label_noise"])
        return Truth(told["seed"], {plan.case_id: plan for plan in plan_cohort(cases, recipe)})

    def sign(self, case_id: str, target: str, size: Sequence[int]) -> np.ndarray:
        """Which pixels of the model's grid would be others if the film did not show the target's sign."""
        plan = self.plans[case_id]
        anatomy = draw_anatomy(generator(self.seed, Stream.ANATOMY, plan.patient.number))
        shown = plan.shows(Kind.IMAGE)
        drawn = [
            draw_film(generator(self.seed, Stream.IMAGE, plan.patient.number, plan.visit), anatomy, signs).brightness
            for signs in (shown, shown - {target})
        ]
        changed = torch.from_numpy(np.abs(drawn[0] - drawn[1])).float()
        grid = onto_grid(changed, place(tuple(changed.shape), size)).numpy()
        return np.asarray(grid > VISIBLE * grid.max())


def planted_shares(predictor: Predictor, cohort: Path, cases: Sequence[Case]) -> dict[str, Any]:
    """For each input that alone carries a sign: the share of the strongest places that lie in it, at the scale at which
    an explanation is read (patches, sentences, values) and at the finest (pixels, word pieces, values), of the very
    strongest, too; with 95 % intervals by drawing patients."""
    evidence = read_evidence(cohort)
    truth = Truth.of(cohort, len(read_cohort(predictor.config, cohort)))
    found: dict[str, list[tuple[str, Shares]]] = {}
    for case in cases:
        batch = predictor.admit(case)[0]
        for j, target in enumerate(predictor.config.target_names):
            planted = evidence[case.case_id].targets[target]
            alone = planted.truth and planted.mechanism is Mechanism.UNIQUE and planted.visible == planted.sources
            modality = next((m for m in predictor.modalities if (m.name,) == planted.sources), None)
            if alone and modality is not None and bool(batch.modalities[modality.name].present[0]):
                values = explain_committee(predictor.network, batch, j, target_name=target).maps[modality.name]
                shares = _shares(predictor, modality, case, batch, planted, truth, target, values)
                found.setdefault(modality.name, []).append((case.patient_id, shares))
    return {name: _means(told) for name, told in found.items()}


def _means(told: Sequence[tuple[str, Shares]]) -> dict[str, float]:
    patients, shares = zip(*[one for one in told if not np.isnan(one[1]).any()], strict=True)
    columns = dict(zip(SHARES, np.array(shares).T, strict=True))
    means = {name: lambda weights, of=of: weights @ of / weights.sum(1) for name, of in columns.items()}
    found: dict[str, float] = {"cases": len(patients)}
    for name, mean in patient_bootstrap(means, patients, resamples=RESAMPLES, seed=0).items():
        found |= {name: mean.value, f"{name}, low": mean.low, f"{name}, high": mean.high}
    return found


def _shares(
    predictor: Predictor, modality: Modality, case: Case, batch: Batch, planted: Planted, truth: Truth, target: str,
    values: np.ndarray,
) -> Shares:  # fmt: skip
    if modality.kind is Kind.IMAGE:
        pixels = truth.sign(case.case_id, target, modality.shape[1:])
        units = units_of(predictor.network.networks[0], batch)[modality.name]
        area = units.scores(pixels.astype(float)) / np.bincount(units.owner.ravel(), minlength=units.count)
        return top_share(units.scores(values), area >= COVERED), *_finest(values.ravel(), pixels.ravel())
    if modality.kind is Kind.TEXT:
        note = case.inputs[modality.name]
        text = note.text if isinstance(note, Note) else ""
        return _in_sentences(predictor.preparer.words(modality.name, text), text, planted.spans[0], values)
    names = np.array([analyte.name in planted.analytes for analyte in modality.analytes])
    known = batch.modalities[modality.name].mask
    whole, strongest = _finest(values, names if known is None else names & known[0].numpy())
    return whole, whole, strongest


def _finest(values: np.ndarray, planted: np.ndarray) -> tuple[float, float]:
    return top_share(values, planted), top_share(values, planted, STRONGEST)


def _in_sentences(offsets: Sequence[tuple[int, int]], text: str, sign: tuple[int, int], values: np.ndarray) -> Shares:
    """The sign of a note is its whole sentence: what is said with it is only said because of it."""
    cuts = spans(text)
    wanted = np.array([start < sign[1] and end > sign[0] for start, end in cuts])
    owner = np.array(
        [next((i for i, (x, y) in enumerate(cuts) if b > a and x <= a < y), len(cuts)) for a, b in offsets]
    )
    sums = np.bincount(owner, weights=values, minlength=len(cuts) + 1)[:-1]
    return top_share(sums, wanted), *_finest(values, np.append(wanted, False)[owner])

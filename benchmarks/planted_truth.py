"""Does the explanation find what was planted? In the test cases of a synthetic cohort: the input, the pixels, the words
and the analytes that carry the signal, against chance.

    python benchmarks/planted_truth.py [--artifact DIR --data COHORT] [--cases 1200] [--json FILE]

Without an artifact it writes a cohort and trains configs/quickstart.toml on it first. `found` is, for inputs, how often
the one that carries the signal has the largest Shapley value; inside an input, the share of |attribution| that lies
where the signal is. `chance` is one over the inputs in use, or the share of film, read words or known analytes that the
signal takes up. Intervals: 95 %, by drawing patients."""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import numpy as np

import clinimm
from clinimm.batch import ModalityBatch
from clinimm.bootstrap import Estimate, patient_bootstrap
from clinimm.config import Config, load
from clinimm.data.cohort import read_cohort
from clinimm.data.picture import place
from clinimm.data.split import Splits, split_by_patient
from clinimm.data.synthetic.cohort import write_cohort
from clinimm.data.synthetic.evidence import Planted, read_evidence
from clinimm.data.synthetic.plan import Mechanism
from clinimm.data.synthetic.region import Ellipse
from clinimm.inference import Predictor
from clinimm.paths import shipped
from clinimm.types import Attribution, Case, Kind, Modality, Note

ANSWERED = "input, where the answer is right"
MEASURES = ("input", ANSWERED, "pixels", "words", "analytes")


@dataclass(frozen=True)
class Observation:
    """One measure of one target of one case: what was found, and what chance would have found."""

    measure: str
    target: str
    patient_id: str
    found: float
    chance: float


# --- what is found, case by case


def observe(
    predictor: Predictor, case: Case, planted: Planted, attribution: Attribution, parts: dict[str, ModalityBatch]
) -> Iterator[Observation]:
    """Every measure that applies to a case whose target is truly positive."""
    if not planted.truth:
        return
    shares = dict(input_shares(planted, attribution))
    for modality in predictor.modalities:
        if modality.name in planted.on and modality.name in attribution.baselines:
            planted_at, countable = planted_places(predictor, modality, case, planted, parts[modality.name])
            shares |= inside_shares(modality.kind, attribution.maps[modality.name], planted_at, countable)
    for measure, (found, chance) in shares.items():
        yield Observation(measure, attribution.target, case.patient_id, found, chance)


def input_shares(planted: Planted, attribution: Attribution) -> Iterator[tuple[str, tuple[float, float]]]:
    """Whether the input that alone carries the signal moved the answer most."""
    used = list(attribution.baselines)
    if planted.mechanism is not Mechanism.UNIQUE or len(used) < 2 or planted.visible != planted.sources:
        return
    most = max(used, key=lambda name: attribution.shapley[name])
    found = (float((most,) == planted.sources), 1 / len(used))
    yield "input", found
    if attribution.logit > attribution.prior_logit:
        yield ANSWERED, found


def inside_shares(
    kind: Kind, values: np.ndarray, planted_at: np.ndarray, countable: np.ndarray
) -> dict[str, tuple[float, float]]:
    """The share of |attribution| that lies where the signal is, and the share of places that this is."""
    strength = np.abs(values)
    if not planted_at.any() or not strength.sum():
        return {}
    name = {Kind.IMAGE: "pixels", Kind.TEXT: "words", Kind.TABULAR: "analytes"}[kind]
    found = float(strength[planted_at].sum() / strength.sum())
    return {name: (found, float((planted_at & countable).sum() / countable.sum()))}


def planted_places(
    predictor: Predictor, modality: Modality, case: Case, planted: Planted, part: ModalityBatch
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the map: where the signal is, and what counts as a place at all."""
    if modality.kind is Kind.IMAGE:
        size = modality.shape[1:]
        blank = np.zeros(size, dtype=bool)
        inside, film = ellipse_on_grid(planted.region, size) if planted.region else (blank, blank)
        return np.broadcast_to(inside, modality.shape), np.broadcast_to(film, modality.shape)
    if modality.kind is Kind.TEXT:
        note = case.inputs[modality.name]
        offsets = predictor.preparer.words(modality.name, note.text if isinstance(note, Note) else "")
        return pieces_in(offsets, planted.spans), np.array([end > start for start, end in offsets])
    known = np.ones(modality.shape, dtype=bool) if part.mask is None else part.mask[0].cpu().numpy()
    return known & np.array([analyte.name in planted.analytes for analyte in modality.analytes]), known


def ellipse_on_grid(region: Ellipse, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of the model's grid lie in a region of the stored picture, and which lie in the picture at all."""
    placement = place(region.shape, size)
    stored = [
        (np.arange(size[axis]) + 0.5 - placement.offset[axis]) / placement.scale[axis] + placement.start[axis] - 0.5
        for axis in range(len(size))
    ]
    grid = np.meshgrid(*stored, indexing="ij")
    film = np.all([(g > -0.5) & (g < n - 0.5) for g, n in zip(grid, region.shape, strict=True)], axis=0)
    distance = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, region.center, region.radii, strict=True))
    return film & (distance <= 1), film


def pieces_in(offsets: Sequence[tuple[int, int]], spans: Iterable[tuple[int, int]]) -> np.ndarray:
    """Which word pieces overlap the planted words."""
    wanted = tuple(spans)
    return np.array([end > start and any(start < b and end > a for a, b in wanted) for start, end in offsets])


# --- what is found, over cases


@dataclass(frozen=True)
class Row:
    """A line of the table; `ratio` is found over chance, of the means."""

    measure: str
    target: str
    cases: int
    found: Estimate
    chance: Estimate
    ratio: Estimate

    def record(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name).record() for name in ("found", "chance", "ratio")}
        return {"measure": self.measure, "target": self.target, "cases": self.cases, **numbers}


def summarize(observations: Sequence[Observation], *, resamples: int = 1000, seed: int = 0) -> list[Row]:
    """A row per measure, over all targets and for each."""
    targets = ["all", *dict.fromkeys(o.target for o in observations)]
    rows = []
    for measure in MEASURES:
        for target in targets:
            chosen = [o for o in observations if o.measure == measure and target in ("all", o.target)]
            if chosen:
                rows.append(_row(measure, target, chosen, resamples, seed))
    return rows


def _row(measure: str, target: str, chosen: Sequence[Observation], resamples: int, seed: int) -> Row:
    found, chance = (np.array([getattr(o, name) for o in chosen]) for name in ("found", "chance"))
    statistics: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "found": lambda weights: weights @ found / weights.sum(1),
        "chance": lambda weights: weights @ chance / weights.sum(1),
        "ratio": lambda weights: (weights @ found) / (weights @ chance),
    }
    estimates = patient_bootstrap(statistics, [o.patient_id for o in chosen], resamples=resamples, seed=seed)
    return Row(measure, target, len(chosen), **estimates)


# --- the run


def split(config: Config, cases: Sequence[Case]) -> Splits:
    section = config.data.split
    return split_by_patient(
        cases, val=section.val, test=section.test, seed=section.seed, column=config.data.split_column
    )


def train_one(cohort: Path, out: Path, cases: int, seed: int) -> Path:
    """An artifact trained on a fresh cohort of the quickstart."""
    from clinimm.training.run import train

    write_cohort(cohort, n=cases, seed=seed)
    config = load(shipped(clinimm.__file__, "configs") / "quickstart.toml")
    return train(config, split(config, read_cohort(config, cohort)), out).directory


@dataclass(frozen=True)
class Explained:
    """All that was found, and of every explanation the points on its path and whether its checks passed."""

    observations: list[Observation]
    steps: list[int]
    trusted: list[bool]

    def reliability(self) -> dict[str, float]:
        return {"explanations": len(self.trusted), "trusted": sum(self.trusted), "median_steps": median(self.steps)}


def collect(predictor: Predictor, cohort: Path, progress: Callable[[int, int], None]) -> Explained:
    """What is found in the test cases of `cohort`."""
    evidence = read_evidence(cohort)
    cases = split(predictor.config, read_cohort(predictor.config, cohort)).test
    found = Explained([], [], [])
    for i, case in enumerate(cases):
        parts = dict(predictor.preparer.prepare(case).modalities)
        truth = evidence[case.case_id].targets
        for attribution in predictor.explain(case):
            found.observations.extend(observe(predictor, case, truth[attribution.target], attribution, parts))
            found.steps.append(attribution.steps)
            found.trusted.append(attribution.trusted)
        progress(i + 1, len(cases))
    return found


def print_table(rows: Sequence[Row]) -> None:
    print(f"{'measure':<34}{'target':<16}{'cases':>6}{'found':>8}{'95 %':>17}{'chance':>8}{'ratio':>7}{'95 %':>16}")
    for row in rows:
        print(
            f"{row.measure:<34}{row.target:<16}{row.cases:>6}{row.found.value or 0:>8.3f}{_interval(row.found, 3):>17}"
            f"{row.chance.value or 0:>8.3f}{row.ratio.value or 0:>7.2f}{_interval(row.ratio, 2):>16}"
        )


def _interval(estimate: Estimate, digits: int) -> str:
    if estimate.low is None or estimate.high is None:
        return "-"
    return f"[{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, help="a trained model; needs --data")
    parser.add_argument("--data", type=Path, help="the synthetic cohort that it was trained on")
    parser.add_argument("--cases", type=int, default=1200, help="cases of the cohort, where none is given")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cohort = asked.data or Path(scratch) / "cohort"
        artifact = asked.artifact or train_one(cohort, Path(scratch) / "run", asked.cases, asked.seed)
        predictor = Predictor.load(artifact)
        explained = collect(predictor, cohort, lambda i, n: print(f"\rexplained {i} of {n}", end="", flush=True))
    rows, reliability = summarize(explained.observations), explained.reliability()
    print()
    print_table(rows)
    print(", ".join(f"{name} {value:g}" for name, value in reliability.items()))
    result = {"model": predictor.digest, **reliability, "rows": [row.record() for row in rows]}
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""Are explanations to be trusted, and what do they cost? On the test cases of a synthetic cohort whose truth is known.

    python benchmarks/attribution.py [--artifact DIR --cohort DIR | --synthetic 1000] [--cases 45] [--costs 5]
                                     [--large DIR] [--data DIR --boxed ARTIFACT] [--json FILE]

Without an artifact it writes a cohort and trains configs/quickstart.toml on it first. `planted`: cases whose sign lies
in one input alone; of the mass of the k strongest places, k being as many as the sign takes up or a tenth of them, the
share that lies in the sign. A film's sign is what differs from the same film drawn without it, a note's its sentence.
`faithful`: what `clinimm train` tells of an artifact's explanations and `clinimm promote` judges them by (see
clinimm/evaluation/faithfulness.py), against 20 random orders, with 95 % intervals by drawing patients. `checks`: what
each check says of these explanations, and of the same maps dealt out anew among their units: the limits in
`clinimm.config.explain` are chosen by it. `cost`: beside plain Captum, see attribution_cost.py; with --large of nets of
the size that a hospital would run, too.

With --data, a folder of films with lung boxes (columns lung_x0 ...), and an artifact for it: the share of |attribution|
inside the box of each test film, and the box's own share of the film."""

import argparse
import csv
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import numpy as np
import torch
from attribution_cost import costs
from attribution_planted import planted_shares
from late_labs import trained
from planted_truth import split, train_one

from clinimm.attribution.committee import explain_committee
from clinimm.attribution.kept import Kept
from clinimm.attribution.trust.tests import SEED, gate, perturbed
from clinimm.batch import Batch
from clinimm.data.cohort import read_cohort
from clinimm.data.picture_door import PictureDoor
from clinimm.data.prepare import prepare_all
from clinimm.data.synthetic import write_cohort
from clinimm.evaluation.faithfulness import Number, measure, sample
from clinimm.guard.gate import admit
from clinimm.inference import Predictor, care_of
from clinimm.types import Attribution, Case, ImageFile

ORDERS = 20
BOX = ("lung_x0", "lung_y0", "lung_x1", "lung_y1")


@dataclass(frozen=True)
class Told:
    """One target of one case, explained."""

    case: Case
    batch: Batch
    target: int
    attribution: Attribution
    kept: Kept


def told_of(predictor: Predictor, cases: Sequence[Case], count: int) -> list[Told]:
    """The cases with the most inputs first, each for one target in turn."""
    names, found = predictor.config.target_names, []
    for i, case in enumerate(sorted(cases, key=lambda case: -len(case.inputs))[:count]):
        batch, j = predictor.admit(case)[0], i % len(names)
        if bool(batch.present.any()):
            why = explain_committee(predictor.network, batch, j, target_name=names[j])
            found.append(Told(case, batch, j, why, Kept(predictor.network.members_for(batch), batch)))
    return found


def faithful(predictor: Predictor, cases: Sequence[Case], count: int) -> dict[str, Any]:
    """Every measure with its 95 % interval, as it is told of an artifact, over so many patients."""
    ids = [case.patient_id for case in cases]
    batch = admit(predictor.guards, prepare_all(predictor.preparer, cases))[0]
    rows, care = sample(batch.present.numpy(), ids, count, seed=SEED), care_of(predictor.config.explain)
    care = replace(care, orders=ORDERS)
    found = measure(predictor.network, batch, ids, rows, predictor.config.target_names, care, seed=SEED)
    numbers = found.faithfulness(resamples=predictor.config.evaluation.bootstrap, seed=SEED).numbers
    return {f"{one.measure} {one.modality}".strip(): _told(one) for one in numbers}


def _told(one: Number) -> dict[str, Any]:
    ends = {} if one.mean.low is None else {"low": one.mean.low, "high": one.mean.high}
    return {"patients": one.patients, "mean": one.mean.value, **ends} | ({} if one.p is None else {"p": one.p})


def check_values(predictor: Predictor, told: Sequence[Told]) -> dict[str, Any]:
    """Each check's values for the true maps and for maps dealt out anew among their units; 95th percentile of the one,
    share of the other that fails at the limit in use."""
    care, rng = care_of(predictor.config.explain), np.random.default_rng(SEED)
    found: dict[str, tuple[list[float], list[float], float]] = {}
    for one in told:
        dealt = {
            name: units.spread(rng.permutation(units.scores(one.attribution.maps[name])))
            for name, units in one.kept.units.items()
        }
        for which, maps in enumerate((one.attribution.maps, dealt)):
            found_now = perturbed(
                one.kept,
                replace(one.attribution, maps=maps),
                one.target,
                care.limits,
                orders=care.orders,
                thorough=True,
            )
            for check in found_now:
                name = check.name.partition(":")[0]
                found.setdefault(name, ([], [], check.limit))[which].append(check.value)
        with torch.no_grad():
            weights = dict(zip(one.batch.modalities, predictor.network(one.batch).weights[0].tolist(), strict=True))
        check = gate(one.attribution, weights, care.limits)
        found.setdefault("gate", ([], [], check.limit))[0].append(check.value)
    return {name: _distribution(*values) for name, values in found.items()}


def _distribution(true: Sequence[float], dealt: Sequence[float], limit: float) -> dict[str, Any]:
    ends = {f"p{q}": float(np.percentile(true, q)) for q in (50, 90, 95, 99)}
    failed = {"true_fail": float(np.mean(np.array(true) > limit))}
    caught = {"dealt_fail": float(np.mean(np.array(dealt) > limit))} if dealt else {}
    return {"n": len(true), **ends, "limit": limit, **failed, **caught}


def in_boxes(predictor: Predictor, data: Path, count: int) -> dict[str, Any]:
    """The share of |attribution| of a film that lies in its lung box, over test films that have one."""
    with (data / predictor.config.data.manifest).open(newline="", encoding="utf-8") as file:
        rows = {row[predictor.config.data.case_id]: row for row in csv.DictReader(file)}
    found = []
    for case in split(predictor.config, read_cohort(predictor.config, data)).test:
        cells = [rows[case.case_id].get(name, "") for name in BOX]
        films = [name for name, given in case.inputs.items() if isinstance(given, ImageFile)]
        if all(cells) and films and len(found) < count:
            batch = predictor.admit(case)[0]
            inside, film = _box(predictor, films[0], case, [float(cell) for cell in cells])
            if bool(batch.modalities[films[0]].present[0]) and inside.any():
                why = explain_committee(predictor.network, batch, 0, target_name="")
                strength = np.abs(why.maps[films[0]]).sum(0)
                found.append((float(strength[inside].sum() / strength.sum()), float(inside.sum() / film.sum())))
    shares = np.array(found).reshape(-1, 2)
    return {"films": len(shares), "inside": float(shares[:, 0].mean()), "area": float(shares[:, 1].mean())}


def _box(predictor: Predictor, name: str, case: Case, box: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of the model's grid lie in a box of fractions of the film, and which in the film."""
    door, given = predictor.preparer.doors[name], case.inputs[name]
    assert isinstance(door, PictureDoor)
    assert isinstance(given, ImageFile)
    placed = door.look(given).placement
    size = door.modality.shape[1:]
    at = [
        (np.arange(side) + 0.5 - placed.offset[axis]) / placed.resized[axis] for axis, side in enumerate(size)
    ]  # of the film: 0 at its near edge, 1 at its far one
    film = ((at[0] >= 0) & (at[0] < 1))[:, None] & ((at[1] >= 0) & (at[1] < 1))[None]
    inside = ((at[0] >= box[1]) & (at[0] < box[3]))[:, None] & ((at[1] >= box[0]) & (at[1] < box[2]))[None]
    return inside & film, film


def run(predictor: Predictor, cohort: Path, asked: argparse.Namespace) -> dict[str, Any]:
    test = split(predictor.config, read_cohort(predictor.config, cohort)).test
    told = told_of(predictor, test, asked.cases)
    whole = [case for case in test if len(case.inputs) == len(predictor.modalities)][: asked.costs]
    found = {
        "model": predictor.digest,
        "planted": planted_shares(predictor, cohort, test),
        "faithful": faithful(predictor, test, asked.cases),
        "checks": check_values(predictor, told),
        "cost": costs(predictor, whole),
    }
    if asked.large:
        found["cost, large nets"] = costs_of_large(asked.large)
    if asked.data:
        found["lungs"] = in_boxes(Predictor.load(asked.boxed), asked.data, asked.cases)
    return found


def costs_of_large(folder: Path) -> dict[str, Any]:
    """Of one test case, by nets of the size that a hospital would run, trained there if they are not yet."""
    cohort, artifact = folder / "cohort", folder / "run" / "artifact"
    if not artifact.exists():
        trained(write_cohort(cohort, n=96, seed=7, rate=0.0).parent, folder / "run", "optim={epochs=4, batch_size=8}")
    predictor = Predictor.load(artifact)
    whole = [
        case
        for case in split(predictor.config, read_cohort(predictor.config, cohort)).test
        if len(case.inputs) == len(predictor.modalities)
    ]
    return costs(predictor, whole[:1], is_large=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, help="a trained model; needs --cohort")
    parser.add_argument("--cohort", type=Path, help="the synthetic cohort that it was trained on")
    parser.add_argument("--synthetic", type=int, default=1000, help="cases of a cohort that is written")
    parser.add_argument("--cases", type=int, default=45, help="test cases to explain")
    parser.add_argument("--costs", type=int, default=5, help="complete test cases to time")
    parser.add_argument("--large", type=Path, help="folder of a large model, trained there once (see late_labs.py)")
    parser.add_argument("--data", type=Path, help="films with lung boxes; needs --boxed")
    parser.add_argument("--boxed", type=Path, help="an artifact trained on --data")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cohort = asked.cohort or Path(scratch) / "cohort"
        artifact = asked.artifact or train_one(cohort, Path(scratch) / "run", asked.synthetic, 7)
        found = run(Predictor.load(artifact), cohort, asked)
    for part, rows in found.items():
        print(f"\n{part}")
        for name, row in rows.items() if isinstance(rows, dict) else [(rows, "")]:
            told = {key: float(f"{value:.4g}") for key, value in row.items()} if isinstance(row, dict) else row
            print(f"  {name}: {told}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""Labs that come after the film and the note: the second answer, with kept features and without them.

    python benchmarks/late_labs.py [--artifact DIR --data COHORT] [--rounds 15] [--json FILE]

Without an artifact, one of the size that a hospital would run is trained for one epoch: five nets, each a DenseNet121
over a 224 x 224 film and a BERT of six layers over 256 word pieces, and the learner beside them. It is no good, but as
slow as a good one. The film is the cohort's own at 2048 x 2048 with a detector's noise, 12 bits. In each round every
film is answered for with its note, and then with labs besides, with a new folder of features and without any; the
answers must be the same. One thread; medians, and 95th percentiles of the answers that the labs bring."""

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import numpy as np
import torch
from dicom_input import write_film
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless

import clinimm
from clinimm.config import load
from clinimm.data.cohort import read_cohort
from clinimm.data.picture import resize
from clinimm.data.synthetic import write_cohort
from clinimm.features.shelf import Shelf
from clinimm.features.store import Features
from clinimm.inference import Answer, Predictor
from clinimm.io.scan import read_scan
from clinimm.paths import shipped
from clinimm.training.folds import split
from clinimm.training.run import train
from clinimm.types import Case, ImageFile, Kind

REALISTIC = (
    "inputs.cxr.size=[224, 224]",
    "inputs.cxr.encoder={name='densenet121'}",
    "inputs.note.encoder={name='transformer', options={hidden=384, layers=6, heads=12}}",
    "inputs.note.length=256",
    "model.width=64",
    "modality_dropout.spoilt=1",
    "optim={epochs=1, batch_size=8}",
    "evaluation.bootstrap=20",
    "explain.measured=0",
)
SYNTAXES = {"uncompressed": ExplicitVRLittleEndian, "JPEG 2000": JPEG2000Lossless}
SIDE, DETECTOR_NOISE = 2048, 12.0


@dataclass
class Taken:
    """Seconds of the answers to one kind of film: the first (film and note) and the second (labs besides)."""

    first: dict[str, list[float]] = field(default_factory=lambda: {"without": [], "with": []})
    second: dict[str, list[float]] = field(default_factory=lambda: {"without": [], "with": []})
    kept_bytes: int = 0

    def figures(self) -> dict[str, float]:
        medians = {
            f"{answer}_{how}": float(np.median(seconds))
            for answer, taken in (("first", self.first), ("second", self.second))
            for how, seconds in taken.items()
        }
        p95 = {f"second_{how}_p95": float(np.quantile(seconds, 0.95)) for how, seconds in self.second.items()}
        ratio = medians["second_without"] / medians["second_with"]
        return medians | p95 | {"ratio": ratio, "kept_megabytes": self.kept_bytes / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, help="a trained model; needs --data")
    parser.add_argument("--data", type=Path, help="a cohort that it reads")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if (asked.artifact is None) != (asked.data is None):
        parser.error("--artifact and --data go together")
    with tempfile.TemporaryDirectory(prefix="clinimm-late-") as scratch:
        folder = Path(scratch)
        cohort = asked.data or write_cohort(folder / "cohort", n=48, seed=7, rate=0.0).parent
        artifact = asked.artifact or trained(cohort, folder / "run")
        plain = Predictor.load(artifact)
        case = admitted(plain, cohort)
        films = {name: large(plain, case, folder, name, syntax) for name, syntax in SYNTAXES.items()}
        taken = {name: Taken() for name in films}
        for number in range(-1, asked.rounds):  # one round to warm up
            for name, one in films.items():
                kept, into = folder / f"kept-{number}-{name}", taken[name] if number >= 0 else Taken()
                ask(plain, one, kept, into, kept_first=number % 2 == 0)
    show(taken, asked.rounds)
    if asked.json:
        figures = {name: {key: round(value, 4) for key, value in one.figures().items()} for name, one in taken.items()}
        asked.json.write_text(json.dumps({"rounds": asked.rounds, "seconds": figures}, indent=1))


def trained(cohort: Path, out: Path, *settings: str) -> Path:
    """A model of `REALISTIC` size; `settings` are over its own."""
    config = load(shipped(clinimm.__file__, "configs") / "quickstart.toml", (*REALISTIC, *settings))
    return train(config, split(config, read_cohort(config, cohort)), out).directory


def admitted(predictor: Predictor, cohort: Path) -> Case:
    """The first case whose inputs are all there and none of them turned away."""
    for case in read_cohort(predictor.config, cohort):
        whole = len(case.inputs) == len(predictor.modalities)
        if whole and len(predictor.predict([case])[0].used) == len(case.inputs):
            return case
    raise SystemExit("no case of the cohort is complete and admitted")


def large(predictor: Predictor, case: Case, folder: Path, name: str, syntax: UID) -> Case:
    """The case with its film at full size, known by its bytes."""
    (image,) = (m.name for m in predictor.modalities if m.kind is Kind.IMAGE)
    film = case.inputs[image]
    assert isinstance(film, ImageFile)
    small = torch.from_numpy(np.ascontiguousarray(read_scan(film.paths).pixels))
    noise = np.random.default_rng(0).normal(0, DETECTOR_NOISE, (SIDE, SIDE))
    pixels = (4095 * resize(small, (SIDE, SIDE)).numpy() + noise).clip(0, 4095).astype(np.uint16)
    path = write_film(folder, name.replace(" ", "_"), syntax, pixels)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    given = replace(film, paths=(path,), digests=(digest,))
    return replace(case, inputs=dict(case.inputs) | {image: given})


def ask(plain: Predictor, case: Case, folder: Path, taken: Taken, *, kept_first: bool) -> None:
    """Both answers with a new folder of features and without: the same predictor, its shelf put in and left out."""
    shelf = Shelf.of(Features(folder), plain.digest, plain.device)
    keeping = replace(plain, preparer=replace(plain.preparer, shelf=shelf))
    panels = {m.name for m in plain.modalities if m.kind is Kind.TABULAR}
    early = replace(case, inputs={name: given for name, given in case.inputs.items() if name not in panels})
    order = (("with", keeping), ("without", plain)) if kept_first else (("without", plain), ("with", keeping))
    for asked, seconds in ((early, taken.first), (case, taken.second)):
        answers: dict[str, Answer] = {}
        for how, predictor in order:
            started = time.perf_counter()
            answers[how] = predictor.answer(asked)
            seconds[how].append(time.perf_counter() - started)
        assert answers["with"].prediction == answers["without"].prediction
        assert np.array_equal(answers["with"].point, answers["without"].point)
        assert answers["with"].prediction.used == tuple(asked.inputs)
    taken.kept_bytes = sum(path.stat().st_size for path in folder.iterdir())


def show(taken: Mapping[str, Taken], rounds: int) -> None:
    print(f"{rounds} rounds, seconds; every answer the same to the bit with features and without")
    print(f"{'2048 x 2048 film':<18}{'answer':<10}{'without':>10}{'with':>10}{'p95 without':>14}{'p95 with':>10}")
    for name, one in taken.items():
        figures = one.figures()
        print(f"{name:<18}{'first':<10}{figures['first_without']:>10.3f}{figures['first_with']:>10.3f}")
        print(
            f"{'':<18}{'with labs':<10}{figures['second_without']:>10.3f}{figures['second_with']:>10.3f}"
            f"{figures['second_without_p95']:>14.3f}{figures['second_with_p95']:>10.3f}"
            f"   {figures['ratio']:.1f} times faster, {figures['kept_megabytes']:.2f} MB kept"
        )


if __name__ == "__main__":
    main()

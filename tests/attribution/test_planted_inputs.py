"""REP-07: where one input alone drives the label, by known pixels, words or analytes, the explanation lies there."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from dicom_files import dataset, save

from clinimm.attribution.committee import explain_committee
from clinimm.config import load
from clinimm.data.cohort import read_cohort
from clinimm.inference import Predictor
from clinimm.training.folds import split
from clinimm.training.run import train
from clinimm.types import Note

CONFIG = """
name = "planted"
targets = ["sick"]

[data]
manifest = "cases.csv"

[inputs.film]
kind = "image"
column = "film"
size = [32, 32]
window = "full"

[inputs.note]
kind = "text"
column = "note"
length = 24
vocabulary = 64

[inputs.labs]
kind = "tabular"
analytes = [
    { name = "a", unit = "1" }, { name = "b", unit = "1" }, { name = "c", unit = "1" }, { name = "d", unit = "1" },
]

[committee]
folds = 2
trees = 50

[optim]
epochs = 12
"""
WORDS = ("liver", "spleen", "kidney", "heart", "left", "right", "upper", "lower", "small", "large", "seen", "normal")
SIGN, SPOT = "effusion", (slice(12, 20), slice(4, 12))
STRONGEST = 0.5  # as many places as half of the sign: at its edges a map of pixels is smooth
CASES, EXPLAINED = 240, 12
RARE = 0.35  # the median film, before which films are explained, shows no sign


def write_planted(folder: Path, drives: str) -> None:
    """Cases with all inputs, of which one shows the truth; the others are chance."""
    rng = np.random.default_rng(7)
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("case_id", "patient_id", "sick", "film", "note", "a", "b", "c", "d"))
        for i in range(CASES):
            shown = {name: bool(rng.random() < RARE) for name in ("film", "note", "labs")}
            pixels = rng.normal(120, 12, (32, 32))
            pixels[SPOT] += 60 * shown["film"]
            save(dataset(pixels.clip(0, 255).astype(np.uint8)), folder / f"{i}.dcm")
            words = list(rng.choice(WORDS, 12))
            if shown["note"]:
                words[int(rng.integers(12))] = SIGN
            panel = rng.normal(0, 1, 4)
            panel[1] += 8 * shown["labs"]
            values = [round(value, 3) for value in panel]
            writer.writerow((f"c{i}", f"p{i}", int(shown[drives]), f"{i}.dcm", " ".join(words), *values))


def planted(predictor: Predictor, note: Note, drives: str) -> np.ndarray:
    """Where the sign is, in the map of the input that shows it."""
    if drives == "note":
        start = note.text.find(SIGN)
        words = predictor.preparer.words("note", note.text)
        return np.array([start <= a < b <= start + len(SIGN) for a, b in words])
    where = np.zeros((1, 32, 32) if drives == "film" else 4, bool)
    where[(0, *SPOT) if drives == "film" else 1] = True
    return where


@pytest.mark.slow
@pytest.mark.parametrize("drives", ["film", "note", "labs"])
def test_rep_07_the_strongest_places_are_those_that_were_planted(drives: str, tmp_path: Path) -> None:
    write_planted(tmp_path, drives)
    (tmp_path / "planted.toml").write_text(CONFIG)
    config = load(tmp_path / "planted.toml")
    splits = split(config, read_cohort(config, tmp_path))
    predictor = Predictor.load(train(config, splits, tmp_path / "run").directory)
    shares = []
    for case in [case for case in splits.test if case.targets["sick"]][:EXPLAINED]:
        note = case.inputs["note"]
        assert isinstance(note, Note)
        batch, _ = predictor.admit(case)
        why = explain_committee(predictor.network, batch, 0, target_name="sick")
        size, there = np.abs(why.maps[drives]).ravel(), planted(predictor, note, drives).ravel()
        strongest = np.argsort(-size, kind="stable")[: math.ceil(STRONGEST * there.sum())]
        shares.append(size[strongest][there[strongest]].sum() / size[strongest].sum())
        assert max(why.shapley, key=lambda name: abs(why.shapley[name])) == drives
    assert np.mean(shares) >= 0.9, shares

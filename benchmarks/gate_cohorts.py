"""The cohorts on which ways of joining inputs are compared: two planted ones, and two real ones with small encoders."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import clinimm
from clinimm.config import Config, load
from clinimm.config.reading import parse
from clinimm.data.cohort import read_cohort
from clinimm.data.split import Splits, folds
from clinimm.paths import shipped

KINDS = ("synergy", "redundant", "appendicitis", "covid")
PLANTED, REAL = KINDS[:2], KINDS[2:]
TRAINING = {
    "optim": {"lr": 1e-2, "weight_decay": 0.5, "epochs": 25, "batch_size": 64, "patience": 10},
    "modality_dropout": {"analyte": 0.15},
}
SMALL_COVID = (
    "inputs.cxr.encoder={name='eigen', dropout=0.3}",
    "inputs.cxr.augment=false",
    "optim.batch_size=64",
    "optim.weight_decay=0.5",
    "optim.lr=1e-2",
    "optim.epochs=25",
    "optim.patience=10",
)


def cohort(kind: str, data: Path | None, scratch: Path, seed: int) -> tuple[Config, list[Splits]]:
    """The config of a kind of cohort, and its folds. Planted ones are written to `scratch`; the real ones lie in
    `data`/covid_cxr and `data`/appendicitis."""
    if kind in PLANTED:
        scratch.mkdir(parents=True, exist_ok=True)
        columns = write_planted(scratch / "cases.csv", kind, n=800, seed=seed)
        return _folds(panels(kind, columns, ["sick"]), scratch)
    if data is None:
        raise SystemExit(f"{kind} needs --data")
    if kind == "covid":
        return _folds(
            load(shipped(clinimm.__file__, "configs") / "cxr_note_labs.toml", SMALL_COVID), data / "covid_cxr"
        )
    columns = appendicitis_columns(data / "appendicitis" / "cases.csv")
    targets = ["label_appendicitis", "label_surgical", "label_complicated"]
    return _folds(panels(kind, columns, targets), data / "appendicitis")


def _folds(config: Config, data: Path) -> tuple[Config, list[Splits]]:
    section = config.data.split
    return config, folds(read_cohort(config, data), val=section.val, seed=section.seed, column=config.data.fold_column)


def panels(name: str, columns: Mapping[str, Sequence[str]], targets: Sequence[str]) -> Config:
    """A config of panels only: input -> columns of a manifest."""
    inputs: dict[str, Any] = {
        panel: {
            "kind": "tabular",
            "encoder": {"name": "analytes"},
            "analytes": [{"name": _name(c), "unit": "1", "column": c} for c in named],
        }
        for panel, named in columns.items()
    }
    data = {"manifest": "cases.csv", "fold_column": "fold", "split": {"val": 0.2}}
    return parse({"name": name, "data": data, "targets": list(targets), "inputs": inputs} | TRAINING, name)


def _name(column: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", column.lower())


def appendicitis_columns(path: Path) -> dict[str, list[str]]:
    """The numeric columns of exam, labs and ultrasound."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    numeric = [name for name in rows[0] if all(_is_number(row[name]) for row in rows)]
    return {
        p: [name for name in numeric if name.startswith(f"{p}_") and "raw" not in name] for p in ("exam", "lab", "us")
    }


def _is_number(text: str) -> bool:
    return not text or re.fullmatch(r"-?\d+(\.\d+)?([eE]-?\d+)?", text) is not None


def write_planted(path: Path, kind: str, *, n: int, seed: int) -> dict[str, list[str]]:
    """A manifest of three panels of four values and the label `sick`, a tenth of the panels missing; its columns.

    synergy: sick where exactly one of the signs of the first two panels is on; the third tells nothing, and so does
    each alone. redundant: all three panels show the sickness, each with noise of its own. 3 % of labels are wrong."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (n, 3))
    sick = signs[:, 0] ^ signs[:, 1] if kind == "synergy" else signs[:, 0]
    shown = signs if kind == "synergy" else np.repeat(signs[:, :1], 3, axis=1)
    level = (2 * shown - 1) * 1.0 + rng.normal(0, 0.4 if kind == "synergy" else 1.2, (n, 3))
    values = level[:, :, None] * np.array([1.0, -0.8, 0.9, 0.6]) + rng.normal(0, 0.5, (n, 3, 4))
    missing = rng.random((n, 3)) < 0.1
    missing[np.arange(n), rng.integers(0, 3, n)] = False
    label = sick ^ (rng.random(n) < 0.03)
    return write_panels(path, values, missing, label, folds=5)


def write_panels(
    path: Path, values: np.ndarray, missing: np.ndarray, sick: np.ndarray, *, folds: int
) -> dict[str, list[str]]:
    """A manifest of three panels, `values` (n, 3, 4) without those that are `missing` (n, 3); its columns by panel."""
    columns = {panel: [f"{panel}_{i}" for i in range(4)] for panel in ("first", "second", "third")}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient_id", "fold", "sick", *(c for named in columns.values() for c in named)])
        for i in range(len(values)):
            cells = ["" if missing[i, p] else f"{values[i, p, j]:.4f}" for p in range(3) for j in range(4)]
            writer.writerow([f"c{i:04d}", f"p{i:04d}", i % folds, int(sick[i]), *cells])
    return columns

"""A cohort of two hospitals: each measures its own two analytes, of which the first tells the finding."""

import csv
from pathlib import Path

import numpy as np

CONFIG = """
name = "panels"
targets = ["finding"]

[data]
manifest = "train.csv"
attributes = ["site"]

[inputs.blood]
kind = "tabular"
encoder = { name = "analytes" }
analytes = [{ name = "crp", unit = "mg/L" }, { name = "ldh", unit = "U/L" }]

[inputs.urine]
kind = "tabular"
encoder = { name = "completed" }
analytes = [{ name = "protein", unit = "mg/L" }, { name = "glucose", unit = "mg/L" }]

[model]
width = 8

[committee]
folds = 2
learner = false

[modality_dropout]
p = 0.0

[optim]
lr = 4e-2
epochs = 5
batch_size = 64

[evaluation]
bootstrap = 100
"""
COLUMNS = ("case_id", "patient_id", "finding", "site", "fold", "crp", "ldh", "protein", "glucose")


def write_panels(
    folder: Path, name: str, *, n: int = 300, seed: int = 0, turned: str = "", noise: float = 0.5, prefix: str = "p"
) -> Path:
    """The manifest `folder/name`. At the site `turned` every label is turned around; `noise` drowns the analytes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for i in range(n):
            site, finding = ("A", "B")[i % 2], bool(rng.random() < 0.5)
            told, other = (2.0 * finding - 1 + rng.normal(0, noise)) * 10 + 100, rng.normal(100, 10)
            panel = ("crp", "ldh") if site == "A" else ("protein", "glucose")
            writer.writerow({
                "case_id": f"{prefix}{i}", "patient_id": f"{prefix}{i}", "site": site, "fold": i // 2 % 2,
                "finding": int(finding != (site == turned)), panel[0]: f"{told:.2f}", panel[1]: f"{other:.2f}",
            })  # fmt: skip
    return folder / name


def write_config(folder: Path) -> Path:
    """The config of that cohort."""
    path = folder / "panels.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path

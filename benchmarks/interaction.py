"""A cohort that only fusion can solve, given to `clinimm train` as anyone's data would be: columns named, no setting.

    python benchmarks/interaction.py --data DIR [--seed 0] [--out DIR] [--json FILE]

DIR holds `make.py`, which makes 1200 cases: a picture, a note, ten analytes with gaps, and an answer that depends on
their products. The first 800 train, the last 400 judge; then inputs of these are hidden at random. Prints AUROC beside
that of simple opponents trained on the same cases, and of an oracle that is told the hidden factors. A run that is
already in --out is judged again, not trained again. Intervals: 95 %, by drawing patients."""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import numpy as np
from evaluation_tables import evaluation_tables
from PIL import Image

TRAIN = 800
CLI = [sys.executable, "-c", "from clinimm.cli import main; main()"]
CONFIG = """name = "interaction"
targets = ["y"]

[data]
manifest = "cases.csv"
split_column = "split"

[inputs.picture]
kind = "image"
column = "picture"
size = [64, 64]

[inputs.note]
kind = "text"
column = "note"

[inputs.labs]
kind = "tabular"
analytes = [{analytes}]
"""


def write_cohort(source: Path, out: Path) -> Path:
    """The manifest of the cases in a file of `make.py`; pictures as PNG beside it."""
    cases = np.load(source, allow_pickle=False)
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    labs = cases["labs"]
    names = [f"lab{j}" for j in range(labs.shape[1])]
    with (out / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["case_id", "patient_id", "split", "picture", "note", *names, "y"])
        for i, pixels in enumerate(cases["image"]):
            picture = f"pictures/{i:04d}.png"
            Image.fromarray(pixels).save(out / picture)
            part = "test" if i >= TRAIN else "val" if i % 5 == 0 else "train"
            values = ["" if np.isnan(value) else f"{value:.6g}" for value in labs[i]]
            rows.writerow([f"c{i:04d}", f"p{i:04d}", part, picture, cases["notes"][i], *values, cases["y"][i]])
    analytes = ", ".join(f'{{ name = "{name}", unit = "1" }}' for name in names)
    (out / "interaction.toml").write_text(CONFIG.format(analytes=analytes), encoding="utf-8")
    return out


def make(folder: Path, seed: int, out: Path) -> Path:
    """The cases that `make.py` in `folder` makes from a seed, as an npz that holds no pickle."""
    code = """if True:
        import sys, numpy
        sys.path.insert(0, sys.argv[1])
        import make
        made = make.make(seed=int(sys.argv[2]))
        numpy.savez(sys.argv[3], **{k: v.astype(str) if v.dtype == object else v for k, v in made.items()})
    """
    subprocess.run([sys.executable, "-c", code, str(folder), str(seed), str(out)], check=True)
    return out


def oracle(source: Path) -> float:
    """The AUROC of a logistic regression on the hidden factors and their products."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    cases = np.load(source, allow_pickle=False)
    a, b, c = (2.0 * cases[name] - 1 for name in "abc")
    x, y = np.stack([a, b, c, a * b, a * c, b * c, a * b * c], axis=1), cases["y"]
    model = LogisticRegression().fit(x[:TRAIN], y[:TRAIN])
    return float(roc_auc_score(y[TRAIN:], model.decision_function(x[TRAIN:])))


def train(cohort: Path, run: Path) -> float:
    """Seconds that `clinimm train` took; of a run that is there already, those it took then."""
    told = run / "seconds.json"
    if not (run / "artifact" / "manifest.json").exists() or not told.exists():
        start = time.perf_counter()
        subprocess.run(
            [*CLI, "train", str(cohort / "interaction.toml"), "--data", str(cohort), "--out", str(run)], check=True
        )
        told.write_text(json.dumps(time.perf_counter() - start), encoding="utf-8")
    return float(json.loads(told.read_text(encoding="utf-8")))


def evaluate(cohort: Path, run: Path) -> dict[str, Any]:
    """What `clinimm evaluate` finds, opponents beside; its page lies in the run."""
    page = run / "evaluation"
    command = ["evaluate", str(run), str(cohort / "cases.csv"), "--opponents", "--out", str(page)]
    subprocess.run([*CLI, *command], check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads((page / "evaluation.json").read_text(encoding="utf-8"))
    return found


def table(found: dict[str, Any]) -> str:
    """The figures of one seed in Markdown."""
    head = f"Seed {found['seed']}: trained in {found['seconds']:.0f} s; an oracle has {found['oracle']:.3f}."
    return head + "\n\n" + evaluation_tables(found["record"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/interaction"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    source = make(given.data, given.seed, given.out / f"made-{given.seed}.npz")
    cohort = write_cohort(source, given.out / f"cohort-{given.seed}")
    run = given.out / f"run-{given.seed}"
    found = {
        "seed": given.seed, "seconds": train(cohort, run), "oracle": oracle(source), "record": evaluate(cohort, run),
    }  # fmt: skip
    print(table(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

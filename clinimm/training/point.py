"""One point of a sweep, in a process of its own: `python -m clinimm.training.point FOLDER DATA`.

The folder holds the settings as `config.json`; it gets the folds' artifacts, and `result.json` once all are judged.
Ends when its standard input closes: whoever started it is gone then."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from clinimm.config import Config, parse
from clinimm.data.cohort import read_cohort
from clinimm.errors import ClinimmError
from clinimm.evaluation.answers import Answers
from clinimm.metrics import auroc
from clinimm.training.folds import pooled, train_each

RESULT = "result.json"


def run_point(config: Config, data: Path, folder: Path) -> dict[str, Any]:
    """Trains and judges every fold, or what is left of them, and writes the result whole or not at all."""
    started = time.monotonic()
    runs = train_each(config, read_cohort(config, data), folder)
    result = {
        "validation": [validation_score(run.held_out) for run in runs],
        "test": pooled(config, runs).record(),
        "seconds": round(time.monotonic() - started, 1),
    }
    building = folder / f".{RESULT}.building"
    building.write_text(json.dumps(result, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(building, folder / RESULT)
    return result


def validation_score(held_out: Answers) -> float | None:
    """The AUROC of what the members of a run said of patients held out from them, mean over targets and over every
    subset of inputs; None where no subset has both classes."""
    scores = held_out.scores
    found = []
    for j, target in enumerate(scores.target_names):
        for subset, p in held_out.probabilities.items():
            rows = scores.known(target) & scores.answered(subset)
            found.append(auroc(held_out.labels(target)[rows], p[rows, j]))
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _end_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock the interpreter wants when it ends
        pass
    os._exit(3)


def main() -> None:
    """Exit code 2 and a line on standard error for what the user can mend."""
    folder, data = map(Path, sys.argv[1:])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        run_point(parse(json.loads((folder / "config.json").read_text(encoding="utf-8")), str(folder)), data, folder)
    except ClinimmError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()

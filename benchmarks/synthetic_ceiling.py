"""The most that any model can reach on the synthetic cohort, for every subset of inputs: the AUROC of knowing the
planted signs themselves. What a model stays below it is the model's; the rest is missing inputs and label noise.

    python benchmarks/synthetic_ceiling.py --cases 20000 --out ceiling.json
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path

import numpy as np

from clinimm.data.synthetic.missingness import Missing
from clinimm.data.synthetic.plan import KINDS, QUESTIONS, Mechanism, PlannedCase, Recipe, plan_cohort
from clinimm.metrics import auroc
from clinimm.types import Kind

SUBSETS = tuple(chain.from_iterable(combinations(KINDS, size) for size in range(1, len(KINDS) + 1)))


def ceiling(cases: Sequence[PlannedCase], target: str, subset: Sequence[Kind]) -> float:
    """AUROC, on the second half of the cases that have something of the subset, of the label rate that the first half
    shows for the same signs."""
    seen = [
        (tuple((kind in case.signals[target].on) if kind in case.present else None for kind in subset), case)
        for case in cases
        if case.present & set(subset)
    ]
    signs, labels = [sign for sign, _ in seen], np.array([case.signals[target].label for _, case in seen])
    half = len(seen) // 2
    count = Counter(signs[:half])
    positive = Counter(sign for sign, label in zip(signs[:half], labels[:half], strict=True) if label)
    rates = np.array([(positive[sign] + 1) / (count[sign] + 2) for sign in signs[half:]])
    return auroc(labels[half:], rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--missing", choices=list(Missing), default=Missing.MCAR, type=Missing)
    parser.add_argument("--rate", type=float, default=0.15)
    parser.add_argument("--mechanism", choices=list(Mechanism), default=None, type=Mechanism)
    parser.add_argument("--out", type=Path, default=None, help="also write the table as JSON")
    given = parser.parse_args()
    recipe = Recipe(given.seed, given.missing, given.rate, given.mechanism)
    cases = plan_cohort(given.cases, recipe)
    names = [question.name for question in QUESTIONS]
    table = {"+".join(subset): {name: round(ceiling(cases, name, subset), 3) for name in names} for subset in SUBSETS}
    print(f"{'inputs':22}" + "".join(f"{name:>15}" for name in names))
    for subset, row in table.items():
        print(f"{subset:22}" + "".join(f"{row[name]:15.3f}" for name in names))
    if given.out:
        given.out.write_text(json.dumps({"cases": given.cases, "auroc": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()

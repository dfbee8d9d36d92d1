"""Runs beside each other as tables, and in a sentence who is better."""

from collections.abc import Sequence

from clinimm.evaluation.grid import UNKNOWN, Grid, figure, signed_figure
from clinimm.evaluation.rivals import ALL_INPUTS, METRICS, Difference, Rivalry, Rivals

HEADINGS = {"auroc": "AUROC", "brier": "Brier", "ece": "ECE"}
NOTE = (
    "Differences are the first less the second, on the same draws of patients; p is Holm's over the pairs of runs. Less"
    " Brier and ECE is better. DeLong's p takes every case for an independent one."
)


def rival_grids(found: Rivals, names: Sequence[str]) -> list[Grid]:
    """The runs by letters, their own figures, and every difference; the targets one after the other."""
    letters = {name: chr(ord("A") + place) if len(names) <= 26 else f"R{place}" for place, name in enumerate(names)}
    targets = tuple(dict.fromkeys(standing.target for standing in found.standings))
    grids = [Grid("runs", ("", "run"), tuple((letters[name], name) for name in names))]
    for target in targets:
        rows = tuple(
            (letters[s.run], str(s.cases), *(figure(s.estimates[metric]) for metric in METRICS))
            for s in found.standings
            if s.target == target
        )
        grids.append(Grid(f"{target}: each run with all its inputs", ("run", "cases", *HEADINGS.values()), rows))
        pairs = [one for one in found.rivalries if one.target == target]
        columns = ("inputs", "runs", "cases", "yes", *(w for h in HEADINGS.values() for w in (h, "p")), "DeLong p")
        cells = tuple(_row(one, letters) for one in pairs)
        grids.append(Grid(f"{target}: differences", columns, cells, (NOTE, verdict(pairs, letters))))
    return grids


def verdict(pairs: Sequence[Rivalry], letters: dict[str, str]) -> str:
    """Which runs differ in AUROC with all inputs by more than luck."""
    told = []
    for one in pairs:
        gap = one.differences["auroc"]
        if one.subset == ALL_INPUTS and gap.holm is not None and gap.holm < 0.05 and gap.estimate.value is not None:
            first, second = (one.first, one.second) if gap.estimate.value > 0 else (one.second, one.first)
            told.append(f"{letters[first]} ranks better than {letters[second]} by {abs(gap.estimate.value):.3f}")
    return f"{'; '.join(told)}." if told else "With all inputs no run ranks better than another by more than luck."


def _row(one: Rivalry, letters: dict[str, str]) -> tuple[str, ...]:
    figures = (cell for metric in METRICS for cell in _cells(one.differences[metric]))
    delong = UNKNOWN if one.delong.p != one.delong.p else f"{one.delong.p:.3f}"
    runs = f"{letters[one.first]} - {letters[one.second]}"
    inputs = one.subset.replace("+", " + ")
    return (inputs, runs, str(one.cases), str(one.positives), *figures, delong)


def _cells(found: Difference) -> tuple[str, str]:
    return signed_figure(found.estimate), UNKNOWN if found.holm is None else f"{found.holm:.3f}"

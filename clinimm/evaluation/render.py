"""An evaluation as tables: subsets of inputs beside quoted references, gains, and opponents on the same cases."""

from collections.abc import Sequence

from clinimm.bootstrap import Estimate
from clinimm.config import Reference
from clinimm.evaluation.compare import Comparison
from clinimm.evaluation.evaluate import Evaluation, TargetEvaluation
from clinimm.evaluation.faithfulness import COMPLETE, DELETION, RANDOMIZED, RELIABLE, Faithfulness
from clinimm.evaluation.grid import Grid, figure, signed_figure
from clinimm.evaluation.measure import COVERAGE, METRICS, Gain, Row
from clinimm.scores import members, subset_name

HEADINGS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier",
    "ece": "ECE",
    "sensitivity": "sens.",
    "specificity": "spec.",
    COVERAGE: "coverage",
}
SUBSET_NOTE = "A row holds the cases that have at least one of its inputs, all others hidden."
MEASURES = {
    DELETION: "deletion, logits",
    RELIABLE: "every check passes, share",
    COMPLETE: "maps add up, share",
    RANDOMIZED: "likeness to maps of shuffled weights, cosine",
}
EXPLANATIONS_NOTE = (
    "Deletion: by how much further the answer falls without what a map ranks first than in random orders; p, of no"
    " better, by Wilcoxon over patients. Comprehensiveness is that as a share of all that was seen to happen,"
    " sufficiency by how much more of the answer comes back with it alone. 95 % intervals by drawing patients."
)
THRESHOLD_NOTE = "Sensitivity and specificity at the threshold set on validation; 95 % intervals by drawing patients."


def evaluation_grids(
    evaluation: Evaluation, references: Sequence[Reference] = (), metrics: Sequence[str] = METRICS
) -> list[Grid]:
    """For each target the table of subsets, of patterns and of gains; `references`, which are of the first target,
    right after its subsets."""
    grids = []
    for place, target in enumerate(evaluation.targets):
        quoted = references_grid(target.target, references if place == 0 else ())
        grids += [subsets_grid(target, metrics), quoted, patterns_grid(target, metrics), gains_grid(target)]
    return [grid for grid in grids if grid.rows]


def subsets_grid(target: TargetEvaluation, metrics: Sequence[str] = METRICS) -> Grid:
    """All inputs first, then each alone, each left out, and what other subsets there are."""
    ordered = {row.name: row for row in (target.whole, *target.singles.values(), *target.left_out.values())}
    rows = {**ordered, **{row.name: row for row in target.subsets if row.name not in ordered}}
    cells = tuple(_cells(label(name, target.modalities), row, metrics) for name, row in rows.items())
    return Grid(f"{target.target}: every subset of inputs", _columns(metrics), cells, (SUBSET_NOTE, THRESHOLD_NOTE))


def references_grid(target: str, references: Sequence[Reference]) -> Grid:
    """What others reached, as the config quotes it: not measured here."""
    rows = tuple((reference.name, _quoted(reference), reference.source) for reference in references)
    return Grid(f"{target}: quoted for comparison, not measured here", ("model", "AUROC", "source"), rows)


def patterns_grid(target: TargetEvaluation, metrics: Sequence[str] = METRICS) -> Grid:
    """Cases by the inputs that they came with."""
    rows = tuple(_cells(_joined(row.name), row, metrics) for row in target.patterns)
    return Grid(f"{target.target}: cases by what they came with", _columns(metrics), rows)


def gains_grid(target: TargetEvaluation) -> Grid:
    """What all inputs add to each one alone and to each set that lacks one."""
    rows = tuple(_gain_cells(label(gain.over, target.modalities), gain) for gain in target.gains)
    columns = ("all inputs against", "cases", "AUROC difference", "")
    return Grid(f"{target.target}: what all inputs together add", columns, rows)


def comparison_grid(comparison: Comparison, metrics: Sequence[str] = METRICS) -> Grid:
    """The model and its opponents on the same test cases; the last lines say who wins."""
    gains = {gain.over: signed_figure(gain.auroc) for gain in comparison.gains}
    rows = tuple((*_cells(row.name, row, metrics), gains.get(row.name, "")) for row in comparison.rows)
    notes = tuple(line for line in (comparison.verdict, comparison.leak) if line)
    return Grid(f"{comparison.target}: against simple opponents", (*_columns(metrics), "ours - theirs"), rows, notes)


def explanations_grid(found: Faithfulness) -> Grid:
    """What the explanations are worth: each measure of the whole, then of each input."""
    rows = tuple(
        (
            MEASURES.get(one.measure, one.measure), one.modality or "all inputs", str(one.patients),
            signed_figure(one.mean) if one.modality or one.measure == RANDOMIZED else figure(one.mean),
            "" if one.p is None else f"{one.p:.2g}",
        )
        for one in found.numbers
    )  # fmt: skip
    columns = ("measure", "input", "patients", "mean", "p")
    return Grid(f"Explanations of {found.patients} patients", columns, rows, (EXPLANATIONS_NOTE,))


def label(subset: str, modalities: Sequence[str]) -> str:
    """What a subset is called beside the whole: "all inputs", "cxr alone", "without labs", or its members."""
    names = members(subset)
    if subset == subset_name(modalities):
        return "all inputs" if len(modalities) > 1 else f"{subset} alone"
    if len(names) == 1:
        return f"{subset} alone"
    absent = [name for name in modalities if name not in names]
    return f"without {absent[0]}" if len(absent) == 1 else _joined(subset)


def _joined(subset: str) -> str:
    return " + ".join(members(subset)) or "nothing"


def _columns(metrics: Sequence[str]) -> tuple[str, ...]:
    return ("inputs", "cases", "yes", *(HEADINGS[name] for name in metrics))


def _cells(name: str, row: Row, metrics: Sequence[str]) -> tuple[str, ...]:
    return (name, str(row.cases), str(row.positives), *(figure(row.estimates[metric]) for metric in metrics))


def _quoted(reference: Reference) -> str:
    low, high = reference.interval or (None, None)
    return figure(Estimate(reference.auroc, low, high, 0, 0))


def _gain_cells(name: str, gain: Gain) -> tuple[str, ...]:
    return (name, str(gain.cases), signed_figure(gain.auroc), "clear" if gain.clear else "not clear")

"""Everything a judgement holds, as tables by section."""

from collections.abc import Iterator, Sequence

from clinimm.config import Reference
from clinimm.evaluation.compare import OURS
from clinimm.evaluation.contribution import Contribution
from clinimm.evaluation.corruption import Corruption
from clinimm.evaluation.curves import Curves
from clinimm.evaluation.delong import Tested
from clinimm.evaluation.evaluate import TargetEvaluation
from clinimm.evaluation.grid import UNKNOWN, Grid, figure, percent, signed_figure
from clinimm.evaluation.judgement import Judgement
from clinimm.evaluation.measure import COVERAGE, METRICS
from clinimm.evaluation.probes.findings import Findings
from clinimm.evaluation.render import (
    HEADINGS,
    comparison_grid,
    gains_grid,
    label,
    patterns_grid,
    references_grid,
    subsets_grid,
)
from clinimm.evaluation.robustness import Robustness
from clinimm.evaluation.subgroups import CELL_METRICS, COMPARED, FEWEST_CASES, FEWEST_OF_A_CLASS, Cell, Subgroups

FEW = "too few"


def metrics_of(target: TargetEvaluation) -> tuple[str, ...]:
    """The metrics of a model: coverage only of one that gives sets."""
    return (*METRICS, COVERAGE) if COVERAGE in target.whole.estimates else METRICS


def input_tables(target: TargetEvaluation, references: Sequence[Reference] = ()) -> list[Grid]:
    metrics = metrics_of(target)
    grids = [
        subsets_grid(target, metrics),
        references_grid(target.target, references),
        patterns_grid(target, metrics),
        gains_grid(target),
    ]
    return [grid for grid in grids if grid.rows]


def opponent_tables(judgement: Judgement, target: str) -> list[Grid]:
    """The comparison, the mean over subsets, and DeLong's test beside."""
    found = []
    for comparison in judgement.comparisons:
        if comparison.target != target:
            continue
        found.append(comparison_grid(comparison))
        gains = {gain.over: signed_figure(gain.auroc) for gain in comparison.subset_gains}
        rows = tuple((n, figure(one), gains.get(n, "")) for n, one in comparison.over_subsets.items())
        notes = (comparison.verdict_over_subsets,) if comparison.verdict_over_subsets else ()
        columns = ("opponent", "mean AUROC", "ours - theirs")
        found.append(Grid(f"{target}: mean AUROC over every subset of the inputs", columns, rows, notes))
    tests = [one for one in judgement.tests if one.target == target]
    return [*found, _delong(target, tests)] if tests else found


def _delong(target: str, tests: Sequence[Tested]) -> Grid:
    rows = tuple(
        (
            one.over,
            str(one.cases),
            f"{one.test.difference:+.3f} [{one.test.low:+.3f}, {one.test.high:+.3f}]",
            f"{one.test.p:.3g}",
        )
        for one in tests
    )
    note = (
        f"Patients have {max(one.films for one in tests):.1f} cases on average. DeLong's test takes each case for an "
        "independent one, so with several cases of a patient it is too sure; the intervals above draw whole patients."
    )
    columns = (f"{OURS} against", "cases", "AUROC difference", "p")
    return Grid(f"{target}: DeLong's test", columns, rows, (note,))


def contribution_table(target: str, found: Sequence[Contribution]) -> Grid | None:
    """The share of each input and of each pair, on complete cases and on all."""
    told = [one for one in found if one.target == target]
    if not told:
        return None
    columns = ("", *(f"{one.on} ({one.cases})" for one in told))
    shares = [(name, *(signed_figure(one.shapley[name]) for one in told)) for name in told[0].shapley]
    pairs = [
        (f"{' and '.join(pair)}, together beyond apart", *(signed_figure(one.interactions[pair]) for one in told))
        for pair in told[0].interactions
    ]
    whole = ("all inputs, above 0.5", *(_above_guess(one) for one in told))
    notes = (
        "Shapley values of the AUROC over all subsets of inputs, no input being worth 0.5; shares add up to the last "
        "line but for rounding. Of all cases, one that has nothing of a subset is answered by the prior: an input that "
        "is often missing adds less there.",
    )
    return Grid(f"{target}: what each input adds to the AUROC", columns, (*shares, *pairs, whole), notes)


def _above_guess(one: Contribution) -> str:
    return UNKNOWN if one.whole.value is None else f"{one.whole.value - 0.5:+.3f}"


def robustness_table(target: str, found: Sequence[Robustness]) -> Grid | None:
    for one in found:
        if one.target == target:
            shown = [i for i, rate in enumerate(one.rates) if round(100 * rate) % 20 == 0]
            gains = {gain.over: signed_figure(gain.auroc) for gain in one.gains}
            rows = tuple(
                (c.name, *(_bare(c.auroc[i].value) for i in shown), figure(c.area), gains.get(c.name, ""))
                for c in one.curves
            )
            columns = ("", *(percent(one.rates[i]) for i in shown), "mean along the curve", "ours - theirs")
            note = (
                f"AUROC of {one.cases} cases with that share of the inputs removed at random, each by itself, the mean "
                f"of {one.repeats} removals; a case that would lose all keeps one. Where an opponent has nothing to go "
                "by it says the prevalence."
            )
            return Grid(f"{target}: inputs removed at random", columns, rows, (note,))
    return None


def selection_tables(target: str, found: Sequence[Curves]) -> Iterator[Grid]:
    """What is gained by answering only the surest cases."""
    for one in found:
        if one.target == target and one.selection is not None:
            chosen = one.selection
            rows = (
                ("mean risk over all coverages (AURC)", figure(chosen.aurc)),
                ("of it the fault of the confidence (excess AURC)", figure(chosen.excess)),
                *((f"wrong among the surest {percent(at)}", figure(chosen.risks[at])) for at in (0.5, 0.8, 0.9, 1.0)),
                *((f"answered at {percent(at)} wrong", figure(risk)) for at, risk in chosen.coverages.items()),
            )
            kept = "Giving up the least sure tenth never clearly raises the risk." if chosen.monotone else (
                "Giving up the least sure cases clearly raises the risk somewhere: the confidence misleads."
            )  # fmt: skip
            yield Grid(f"{target}: answering only the surest", ("", "share"), rows, (kept,))


def subgroup_tables(target: str, found: Sequence[Subgroups], modalities: Sequence[str]) -> Iterator[Grid]:
    """For each attribute: the groups with all inputs, then the AUROC of every subset of inputs; the gaps last."""
    for one in found:
        if one.target != target or not one.cells:
            continue
        whole = one.of(one.cells[-1].subset)
        metrics = [m for m in CELL_METRICS if any(m in cell.row.estimates for cell in whole)]
        for attribute in dict.fromkeys(cell.attribute for cell in one.cells):
            cells = [cell for cell in whole if cell.attribute == attribute]
            columns = (attribute, "cases", "patients", "yes", *(HEADINGS[metric] for metric in metrics))
            rows = tuple(_cell_row(cell, metrics) for cell in cells)
            note = f"{FEW}: under {FEWEST_CASES} cases, or {FEWEST_OF_A_CLASS} patients of a class that a figure needs."
            yield Grid(f"{target} by {attribute}, all inputs", columns, rows, (note,))
        if len(modalities) > 1:
            yield _matrix(target, one, modalities)
        if one.disparities:
            yield _gaps(target, one)


def _cell_row(cell: Cell, metrics: Sequence[str]) -> tuple[str, ...]:
    row = cell.row
    told = (figure(row.estimates[m]) if m in row.estimates else FEW for m in metrics)
    return (row.name, str(row.cases), str(row.patients), str(row.positives), *told)


def _matrix(target: str, found: Subgroups, modalities: Sequence[str]) -> Grid:
    subsets = list(dict.fromkeys(cell.subset for cell in found.cells))
    groups = list(dict.fromkeys((cell.attribute, cell.row.name) for cell in found.cells))
    by_place = {(cell.subset, cell.attribute, cell.row.name): cell for cell in found.cells}
    rows = tuple(
        (f"{attribute}: {group}", *(_auroc(by_place[subset, attribute, group]) for subset in subsets))
        for attribute, group in groups
    )
    columns = ("AUROC (cases)", *(label(subset, modalities) for subset in subsets))
    note = "Each on the cases of the group that have one of the inputs; intervals of every cell are in the JSON."
    return Grid(f"{target}: every subset of inputs in every subgroup", columns, rows, (note,))


def _auroc(cell: Cell) -> str:
    estimate = cell.row.estimates.get("auroc")
    told = FEW if estimate is None or estimate.value is None else f"{estimate.value:.2f}"
    return f"{told} ({cell.row.cases})"


def _gaps(target: str, found: Subgroups) -> Grid:
    rows = tuple(
        (
            f"{d.attribute}: {HEADINGS[d.metric]}",
            d.best,
            d.worst,
            figure(d.gap),
            "clear" if d.gap.clear else "not clear",
        )
        for d in found.disparities
        if d.metric in COMPARED
    )
    note = (
        "Intervals are widened for the number of pairs that best and worst were picked from (Bonferroni). A gap that "
        "is not clear may still be there: small groups cannot show it."
    )
    return Grid(f"{target}: the widest gap between subgroups", ("", "best", "worst", "gap", ""), rows, (note,))


def corruption_tables(target: str, found: Sequence[Corruption]) -> Iterator[Grid]:
    for one in found:
        if one.target != target:
            continue
        rows = tuple(
            (f"{strength:g}", figure(weight), figure(auroc), figure(distance))
            for strength, weight, auroc, distance in zip(
                one.strengths, one.weight, one.auroc, one.distance, strict=True
            )
        )
        notes = (
            f"{one.cases} cases that have {one.modality} and another input. Without {one.modality} the AUROC is "
            f"{figure(one.without)}. Gate weight lost at the strongest: {signed_figure(one.falls)}.",
        )
        columns = (one.unit, "gate weight", "AUROC", "mean distance to the answer without it")
        yield Grid(f"{target}: {one.modality} spoilt by {one.how}", columns, rows, notes)


def probe_tables(target: str, found: Sequence[Findings]) -> Iterator[Grid]:
    for one in found:
        if one.target == target:
            rows = tuple(
                (f"{f.probe}: {f.name}", f.measure, str(f.cases), signed_figure(f.value) if "change" in f.measure else
                 figure(f.value))
                for f in one.all
            )  # fmt: skip
            notes = tuple(f.says for f in one.all if f.says)
            yield Grid(f"{target}: shortcut probes", ("probe", "measure", "cases", ""), rows, notes)


def _bare(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"

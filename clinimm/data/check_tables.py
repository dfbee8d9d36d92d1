"""A cohort check as tables for the terminal."""

from collections.abc import Iterable, Mapping

from rich.markup import escape
from rich.table import Table

from clinimm.bootstrap import Estimate
from clinimm.data.check import CohortCheck


def tables(check: CohortCheck) -> list[Table]:
    """Inputs, patterns, analytes and targets, one table each; no table where there is nothing to say."""
    return [table for table in (_inputs(check), _patterns(check), _analytes(check), _targets(check)) if table.row_count]


def headline(check: CohortCheck) -> str:
    spread = ", ".join(f"{patients} with {cases}" for cases, patients in check.cases_per_patient.items())
    return f"{check.cases} cases of {check.patients} patients (patients by cases: {spread})"


def counts_table(title: str, counts: Mapping[str, int], total: int) -> Table:
    """One row per name, with its count and share."""
    table = _table(title, "", "cases", "share")
    for name, count in counts.items():
        table.add_row(escape(name), str(count), _share(count, total))
    return table


def _inputs(check: CohortCheck) -> Table:
    table = _table("Inputs", "", "present", "share", "absent because", "not used", "undated", "mended")
    for one in check.inputs:
        share, undated = _share(one.present, check.cases), str(one.undated or "")
        words = _counted(one.reasons), _counted(one.refused), undated, _counted(one.flags)
        table.add_row(escape(one.name), str(one.present), share, *words)
    return table


def _patterns(check: CohortCheck) -> Table:
    return counts_table("Which inputs come together", check.patterns, check.cases)


def _analytes(check: CohortCheck) -> Table:
    table = _table("Analytes", "", "unit", "known", "share", "median", "left out or mended")
    for one in check.analytes:
        median = "" if one.median is None else f"{one.median:g}"
        table.add_row(
            escape(one.name), one.unit, str(one.known), _share(one.known, check.cases), median, _counted(one.faults)
        )
    return table


def _targets(check: CohortCheck) -> Table:
    table = _table("Targets", "", "known", "yes", "rate", "AUROC of missingness alone")
    for one in check.targets:
        rate = _share(one.positive, one.known)
        table.add_row(escape(one.name), str(one.known), str(one.positive), rate, _estimate(one.mask_auroc))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(
            column, justify="right" if column in {"present", "cases", "known", "yes", "undated"} else "left"
        )
    return table


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else ""


def _counted(counts: Mapping[str, int]) -> str:
    pairs: Iterable[tuple[str, int]] = counts.items()
    return ", ".join(f"{name} {count}" for name, count in pairs)


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return "too few patients"
    interval = "" if estimate.low is None else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.value:.3f}{interval}"

"""Findings as tables: the shortcuts, and what the model does without them."""

from collections.abc import Sequence

from clinimm.evaluation.grid import Grid, figure, signed_figure
from clinimm.evaluation.probes.findings import AUROC, MOVED, Finding, Findings

ONE_ANALYTE = "analyte hidden"


def findings_grids(found: Findings) -> list[Grid]:
    """The shortcuts with their verdicts; then the model within sites, on cut pictures, with flipped gaps. Analytes that
    were hidden one by one come last."""
    alone = [one for one in found.all if one.probe.endswith(" alone")]
    analytes = [one for one in found.all if ONE_ANALYTE in one.name]
    rest = [one for one in found.all if one not in alone and one not in analytes]
    tables = {"what shortcuts tell": alone, "what the model leans on": rest, "each analyte hidden": analytes}
    return [_grid(f"{found.target}: {title}", rows) for title, rows in tables.items() if rows]


def _grid(title: str, found: Sequence[Finding]) -> Grid:
    rows = tuple((one.probe, one.name, one.measure, str(one.cases), _figure(one)) for one in found)
    notes = tuple(one.says for one in found if one.says and ONE_ANALYTE not in one.name)
    return Grid(title, ("probe", "of", "measure", "cases", "value"), rows, notes)


def _figure(one: Finding) -> str:
    return (figure if one.measure in (AUROC, MOVED) else signed_figure)(one.value)

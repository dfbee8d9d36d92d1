"""A promotion's cells and rules as tables, what speaks against it first."""

from clinimm.evaluation.grid import UNKNOWN, Grid
from clinimm.evaluation.paired import Cell
from clinimm.evaluation.promotion import Promotion
from clinimm.scores import members

NOTE = "Ends of one band for all cells (95 %, by drawing patients); a cell falls if the better end is worse than none."


def cells_grid(found: Promotion, shown: int | None = None) -> Grid:
    """The cells that fall, then the others, the nearest to falling first; at most `shown` of these."""
    holding = sorted((cell for cell in found.cells if cell.word == "holds"), key=lambda c: -_nearness(c))
    few = [cell for cell in found.cells if cell.word == "too few"]
    kept = [*found.fallen, *(holding + few if shown is None else holding[:shown])]
    hidden = len(found.cells) - len(kept)
    notes = (NOTE, *([f"{hidden} more cells hold, or have too few cases: --all shows them."] if hidden else []))
    columns = ("inputs", "among", "target", "metric", "cases", "yes", "current", "candidate", "difference", "")
    return Grid(
        f"candidate {found.candidate[:12]} against {str(found.current)[:12]}: {found.cases} cases of {found.patients}"
        f" patients new to both, {found.left_out} left out",
        columns,
        tuple(_row(cell) for cell in kept),
        notes,
    )


def findings_grid(found: Promotion) -> Grid:
    """Each rule, whether it holds, and what was found; the broken ones first."""
    words = {False: "BROKEN", None: "not asked", True: "holds"}
    ordered = sorted(found.findings, key=lambda f: [False, None, True].index(f.holds))
    return Grid("rules", ("rule", "", "found"), tuple((f.rule, words[f.holds], f.told) for f in ordered))


def _nearness(cell: Cell) -> float:
    """How near to falling: how much worse, in halves of the band."""
    half = (cell.high or 0.0) - (cell.difference or 0.0)
    return cell.worse_by / half if half else cell.worse_by


def _row(cell: Cell) -> tuple[str, ...]:
    figures = (UNKNOWN if value is None else f"{value:.3f}" for value in (cell.current, cell.candidate))
    return (
        " + ".join(members(cell.subset)), cell.group, cell.target, cell.metric, str(cell.cases), str(cell.positives),
        *figures, _difference(cell), "" if cell.word == "holds" else cell.word.upper(),
    )  # fmt: skip


def _difference(cell: Cell) -> str:
    if cell.difference is None:
        return UNKNOWN
    return f"{cell.difference:+.3f} [{cell.low:+.3f}, {cell.high:+.3f}]"

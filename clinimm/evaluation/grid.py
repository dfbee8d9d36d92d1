"""A table of text that can be drawn in a terminal or written as Markdown."""

from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table

from clinimm.bootstrap import Estimate

UNKNOWN = "n/a"


@dataclass(frozen=True)
class Grid:
    """The first column names a row. `notes` stand under the table, one a line."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def rich(self) -> Table:
        caption = escape("\n".join(self.notes)) or None
        table = Table(
            title=escape(self.title), title_justify="left", caption=caption, caption_justify="left", box=box.SIMPLE
        )
        for place, column in enumerate(self.columns):
            table.add_column(escape(column), justify="left" if place == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(escape(cell) for cell in row))
        return table

    def markdown(self) -> str:
        """The table under its title, pipes escaped, notes after it."""
        rule = ("---", *("---:" for _ in self.columns[1:]))
        lines = [" | ".join(_escaped(cell) for cell in row) for row in (self.columns, rule, *self.rows)]
        table = "\n".join(f"| {line} |" for line in lines)
        return "\n\n".join([f"**{self.title}**", table, *self.notes])


def figure(estimate: Estimate) -> str:
    """A number with its interval: 0.842 [0.780, 0.893]."""
    if estimate.value is None:
        return UNKNOWN
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def signed_figure(estimate: Estimate) -> str:
    """A difference with its interval: +0.021 [-0.010, +0.052]."""
    if estimate.value is None:
        return UNKNOWN
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def percent(share: float) -> str:
    """A share in whole percent: 11 %."""
    return f"{100 * share:.0f} %"


def _escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")

"""The curves of a judgement as SVG pictures: colors that the color-blind can tell apart, line styles that survive a
black-and-white printer, the same bytes for the same numbers, and what they show in words.

Colors: Okabe & Ito 2008, Color Universal Design."""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clinimm.bootstrap import Estimate
from clinimm.evaluation.contribution import Contribution
from clinimm.evaluation.corruption import Corruption
from clinimm.evaluation.curves import Curves
from clinimm.evaluation.grid import figure, percent, signed_figure
from clinimm.evaluation.render import label
from clinimm.evaluation.robustness import Robustness
from clinimm.evaluation.subgroups import Cell, Subgroups

INK, SOFT, FAINT, BLUE, RED, GREEN = "#16191d", "#545c66", "#c3c9d0", "#0072B2", "#D55E00", "#009E73"
COLORS = (BLUE, RED, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LOOK: dict[Any, Any] = {
    "svg.hashsalt": "clinimm", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 8.5,
    "axes.edgecolor": SOFT, "axes.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 9, "axes.titlelocation": "left", "axes.titleweight": "bold", "text.parse_math": False,
    "xtick.color": SOFT, "ytick.color": SOFT, "axes.grid": True, "grid.color": "#e6eaee", "grid.linewidth": 0.7,
    "legend.frameon": False, "legend.fontsize": 8, "lines.linewidth": 1.6, "figure.facecolor": "white",
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """An SVG picture as a data URL, what it shows in words for who cannot see it, and the line under it."""

    source: str
    alt: str
    caption: str


def roc_picture(found: Curves, modalities: Sequence[str]) -> Picture:
    """Sensitivity against false positives, all inputs and each alone."""
    with _look():
        drawing, axes = _square()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
        for one, color, style in zip(found.rocs, cycle(COLORS), cycle(STYLES), strict=False):
            if one.low and one is found.rocs[0]:
                axes.fill_between(one.rates, one.low, one.high, color=color, alpha=0.15, linewidth=0)
            axes.plot((0, *one.rates), (0, *one.sensitivity), color=color, linestyle=style,
                      label=label(one.name, modalities))  # fmt: skip
        axes.set(xlabel="share of no that is flagged (1 - specificity)", ylabel="share of yes that is flagged",
                 xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))  # fmt: skip
        axes.legend(loc="lower right")
        source = _source(drawing)
    told = "; ".join(
        f"{label(one.name, modalities)}: sensitivity {_at(one.rates, one.sensitivity, 0.1):.2f} at 10 % and "
        f"{_at(one.rates, one.sensitivity, 0.3):.2f} at 30 % false positives"
        for one in found.rocs
    )
    return Picture(source, f"ROC curves. {told}.", "ROC, with the 95 % band of all inputs, drawn by patient.")


def reliability_picture(found: Curves, modalities: Sequence[str]) -> Picture:
    """What was said against what came true, all inputs."""
    one = found.reliabilities[0]
    with _look():
        drawing, axes = _square()
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
        for part in one.bins:
            axes.plot([part.said, part.said], [part.low, part.high], color=BLUE, linewidth=1.1)
        axes.plot([b.said for b in one.bins], [b.came for b in one.bins], color=BLUE, marker="o", markersize=4.5)
        axes.set(xlabel="probability that was said", ylabel="share that came true",
                 xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))  # fmt: skip
        source = _source(drawing)
    told = "; ".join(f"said {b.said:.2f}, came true {b.came:.2f} ({b.low:.2f} to {b.high:.2f})" for b in one.bins)
    caption = (
        f"Reliability, {label(one.name, modalities)}: bins of equal counts; 95 % intervals (Wilson) that count a "
        "patient once. On the diagonal the probabilities come true."
    )
    return Picture(source, f"Reliability diagram. {told}.", caption)


def risk_picture(found: Curves) -> Picture | None:
    """Errors among the answered against the share answered."""
    chosen = found.selection
    if chosen is None or chosen.aurc.value is None:
        return None
    risks = tuple(chosen.risks.values())
    with _look():
        drawing, axes = _square()
        _band(axes, tuple(chosen.risks), risks, BLUE)
        axes.plot(tuple(chosen.risks), _values(risks), color=BLUE, marker="o", markersize=4)
        axes.set(xlabel="share of cases answered, the surest first", ylabel="share of them decided wrongly",
                 xlim=(0, 1.02))  # fmt: skip
        axes.set_ylim(bottom=0)
        source = _source(drawing)
    told = "; ".join(f"{percent(at)} answered, {figure(one)} wrong" for at, one in chosen.risks.items())
    caption = (
        f"Risk against coverage, decisions at one half, with its 95 % band. Mean risk (AURC) {figure(chosen.aurc)}."
    )
    return Picture(source, f"Risk-coverage curve. {told}.", caption)


def robustness_picture(found: Robustness) -> Picture:
    """The AUROC as inputs go: the model with its band, the best opponent, the others in grey."""
    rivals = sorted(found.curves[1:], key=lambda curve: -(curve.area.value or 0.0))
    with _look():
        drawing, axes = _wide()
        for place, curve in enumerate(rivals[1:]):
            name = "other opponents" if place == 0 else "_"
            axes.plot(found.rates, _values(curve.auroc), color=FAINT, linewidth=1, label=name)
        for curve in rivals[:1]:
            axes.plot(found.rates, _values(curve.auroc), color=RED, linestyle="--", marker="s", markersize=3.5,
                      label=f"best opponent: {curve.name}")  # fmt: skip
        model = found.curves[0]
        _band(axes, found.rates, model.auroc, BLUE)
        axes.plot(
            found.rates, _values(model.auroc), color=BLUE, marker="o", markersize=4, linewidth=2, label=model.name
        )
        axes.xaxis.set_major_formatter(lambda rate, _: percent(rate))
        axes.set(xlabel="share of the inputs removed at random", ylabel="AUROC")
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], names[::-1], loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2)
        source = _source(drawing)
    told = "; ".join(f"{c.name}: {figure(c.auroc[0])} with all, {figure(c.auroc[-1])} at the end" for c in found.curves)
    caption = "Robustness: AUROC as inputs are taken away, with the model's 95 % band."
    return Picture(source, f"Robustness curves. {told}.", caption)


def contribution_picture(found: Sequence[Contribution]) -> Picture:
    """The share of each input as a bar with its interval, on complete cases and on all."""
    names = list(found[0].shapley)
    with _look():
        drawing, axes = _wide(0.55 + 0.55 * len(names))
        height = 0.8 / len(found)
        for i, (one, color) in enumerate(zip(found, (BLUE, "#E69F00"), strict=False)):
            for row, share in enumerate(one.shapley.values()):
                at = row + (i - (len(found) - 1) / 2) * height
                told = f"{one.on} ({one.cases})" if row == 0 else "_"
                axes.barh(at, share.value or 0.0, height=height * 0.85, color=color, alpha=0.85, label=told)
                _whisker(axes, share, at)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set(xlabel="share of the AUROC above one half")
        axes.legend(loc="best")
        source = _source(drawing)
    told = "; ".join(
        f"{one.on}: {', '.join(f'{name} {signed_figure(share)}' for name, share in one.shapley.items())}"
        for one in found
    )
    caption = "What each input adds: Shapley values of the AUROC over all subsets of inputs, with 95 % intervals."
    return Picture(source, f"Shapley values of the inputs. {told}.", caption)


def subgroup_picture(found: Subgroups) -> Picture:
    """The AUROC of every subgroup with its interval, all inputs."""
    cells = [cell for cell in found.of(found.cells[-1].subset) if _told(cell)]
    with _look():
        drawing, axes = _wide(0.7 + 0.24 * len(cells))
        attributes = list(dict.fromkeys(cell.attribute for cell in cells))
        for row, cell in enumerate(cells):
            style = attributes.index(cell.attribute) % len(COLORS)
            auroc = cell.row.estimates["auroc"]
            _whisker(axes, auroc, row, COLORS[style])
            axes.plot(auroc.value or 0.0, row, color=COLORS[style], marker=MARKERS[style], markersize=5)
        axes.set_yticks(range(len(cells)), [f"{_short(f'{c.attribute}: {c.row.name}')} ({c.row.cases})" for c in cells])
        axes.invert_yaxis()
        axes.set(xlabel="AUROC with all inputs")
        source = _source(drawing)
    told = "; ".join(f"{c.attribute} {c.row.name}: {figure(c.row.estimates['auroc'])}" for c in cells)
    return Picture(source, f"AUROC by subgroup. {told}.", "Subgroups (cases): AUROC with all inputs, 95 % intervals.")


def corruption_picture(found: Sequence[Corruption]) -> Picture:
    """A column for each way to spoil an input: its gate weight, the AUROC, the distance to the answer without it."""
    rows = ("gate weight", "AUROC", "distance to the\nanswer without it")
    with _look():
        drawing = Figure(figsize=(2.1 * len(found) + 0.6, 5.4), layout="constrained")
        grid = drawing.subplots(3, len(found), squeeze=False, sharey="row", sharex="col")
        for column, (one, color, marker) in enumerate(zip(found, cycle(COLORS), cycle(MARKERS), strict=False)):
            for row, told in enumerate((one.weight, one.auroc, one.distance)):
                axes = grid[row][column]
                _band(axes, one.strengths, told, color)
                axes.plot(one.strengths, _values(told), color=color, marker=marker, markersize=3.5)
            if one.without.value is not None:
                grid[1][column].axhline(one.without.value, color=SOFT, linestyle=":", linewidth=1.2)
            grid[0][column].set_title(_short(f"{one.modality}: {one.how}", 26))
            grid[2][column].set_xlabel(_wrapped(one.unit))
        for row, name in enumerate(rows):
            grid[row][0].set_ylabel(name)
        grid[0][0].set_ylim(bottom=0)
        grid[2][0].set_ylim(bottom=0)
        source = _source(drawing)
    told_all = "; ".join(
        f"{one.modality} spoilt by {one.how}: gate weight {figure(one.weight[0])} to {figure(one.weight[-1])}, AUROC "
        f"{figure(one.auroc[0])} to {figure(one.auroc[-1])}, without the input {figure(one.without)}"
        for one in found
    )
    caption = "One input spoilt more and more, with 95 % bands; dotted is the AUROC without that input."
    return Picture(source, f"Gate weight against corruption. {told_all}.", caption)


@contextmanager
def _look() -> Iterator[None]:
    """The same look whatever the settings of whoever runs this; theirs are put back."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_LOOK)
        yield


def _square() -> tuple[Figure, Axes]:
    drawing = Figure(figsize=(3.9, 3.7), layout="constrained")
    return drawing, drawing.subplots()


def _wide(height: float = 3.6) -> tuple[Figure, Axes]:
    drawing = Figure(figsize=(7.8, max(1.6, height)), layout="constrained")
    return drawing, drawing.subplots()


def _source(drawing: Figure) -> str:
    file = io.StringIO()
    drawing.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue().encode()).decode("ascii")


def _values(told: Sequence[Estimate]) -> list[float]:
    return [float("nan") if one.value is None else one.value for one in told]


def _band(axes: Axes, x: Sequence[float], told: Sequence[Estimate], color: str) -> None:
    if all(one.low is not None and one.high is not None for one in told):
        low, high = [one.low or 0.0 for one in told], [one.high or 0.0 for one in told]
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def _whisker(axes: Axes, told: Estimate, row: float, color: str = INK) -> None:
    if told.low is not None and told.high is not None:
        axes.plot([told.low, told.high], [row, row], color=color, linewidth=1.1)


def _told(cell: Cell) -> bool:
    auroc = cell.row.estimates.get("auroc")
    return auroc is not None and auroc.value is not None


def _at(x: Sequence[float], y: Sequence[float], where: float) -> float:
    """The height at the point nearest to `where`."""
    return y[min(range(len(x)), key=lambda i: abs(x[i] - where))]


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _wrapped(text: str) -> str:
    head, _, tail = text.partition(" of ")
    return f"{head}\nof {tail}" if tail else head

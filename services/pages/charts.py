"""Line charts as plain numbers for a template: no style, no script; what they show stands in a table beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from services.drift.series import Chart, Line

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 190, 46, 12, 10, 24
DASHES = ("none", "7 4", "2 3", "9 3 2 3", "4 2", "1 4")
"""Lines differ by their dashes and marks, not by color alone."""


@dataclass(frozen=True)
class Drawn:
    """`runs` are the points of each unbroken stretch, as SVG has them; `dots` those of all."""

    name: str
    dash: str
    kind: int
    runs: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Drawing:
    lines: tuple[Drawn, ...]
    grid: tuple[tuple[float, str], ...]
    days: tuple[tuple[float, str, str], ...]


def drawing(chart: Chart, starts: Sequence[date]) -> Drawing:
    """The chart on a scale from 0 to a round number at or above its largest value, time to scale."""
    top = _top([value for line in chart.lines for value in line.values if value is not None])
    days = [(start - starts[0]).days for start in starts] if starts else []
    across = [LEFT + (WIDTH - LEFT - RIGHT) * (day / days[-1] if days[-1] else 0.5) for day in days]
    ends = dict.fromkeys((0, len(starts) - 1)) if starts else {}
    anchors = {0: "start", len(starts) - 1: "end"} if len(starts) > 1 else {0: "middle"}
    return Drawing(
        lines=tuple(_line(line, kind, across, top) for kind, line in enumerate(chart.lines)),
        grid=tuple((_height(top * part / 2, top), f"{100 * top * part / 2:g} %") for part in range(3)),
        days=tuple((round(across[place], 1), starts[place].isoformat(), anchors[place]) for place in ends),
    )


def _line(line: Line, kind: int, across: Sequence[float], top: float) -> Drawn:
    points = [
        None if value is None else (round(x, 1), _height(value, top))
        for x, value in zip(across, line.values, strict=True)
    ]
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    joined = tuple(" ".join(f"{x},{y}" for x, y in run) for run in runs if len(run) > 1)
    kind %= len(DASHES)
    return Drawn(line.name, DASHES[kind], kind, joined, tuple(point for point in points if point is not None))


def _height(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)


def _top(values: Sequence[float]) -> float:
    largest = max(values, default=1.0)
    return next((round_one for round_one in (0.05, 0.1, 0.2, 0.5, 1.0) if largest <= round_one), largest)

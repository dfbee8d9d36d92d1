"""The record that `clinimm evaluate --json` writes, as Markdown: subsets, opponents, the curve as inputs are removed,
spoilt inputs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RATES = (0.0, 0.2, 0.4, 0.6, 0.8)
Record = Mapping[str, Any]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def figure(estimate: Record | None, *, sign: bool = False) -> str:
    """A recorded estimate with its interval; nothing where it was not measured."""
    if estimate is None or estimate["value"] is None:
        return ""
    form = "+.3f" if sign else ".3f"
    value = f"{estimate['value']:{form}}"
    if not estimate["interval"]:
        return value
    low, high = estimate["interval"]
    return f"{value} [{low:{form}}, {high:{form}}]"


def evaluation_tables(record: Record) -> str:
    """All tables of an evaluation, target by target."""
    parts = []
    for target in (one["target"] for one in record["targets"]):
        parts.append(f"**{target}**: {record['cases']} cases of {record['patients']} patients")
        parts.append(subsets_table(record, target))
        parts += [table for table in (opponents_table(record, target), curve_table(record, target)) if table]
        parts += [line for line in verdicts(record, target) if line]
    return "\n\n".join(parts)


def of_target(records: Sequence[Record], target: str) -> Record | None:
    return next((one for one in records if one["target"] == target), None)


def subsets_table(record: Record, target: str) -> str:
    """Every subset of inputs, all first."""
    found = of_target(record["targets"], target)
    assert found is not None
    rows = [
        (
            row["name"].replace("+", " + "), row["cases"], row["positives"],
            *(figure(row["metrics"].get(name)) for name in ("auroc", "ece", "coverage")),
        )
        for row in reversed(found["subsets"])
    ]  # fmt: skip
    return markdown(("inputs", "cases", "yes", "AUROC", "ECE", "coverage"), rows)


def opponents_table(record: Record, target: str) -> str:
    """The model and its opponents on all inputs, and averaged over the subsets; the best on all inputs first."""
    found = of_target(record["comparisons"], target)
    if found is None:
        return ""
    gains = {gain["over"]: gain["auroc"] for gain in found["gains"]}
    over = {gain["over"]: gain["auroc"] for gain in found["subset_gains"]}
    ours, *others = found["rows"]
    ranked = [ours, *sorted(others, key=lambda row: -(row["metrics"]["auroc"]["value"] or 0))]
    rows = [
        (
            row["name"], row["cases"], figure(row["metrics"]["auroc"]), figure(gains.get(row["name"]), sign=True),
            figure(found["over_subsets"].get(row["name"])), figure(over.get(row["name"]), sign=True),
        )
        for row in ranked
    ]  # fmt: skip
    columns = ("", "cases", "AUROC, all inputs", "ours - theirs", "mean AUROC over subsets", "ours - theirs")
    return markdown(columns, rows)


def curve_table(record: Record, target: str) -> str:
    """The AUROC as inputs are removed at random, and the mean height of the curve; the largest area first."""
    found = of_target(record["robustness"], target)
    if found is None:
        return ""
    places = [found["rates"].index(rate) for rate in RATES]
    gains = {gain["over"]: gain["auroc"] for gain in found["gains"]}
    ours, *others = found["curves"]
    ranked = [ours, *sorted(others, key=lambda curve: -(curve["area"]["value"] or 0))]
    rows = [
        (
            curve["name"], *(f"{curve['auroc'][i]['value']:.3f}" for i in places), figure(curve["area"]),
            figure(gains.get(curve["name"]), sign=True),
        )
        for curve in ranked
    ]  # fmt: skip
    columns = ("inputs removed at random", *(f"{100 * rate:.0f} %" for rate in RATES), "mean of the curve", "ours less")
    return markdown(columns, rows)


def verdicts(record: Record, target: str) -> Iterator[str]:
    """Who wins on all inputs, over the subsets and over the removals, in sentences."""
    if (found := of_target(record["comparisons"], target)) is not None:
        yield from (found[name] for name in ("verdict", "verdict_over_subsets", "leak"))
    if (curve := of_target(record["robustness"], target)) is not None and curve["gains"]:
        ahead = [gain["over"] for gain in curve["gains"] if (gain["auroc"]["value"] or 0) < 0]
        yield (
            f"With inputs removed at random, these have more area: {', '.join(ahead)}."
            if ahead
            else f"With inputs removed at random, the area beats all {len(curve['gains'])} opponents."
        )


def corruption_table(records: Sequence[Record]) -> str:
    """Each input, spoilt more and more: its gate weight, the distance to the answer without it, the AUROC."""
    rows = []
    for one in records:
        for what, key in (("gate weight", "weight"), ("distance of p to p without it", "distance"), ("AUROC", "auroc")):
            ends = {"weight": f"{-(one['weight_lost']['value'] or 0):+.3f}", "auroc": figure(one["auroc_without"])}
            cells = [f"{estimate['value']:.3f}" if estimate["value"] is not None else "" for estimate in one[key]]
            name = f"{one['target']}: {one['input']}, {one['how']}, {one['cases']} cases" if key == "weight" else ""
            rows.append((name, what, *cells, ends.get(key, "")))
    columns = ("input spoilt", "", "sound", "1", "2", "3", "strongest", "change; AUROC without it")
    return markdown(columns, rows)

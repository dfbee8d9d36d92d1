"""The JSON of each benchmark as Markdown, by the benchmark's name. Heavy imports wait until a table is asked for."""

from collections.abc import Callable, Mapping
from typing import Any

from evaluation_tables import evaluation_tables, figure, markdown

Found = Mapping[str, Any]


def conformal_coverage(found: Found) -> str:
    rows = []
    for mechanism, one in found["found"].items():
        for way, row in one["ways"].items():
            rows.append(
                (
                    mechanism, way, *(f"{100 * row[key]:.1f}" for key in ("worst", "worst_answer", "spread")),
                    f"{100 * row['within_2_points']:.0f} %", f"{row['size']:.2f}", f"{row['ece']:.3f}",
                )
            )  # fmt: skip
    columns = ("missing", "limits", "worst pattern off", "of an answer", "spread", "within 2", "set size", "ECE")
    promise = (
        f"Promised {100 * (1 - found['alpha']):.0f} %; {found['cases']} calibration cases, {found['seeds']} seeds."
    )
    return f"{promise} In points.\n\n" + markdown(columns, rows)


def wrong_pictures(found: Found) -> str:
    parts = []
    for title, rows in found.items():
        cells = [(row["kind"], row["n"], figure(row["blocked"]), figure(row["either"])) for row in rows]
        parts.append(f"**{title}**\n\n" + markdown(("pictures", "n", "blocked", "blocked or flagged"), cells))
    return "\n\n".join(parts)


def gates(found: Found) -> str:
    from gates import table

    return "\n\n".join(table(kind, figures) for kind, figures in found.items())


def interaction(found: Found) -> str:
    from interaction import table

    return table(dict(found))


def next_input(found: Found) -> str:
    from next_input_figures import table

    return "\n\n".join(table(found["name"], target, one) for target, one in found["targets"].items())


def planted_fusion(found: Found) -> str:
    from planted_fusion import tables

    return "\n\n".join(tables(kind, one) for kind, one in found.items())


TABLES: dict[str, Callable[[Found], str]] = {
    "evaluation": evaluation_tables,
    "conformal_coverage": conformal_coverage,
    "wrong_pictures": wrong_pictures,
    "gates": gates,
    "interaction": interaction,
    "next_input": next_input,
    "planted_fusion": planted_fusion,
}

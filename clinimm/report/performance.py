"""How the model did on patients like this one, from the evaluation in its artifact: who came with the same inputs, and
who shares an attribute with this patient."""

from collections.abc import Mapping, Sequence

from clinimm.artifact import Provenance
from clinimm.evaluation.subgroups import group_of
from clinimm.report.canonical import Json
from clinimm.scores import subset_name


def like_this(
    provenance: Provenance, target_names: Sequence[str], used: Sequence[str], told: Mapping[str, str]
) -> Json:
    """For each target the row of the test cases that came with just the `used` inputs (`pattern`), the row of those
    with these inputs at least, their others hidden (`subset`), and a row for each group that this patient's attributes
    `told` put them in; None or empty where the evaluation has none, which `known` tells of all of it."""
    metrics = provenance.metrics
    evaluated = {one["target"]: one for one in metrics.get("targets", ())}
    grouped = {one["target"]: one["cells"] for one in provenance.subgroups}
    name = subset_name(used)
    return {
        "known": bool(evaluated),
        "subgroups_known": bool(grouped),
        "cases": metrics.get("cases"),
        "patients": metrics.get("patients"),
        "inputs": list(used),
        "targets": {
            target: {
                "pattern": _row(evaluated.get(target, {}).get("patterns", ()), name),
                "subset": _row(evaluated.get(target, {}).get("subsets", ()), name),
                "subgroups": _groups(grouped.get(target, ()), name, told),
            }
            for target in target_names
        },
    }


def _row(rows: Sequence[Json], name: str) -> Json | None:
    return next((row for row in rows if row["name"] == name), None)


def _groups(cells: Sequence[Json], subset: str, told: Mapping[str, str]) -> list[Json]:
    """The cells of the subset that this patient belongs to."""
    found = []
    for attribute, value in told.items():
        of_it = [cell for cell in cells if cell["attribute"] == attribute and cell["subset"] == subset]
        group = group_of(value, [cell["name"] for cell in of_it])
        found += [cell for cell in of_it if cell["name"] == group]
    return found

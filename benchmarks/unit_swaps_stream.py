"""How many laboratory values with a wrong unit a running service notices, as it comes to know who sends them.

    python benchmarks/unit_swaps_stream.py [--data DIR] [--cases 300] [--swaps 10] [--json FILE]

`clinimm-service serve --no-worker` on a fresh SQLite takes one stream of cases from one sender, each value in the one
unit that the sender has. Before a case is posted, `POST /v1/cases:validate` is asked about it with one of its values
stated in another listed unit, five times off or more and drawn at random: for each value but 0, of at most --swaps of
them. Found is what would not be used, a false alarm what is not used of the case as posted; both by how many values of
the analyte the sender had sent by then, this one included. The naive rule refuses what is impossible in the stated
unit.

Three streams: the laboratory columns of DIR/appendicitis and of DIR/covid_cxr, a case a row, in the order of the file;
and "synthetic", --cases of every analyte that has units far enough apart, drawn with heavy tails as in `unit_swaps`.
"""

import argparse
import json
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
from intake import CONFIG, clinimm, described
from unit_swaps import COLUMNS, Tally, drawn, stated, swaps

from clinimm.config import load
from clinimm.io.lab_table import Listed, ListedUnit, lab_table

RULES = ("naive", "service")
SPANS = {"1st-20th": 20, "21st-100th": 100, "later": None}  # up to which value of an analyte
WHOLE = "all values"
DOUBTED = {"suspected_unit_error", "implausible_lab"}
Tallies = dict[str, dict[str, dict[str, Tally]]]  # by analyte, span and rule


@dataclass(frozen=True)
class Sent:
    """A value as a sender prints it, in its own unit."""

    entry: Listed
    value: Decimal
    unit: ListedUnit

    def lab(self, unit: ListedUnit) -> dict[str, Any]:
        told = {"name": self.entry.key, "specimen": self.entry.specimen}
        return told | {"value": float(self.value), "unit": unit.code}

    def is_impossible(self, unit: ListedUnit) -> bool:
        low, high = self.entry.impossible
        return not low <= float(unit.canonical(Fraction(self.value))) <= high

    def others(self) -> list[ListedUnit]:
        return [b for a, b in swaps(self.entry) if a.scale == self.unit.scale and self.value != 0]


Stream = Sequence[Sequence[Sent]]


def real(data: Path, cohort: str) -> Stream:
    """The cases of a cohort, each value as it was recorded."""
    known = {column: (lab_table().analytes[key], code) for column, (key, code) in COLUMNS[cohort].items()}
    rows = pl.read_csv(data / cohort / "cases.csv", infer_schema_length=None).select(*known).iter_rows(named=True)
    return [
        [
            Sent(entry, Decimal(str(row[column])), unit)
            for column, (entry, code) in known.items()
            if row[column] is not None and (unit := entry.unit(code)) is not None
        ]
        for row in rows
    ]


def synthetic(n: int, rng: np.random.Generator) -> Stream:
    """`n` cases of every analyte that has units far enough apart, each in a unit that was drawn once for all."""
    columns = []
    for entry in lab_table().analytes.values():
        if pairs := list(swaps(entry)):
            unit, _ = pairs[rng.integers(len(pairs))]
            columns.append([Sent(entry, stated(value, unit), unit) for value in drawn(entry, n, True, rng).tolist()])
    return list(zip(*columns, strict=True))


def measured(client: httpx.Client, stream: Stream, at_most: int, rng: np.random.Generator) -> Tallies:
    """What became of each value of the stream, and of what it was exchanged for."""
    found: Tallies = {}
    seen: Counter[str] = Counter()
    for number, case in enumerate(case for case in stream if case):
        can_swap = [at for at, one in enumerate(case) if one.others()]
        for at in rng.permutation(can_swap)[:at_most].tolist():
            one = case[at]
            unit = one.others()[rng.integers(len(one.others()))]
            labs = [each.lab(unit if place == at else each.unit) for place, each in enumerate(case)]
            hits = {"naive": one.is_impossible(unit), "service": asked(client, number, labs)[at]}
            _count(found, one, seen, {rule: Tally(found=hit, swapped=1) for rule, hit in hits.items()})
        for one, alarm in zip(case, posted(client, number, [one.lab(one.unit) for one in case]), strict=True):
            hits = {"naive": one.is_impossible(one.unit), "service": alarm}
            _count(found, one, seen, {rule: Tally(doubted=hit, sound=1) for rule, hit in hits.items()})
        seen.update(one.entry.key for one in case)
    return dict(sorted(found.items()))


def _count(found: Tallies, one: Sent, seen: Counter[str], told: Mapping[str, Tally]) -> None:
    so_far = seen[one.entry.key] + 1
    span = next(name for name, last in SPANS.items() if last is None or so_far <= last)
    for name in (span, WHOLE):
        for rule, tally in told.items():
            rules = found.setdefault(one.entry.key, {}).setdefault(name, dict.fromkeys(RULES, Tally()))
            rules[rule] += tally


def asked(client: httpx.Client, number: int, labs: Sequence[dict[str, Any]]) -> list[bool]:
    """Of each value, whether it would not be used."""
    return _doubted(client.post("/v1/cases:validate", json=_case(number, labs)))


def posted(client: httpx.Client, number: int, labs: Sequence[dict[str, Any]]) -> list[bool]:
    """Of each value, whether it is not used."""
    files = {"case": (None, json.dumps(_case(number, labs)), "application/json")}
    return _doubted(client.post("/v1/cases", files=files, headers={"Idempotency-Key": uuid.uuid4().hex}))


def _case(number: int, labs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"reference": f"order-{number}", "patient": {"id": f"p-{number}"}, "labs": labs}


def _doubted(answer: httpx.Response) -> list[bool]:
    """Raises ValueError if a value is not used for a reason that is not its unit or size."""
    parts = answer.raise_for_status().json()["parts"]
    if strange := {part["code"] for part in parts} - DOUBTED - {""}:
        raise ValueError(f"the model does not take what was sent: {', '.join(sorted(strange))}")
    return [part["outcome"] != "accepted" for part in parts]


def model_of(streams: Iterable[Stream], folder: Path) -> Path:
    """What the API reads of an artifact that takes every analyte of the streams."""
    entries = {one.entry.key: one.entry for stream in streams for case in stream for one in case}
    analytes = [f"{{ name = '{key}', unit = '{entry.units[0].code}' }}" for key, entry in sorted(entries.items())]
    return described(folder, load(CONFIG, [f"inputs.labs.analytes=[{', '.join(analytes)}]"]))


def total(found: Tallies) -> dict[str, dict[str, Tally]]:
    return {
        span: {rule: sum((one[span][rule] for one in found.values() if span in one), Tally()) for rule in RULES}
        for span in (*SPANS, WHOLE)
    }


def show(title: str, found: Tallies) -> None:
    """Found and false alarms of the service; of the naive rule, over the whole stream."""
    columns = [*((span, "service") for span in (*SPANS, WHOLE)), (WHOLE, "naive")]
    print(f"\n{title}: found / false alarms, %\n{'':26}{'swaps':>7}{'sound':>7}", end="")
    print("".join(f"{span if rule == 'service' else 'naive rule':>16}" for span, rule in columns))
    for name, spans in {**found, "all": total(found)}.items():
        records = {(span, rule): tally.record() for span, rules in spans.items() for rule, tally in rules.items()}
        whole = records[WHOLE, "service"]
        print(f"{name:26}{whole['swapped']:7}{whole['sound']:7}", end="")
        print("".join(f"{_cell(records.get(column)):>16}" for column in columns), flush=True)


def _cell(record: Mapping[str, Any] | None) -> str:
    shares = (record or {}).get("detected"), (record or {}).get("false_alarms")
    return " / ".join("-" if share is None else f"{100 * share:.1f}" for share in shares)


def facts(found: Tallies) -> dict[str, Any]:
    return {
        name: {span: {rule: tally.record() for rule, tally in rules.items()} for span, rules in spans.items()}
        for name, spans in {**found, "all": total(found)}.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="holds appendicitis/cases.csv and covid_cxr/cases.csv")
    parser.add_argument("--cases", type=int, default=300, help="synthetic cases")
    parser.add_argument("--swaps", type=int, default=10, help="values of a case that are exchanged, one at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    streams = {cohort: real(given.data, cohort) for cohort in COLUMNS} if given.data else {}
    streams["synthetic"] = synthetic(given.cases, np.random.default_rng(given.seed))
    told: dict[str, Any] = {"table": lab_table().version, "sha256": lab_table().sha256, "seed": given.seed}
    with tempfile.TemporaryDirectory(prefix="clinimm-swaps-") as folder:
        model = model_of(streams.values(), Path(folder) / "artifact")
        for name, stream in streams.items():
            with clinimm(Path(folder) / name, model, "") as url, httpx.Client(base_url=url, timeout=60) as client:
                found = measured(client, stream, given.swaps, np.random.default_rng(given.seed))
            show(name, found)
            told[name] = facts(found)
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

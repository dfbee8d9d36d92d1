"""How far readers agree, with each other and with the model: of each reader's first review of a result, which was given
without knowing another's (`services.blind`); what is said later may be a consensus."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from clinimm.agreement import Agreement, agreement, shares
from clinimm.bootstrap import Estimate
from services import blind
from services.auth import Client
from services.reviews.findings import NONE
from services.reviews.store import SIGNED, Reading

ANSWERS = ("true", "false", "unclear", NONE)
VERDICTS = (SIGNED, "rejected")
WORDS = ("accept", "reject", "modify")
ALL, WHOLE = "all targets", "whole answer"
FEWEST = 5
"""Over fewer results than these, a figure would tell what one reader said."""


@dataclass(frozen=True)
class Row:
    """Of one target, of all of them, or of the verdicts on whole answers: `kind` is target, all or whole. `measured` is
    None where it is withheld."""

    kind: str
    name: str
    results: int
    measured: Agreement | None


@dataclass(frozen=True)
class Pair:
    """Two readers by name; empty names stand for the first two of each result, whoever they are."""

    first: str
    second: str
    rows: list[Row]


@dataclass(frozen=True)
class Override:
    """What became of the model's answers on a target: the shares that readers accepted, rejected and modified, of so
    many `readings`, and how often a modification turned which answer into which. None where they are withheld."""

    target: str
    readings: int
    results: int
    shares: Mapping[str, Estimate] | None
    turned: Mapping[tuple[str, str], int] | None


@dataclass(frozen=True)
class Agreements:
    """`results` were read, `twice` of them by two readers or more. The first of `pairs` is of any two, if any are."""

    results: int
    twice: int
    pairs: list[Pair]
    overrides: list[Override]


@dataclass(frozen=True)
class _Item:
    """Two readers' answers to one question; `hidden` from the viewer, who may yet answer it."""

    kind: str
    name: str
    result_id: str
    patient_id: str
    first: str
    second: str
    hidden: bool


def measured(readings: Sequence[Reading], viewer: Client) -> Agreements:
    """All readings, measured as this viewer may see it: a figure over fewer than 5 results is withheld where one of
    them is a result that the viewer may yet review, and has not."""
    by_result: dict[str, dict[str, Reading]] = {}
    for reading in readings:
        by_result.setdefault(reading.result_id, {}).setdefault(reading.client, reading)
    read = [list(found.values()) for found in by_result.values()]
    hidden = frozenset(found[0].result_id for found in read if _is_hidden(found, viewer))
    twice = [found for found in read if len(found) > 1]
    named: dict[tuple[str, str], list[tuple[Reading, Reading]]] = {}
    for found in twice:
        for a, b in combinations(sorted(found, key=lambda one: one.client), 2):
            named.setdefault((a.client, b.client), []).append((a, b))
    pairs = [_pair("", "", [(found[0], found[1]) for found in twice], hidden)] if twice else []
    pairs += [_pair(*names, both, hidden) for names, both in sorted(named.items())]
    return Agreements(len(read), len(twice), pairs, _overrides([one for found in read for one in found], hidden))


def _is_hidden(found: Sequence[Reading], viewer: Client) -> bool:
    return viewer.role in blind.READERS and found[0].is_latest and viewer.name not in {one.client for one in found}


def _pair(first: str, second: str, both: Sequence[tuple[Reading, Reading]], hidden: frozenset[str]) -> Pair:
    items = [item for a, b in both for item in _items(a, b, a.result_id in hidden)]
    targets = sorted({item.name for item in items if item.kind == "target"})
    rows = [
        _row("target", name, [one for one in items if one.name == name and one.kind == "target"]) for name in targets
    ]
    if len(targets) > 1:
        rows.append(_row("all", ALL, [one for one in items if one.kind == "target"]))
    return Pair(first, second, [*rows, _row("whole", WHOLE, [one for one in items if one.kind == "whole"])])


def _items(a: Reading, b: Reading, hidden: bool) -> Iterator[_Item]:
    """What both were asked: each target that both spoke of, and the whole."""
    stands, other = ({one["target"]: one["stands"] for one in reading.findings} for reading in (a, b))
    for target in stands.keys() & other.keys():
        yield _Item("target", target, a.result_id, a.patient_id, stands[target], other[target], hidden)
    yield _Item("whole", WHOLE, a.result_id, a.patient_id, a.verdict, b.verdict, hidden)


def _row(kind: str, name: str, items: Sequence[_Item]) -> Row:
    results = {item.result_id for item in items}
    if len(results) < FEWEST and any(item.hidden for item in items):
        return Row(kind, name, len(results), None)
    found = agreement(
        [item.first for item in items],
        [item.second for item in items],
        [item.patient_id for item in items],
        categories=VERDICTS if kind == "whole" else ANSWERS,
    )
    return Row(kind, name, len(results), found)


def _overrides(readings: Sequence[Reading], hidden: frozenset[str]) -> list[Override]:
    by_target: dict[str, list[tuple[Reading, Mapping[str, str]]]] = {}
    for reading in readings:
        for finding in reading.findings:
            by_target.setdefault(finding["target"], []).append((reading, finding))
    return [_override(target, said, hidden) for target, said in sorted(by_target.items())]


def _override(target: str, said: Sequence[tuple[Reading, Mapping[str, str]]], hidden: frozenset[str]) -> Override:
    results = {reading.result_id for reading, _ in said}
    if len(results) < FEWEST and results & hidden:
        return Override(target, len(said), len(results), None, None)
    patients = [reading.patient_id for reading, _ in said]
    found = shares([finding["verdict"] for _, finding in said], patients, categories=WORDS)
    turned = Counter((one["model"], one["stands"]) for _, one in said if one["verdict"] == "modify")
    return Override(target, len(said), len(results), found, turned)

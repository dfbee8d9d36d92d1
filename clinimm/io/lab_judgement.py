"""What becomes of each value that laboratories sent for a case: originals, corrections and cancellations, in any order.

The judgement is a function of the set of items. First each item is judged alone, then those that share an identity at
their laboratory settle which of them stands, then those that stand settle which one speaks for its analyte."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from clinimm.errors import InputError
from clinimm.io.lab_reading import Limits, is_measurable, match, read
from clinimm.io.lab_table import Listed, listed, normal
from clinimm.io.labs import same
from clinimm.types import Analyte

Status = Literal["preliminary", "final", "corrected", "cancelled", "entered-in-error"]
Outcome = Literal["accepted", "quarantined", "withdrawn", "superseded"]

CLOCK_TOLERANCE = timedelta(minutes=5)
_WITHDRAWN = {"cancelled": "cancelled", "entered-in-error": "entered_in_error"}
_LOINC = frozenset({"http://loinc.org", "https://loinc.org", "loinc", "ln", "urn:oid:2.16.840.1.113883.6.1"})
_SPOILED_ANY = frozenset({"insufficient", "contaminated", "mislabeled"})
_COMMENTS = {
    **dict.fromkeys(
        ("hemolyzed", "haemolysed", "haemolyzed", "hemolysed", "hemolysis", "haemolysis", "hem"), "hemolyzed"
    ),
    **dict.fromkeys(("lipemic", "lipaemic", "lipemia", "lipaemia", "lip"), "lipemic"),
    **dict.fromkeys(("clotted", "clot"), "clotted"),
    **dict.fromkeys(("insufficient", "quantity not sufficient", "qns", "qs"), "insufficient"),
    **dict.fromkeys(("contaminated", "contamination", "con"), "contaminated"),
    **dict.fromkeys(("mislabeled", "mislabelled", "wrong patient"), "mislabeled"),
}


@dataclass(frozen=True)
class LabItem:
    """One thing that a laboratory sent, verbatim. `source_id` is the laboratory's own identity of the value; a `code`
    without a `system` is LOINC if it is shaped like one; `limits` are the sender's reference range, in `unit`;
    `usual_unit` is the one that its sender has always given such values in, where `unit` is another; `received_at` is
    when it came in, against which its own times are judged, if not now."""

    name: str = ""
    source_id: str | None = None
    code: str | None = None
    system: str | None = None
    value: Decimal | None = None
    comparator: Literal["", "<", "<=", ">=", ">"] = ""
    coded: str | None = None
    unit: str = ""
    usual_unit: str = ""
    limits: Limits = (None, None)
    specimen: str | None = None
    collected_at: datetime | None = None
    issued_at: datetime | None = None
    received_at: datetime | None = field(default=None, repr=False)
    status: Status = "final"
    comment_codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedLab:
    """What became of one item. `analyte` is the model's name, None if the model has no such. `value`, in the model's
    `unit`, is None for what is quarantined or withdrawn; only a `used` one is for the model. `code` says why it is not
    used, empty if nothing speaks against it."""

    analyte: str | None
    outcome: Outcome
    code: str = ""
    flags: tuple[str, ...] = ()
    value: float | None = None
    unit: str = ""
    used: bool = False


@dataclass(frozen=True)
class _Times:
    """The times that an item is judged against; all with an offset from UTC, or all without."""

    index_time: datetime | None
    image_time: datetime | None
    now: datetime

    def fault(self, item: LabItem) -> str:
        collected_at, now = item.collected_at, item.received_at or self.now
        if collected_at is None:
            return ""
        known = [time for time in (now, self.index_time, self.image_time) if time is not None]
        if any((time.tzinfo is None) != (collected_at.tzinfo is None) for time in known):
            return "time_zone"
        if collected_at > now + CLOCK_TOLERANCE:
            return "clock_skew"
        return "after_index_time" if self.index_time is not None and collected_at > self.index_time else ""

    def is_stale(self, collected_at: datetime | None, entry: Listed | None) -> bool:
        moment = self.image_time or self.index_time
        if collected_at is None or moment is None or entry is None:
            return False
        return moment - collected_at > timedelta(hours=entry.window_hours)


def judge(
    items: Sequence[LabItem],
    analytes: Sequence[Analyte],
    *,
    index_time: datetime | None,
    image_time: datetime | None,
    now: datetime,
) -> tuple[JudgedLab, ...]:
    """One judgement per item, in order; at most one item per analyte is `used`.

    Not used, but accepted and shown: `unused_input`, `coded_value`, `censored`, `stale`, `duplicate`. `superseded`: by
    a correction, a later value, or a final one. `withdrawn`: whatever shares the `source_id` of an item that is
    `cancelled` or `entered_in_error`. Quarantined: `unit_*`, `specimen_unknown`, `value_missing`, `not_a_number`,
    `suspected_unit_error`, `implausible_lab`, `unreliable_sample`, `time_zone`, `clock_skew`, `after_index_time`, and
    `conflicting_lab`, which is every one of several values that nothing puts in an order.

    Flags of what is used all the same: `unit_alias`, `critical_lab`, `censored` (the limit stands for the value),
    `preliminary`, `age_unknown`."""
    times = _Times(index_time, image_time, now)
    judged = [_alone(item, analytes, times) for item in items]
    standing = _settle_sources(items, judged)
    _settle_analytes(items, judged, standing)
    return tuple(replace(one, value=None) if one.outcome in ("quarantined", "withdrawn") else one for one in judged)


def _alone(item: LabItem, analytes: Sequence[Analyte], times: _Times) -> JudgedLab:
    """The judgement of an item as if no other had come; `used` is left to the others."""
    try:
        analyte = match(
            item.name, analytes, unit=item.unit, specimen=item.specimen, loinc=item.code if _is_loinc(item) else None
        )
    except InputError as error:
        return JudgedLab(None, "quarantined", error.code)
    if analyte is None:
        return JudgedLab(None, "accepted", "unused_input")
    entry = listed(analyte)
    judged = _value(item, analyte, entry)
    fault = times.fault(item) or _spoiled(item, entry)
    if fault:
        return replace(judged, outcome="quarantined", code=fault)
    if judged.outcome == "accepted" and not judged.code and times.is_stale(item.collected_at, entry):
        return replace(judged, code="stale")
    undated = ("age_unknown",) if item.collected_at is None else ()
    return replace(judged, flags=judged.flags + undated)


def _value(item: LabItem, analyte: Analyte, entry: Listed | None) -> JudgedLab:
    if item.value is None:
        if item.coded is None:
            return _refused(analyte, "value_missing")
        return JudgedLab(analyte.name, "accepted", "coded_value", unit=analyte.unit)
    if not is_measurable(item.value):
        return _refused(analyte, "not_a_number")
    reading = read(
        Fraction(item.value),
        item.unit,
        analyte,
        comparator=item.comparator,
        limits=item.limits,
        usual=item.usual_unit,
    )
    value = None if math.isnan(reading.value) else reading.value
    if reading.code:
        return JudgedLab(analyte.name, "quarantined", reading.code, reading.flags, value, analyte.unit)
    if not item.comparator:
        return JudgedLab(analyte.name, "accepted", "", reading.flags, value, analyte.unit)
    code = "" if _tells(item.comparator, reading.value, analyte, entry) else "censored"
    return JudgedLab(analyte.name, "accepted", code, (*reading.flags, "censored"), value, analyte.unit)


def _tells(comparator: str, limit: float, analyte: Analyte, entry: Listed | None) -> bool:
    """Whether a limit may stand for the value beyond it: "<5" does for a CRP, "<500" tells nothing."""
    own = entry.unit(analyte.unit) if entry is not None else None
    if entry is None or own is None or entry.censored != "limit":
        return False
    low, high = (float(own.reading(Fraction(end))) for end in entry.reference)
    return limit <= high if comparator.startswith("<") else limit >= low


def _spoiled(item: LabItem, entry: Listed | None) -> str:
    said = {_COMMENTS.get(normal(code)) for code in item.comment_codes}
    affected = _SPOILED_ANY | (entry.spoiled_by if entry is not None else frozenset())
    return "unreliable_sample" if said & affected else ""


def _is_loinc(item: LabItem) -> bool:
    if item.code is None:
        return False
    if item.system:
        return item.system.strip().casefold().rstrip("/") in _LOINC
    number, dash, check = item.code.partition("-")
    return bool(dash) and number.isdecimal() and check.isdecimal() and len(check) == 1


def _settle_sources(items: Sequence[LabItem], judged: list[JudgedLab]) -> list[int]:
    """Judges what shares a source id, and says which items stand."""
    sources: dict[str | int, list[int]] = defaultdict(list)
    for at, item in enumerate(items):
        sources[at if item.source_id is None else item.source_id].append(at)
    return [at for group in sources.values() for at in _stands(group, items, judged)]


def _stands(group: Sequence[int], items: Sequence[LabItem], judged: list[JudgedLab]) -> list[int]:
    """The one item of a source id that stands, or none."""
    ends = {_WITHDRAWN[items[at].status] for at in group if items[at].status in _WITHDRAWN}
    if ends:
        _mark(judged, group, "withdrawn", max(ends))
        return []
    rank = {"corrected": 2, "final": 1, "preliminary": 0}
    best = max(rank[items[at].status] for at in group)
    pool = [at for at in group if rank[items[at].status] == best]
    _mark(judged, [at for at in group if at not in pool], "superseded", "superseded")
    if best != rank["final"]:
        pool = _latest(pool, judged, lambda at: items[at].issued_at) if _differ(pool, items, judged) else pool
    if _differ(pool, items, judged):
        _mark(judged, pool, "quarantined", "conflicting_lab")
        return []
    first, *copies = sorted(pool, key=lambda at: _precedence(items[at], judged[at]))
    _mark(judged, copies, "accepted", "duplicate")
    return [first]


def _latest(pool: Sequence[int], judged: list[JudgedLab], time: Callable[[int], datetime | None]) -> list[int]:
    """Those of the latest time, the others superseded; all of them if their times cannot be compared."""
    times = {at: moment for at in pool if (moment := time(at)) is not None}
    if len(times) < len(pool) or len({moment.tzinfo is None for moment in times.values()}) > 1:
        return list(pool)
    last = max(times.values())
    _mark(judged, [at for at in pool if times[at] < last], "superseded", "superseded")
    return [at for at in pool if times[at] == last]


def _differ(pool: Iterable[int], items: Sequence[LabItem], judged: Sequence[JudgedLab]) -> bool:
    """Whether items of one source id contradict one another, in their value or in when it was collected."""
    contents = {_content(items[at], judged[at]) for at in pool}
    times = {items[at].collected_at for at in pool} - {None}
    return len(contents) > 1 or len(times) > 1


def _content(item: LabItem, judged: JudgedLab) -> tuple[object, ...]:
    stated: object = judged.value
    if judged.value is None and item.value is not None:
        stated = item.value if is_measurable(item.value) else str(item.value), item.unit.strip()
    return judged.analyte or (normal(item.name), item.code), stated, item.comparator, item.coded


def _settle_analytes(items: Sequence[LabItem], judged: list[JudgedLab], standing: Iterable[int]) -> None:
    """Judges the usable items of each analyte: the latest final one is used, a preliminary one if there is no final."""
    by_analyte: dict[str, list[int]] = defaultdict(list)
    for at in standing:
        name = judged[at].analyte
        if name is not None and judged[at].outcome == "accepted" and not judged[at].code:
            by_analyte[name].append(at)
    for pool in by_analyte.values():
        _choose(pool, items, judged)


def _choose(pool: Sequence[int], items: Sequence[LabItem], judged: list[JudgedLab]) -> None:
    firm = [at for at in pool if items[at].status != "preliminary"] or list(pool)
    dated = [at for at in firm if items[at].collected_at is not None] or firm
    last = _latest(dated, judged, lambda at: items[at].collected_at)
    _mark(judged, [at for at in pool if at not in dated], "superseded", "superseded")
    values = [value for at in last if (value := judged[at].value) is not None]
    if len({items[at].comparator for at in last}) > 1 or not same(min(values), max(values)):
        _mark(judged, last, "quarantined", "conflicting_lab")
        return
    first, *others = sorted(last, key=lambda at: _precedence(items[at], judged[at]))
    _mark(judged, others, "accepted", "duplicate")
    early = ("preliminary",) if items[first].status == "preliminary" else ()
    judged[first] = replace(judged[first], flags=judged[first].flags + early, used=True)


def _precedence(item: LabItem, judged: JudgedLab) -> tuple[bool, bool, str]:
    """Which of several copies stands: a doubted one before a sound one, a dated one before an undated one."""
    return judged.outcome == "accepted" and not judged.code, item.collected_at is None, repr(item)


def _refused(analyte: Analyte, code: str) -> JudgedLab:
    return JudgedLab(analyte.name, "quarantined", code, unit=analyte.unit)


def _mark(judged: list[JudgedLab], which: Iterable[int], outcome: Outcome, code: str) -> None:
    for at in which:
        judged[at] = replace(judged[at], outcome=outcome, code=code)

"""Tells how what a model saw and said changed over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from services.db import Database
from services.drift import store
from services.drift.measures import measures
from services.drift.series import UNITS, WEEK, Difference, Stretches, differences, over_time

LEAST, MOST, USUAL = 10, 1000, 200


@dataclass(frozen=True)
class Asked:
    """`unit` of the charts; the reference is of the `first` results, or of those from day `since` to day `until`, both
    counted in, where a day is given."""

    unit: str = WEEK
    first: int = USUAL
    since: str = ""
    until: str = ""


@dataclass(frozen=True)
class Watched:
    """`total` results, of which the reference has `reference` and `compared` are those after it that are tested against
    it; `is_cut`: there were more, and older, than were looked at."""

    total: int
    reference: int
    compared: int
    is_cut: bool
    stretches: Stretches
    differences: Sequence[Difference]


def asked(sent: Mapping[str, str]) -> tuple[Asked, dict[str, str]]:
    """What is wanted, without what cannot be meant; and of each of these how to mend it."""
    faults = {}
    unit, first = sent.get("by", "") or WEEK, sent.get("first", "").strip() or str(USUAL)
    if unit not in UNITS:
        faults["by"], unit = "Choose day or week.", WEEK
    if not (first.isascii() and first.isdigit() and len(first) < 6 and LEAST <= int(first) <= MOST):
        faults["first"], first = f"Give a whole number from {LEAST} to {MOST}.", str(USUAL)
    days = {name: sent.get(name, "").strip() for name in ("since", "until")}
    for name, text in days.items():
        if text and _day(text) is None:
            faults[name], days[name] = "Give a day as year-month-day, such as 2026-03-01.", ""
    return Asked(unit, int(first), **days), faults


@dataclass(frozen=True)
class Drift:
    database: Database

    def watch(self, model: str, wanted: Asked, fewest: int) -> Watched:
        """`fewest` results of a kind are told of, or none."""
        with self.database.read() as session:
            found = store.answers(session, model)
        followed = measures(found)
        before, after = _split(found, wanted)
        tested = after[-max(len(before), LEAST) :] if before else []
        return Watched(
            total=len(found),
            reference=len(before),
            compared=len(tested),
            is_cut=len(found) == store.MOST,
            stretches=over_time(found, followed, wanted.unit, fewest),
            differences=differences(before, tested, followed, fewest) if before and tested else [],
        )


def _split(found: Sequence[store.Answer], wanted: Asked) -> tuple[Sequence[store.Answer], Sequence[store.Answer]]:
    """The reference, and what came after it. Of few results at most half are the reference; of many in it, the last."""
    since, until = _day(wanted.since), _day(wanted.until)
    if since is None and until is None:
        first = min(wanted.first, len(found) // 2)
        return found[:first], found[first:]
    ends = until + timedelta(days=1) if until else datetime.max.replace(tzinfo=UTC)
    inside = [one for one in found if (since is None or one.at >= since) and one.at < ends]
    return inside[-MOST:], [one for one in found if one.at >= ends]


def _day(text: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC) if text else None
    except ValueError:
        return None

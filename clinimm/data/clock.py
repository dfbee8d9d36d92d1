"""When an input was acquired, against when its question is asked: refused if later, stale if too long before."""

from dataclasses import dataclass
from datetime import UTC, datetime

from clinimm.types import InputState, Status

LATE = InputState(Status.REJECTED, "after_index_time", "acquired after the time the question is about")
UNCOMPARABLE = InputState(
    Status.REJECTED, "time_zone", "one of acquisition and index time has an offset from UTC, the other none"
)
WESTMOST, EASTMOST = -12.0, 14.0  # hours that a clock on the wall may be from UTC


@dataclass(frozen=True)
class Age:
    """`days` from acquisition to the question, None where a time is not known; the state of an input that is `refused`
    for it; `flags` are codes for the answer."""

    days: float | None = None
    refused: InputState | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clock:
    """The time that a question is about, and how old an input may then be. Every door reads the same clock."""

    index_time: datetime | None = None
    max_age_hours: float | None = None

    def stated(self, acquired_at: datetime | None) -> Age:
        """The age of an input whose sender says when it was acquired. An offset from UTC that only one of the times has
        is the sender's to mend: refused, never guessed."""
        if acquired_at is None or self.index_time is None:
            return self._unknown()
        if (acquired_at.tzinfo is None) != (self.index_time.tzinfo is None):
            return Age(refused=UNCOMPARABLE)
        hours = (self.index_time - acquired_at).total_seconds() / 3600
        return self._judged(hours, hours, hours)

    def told(self, moment: str | None) -> Age:
        """The age by what a file itself tells, an ISO 8601 time, most often without its offset from UTC, which nobody
        can add. Refused is only what is too late, or too old, wherever on earth the clock hung; `time_zone_unknown`
        says that it matters where."""
        if moment is None or self.index_time is None:
            return self._unknown()
        acquired_at, index_time = datetime.fromisoformat(moment), self.index_time
        if (acquired_at.tzinfo is None) == (index_time.tzinfo is None):
            return self.stated(acquired_at)
        hours = (_as_utc(index_time) - _as_utc(acquired_at)).total_seconds() / 3600
        if acquired_at.tzinfo is None:
            return self._judged(hours + WESTMOST, hours, hours + EASTMOST)
        return self._judged(hours - EASTMOST, hours, hours - WESTMOST)

    def _unknown(self) -> Age:
        return Age(flags=("age_unknown",) if self.max_age_hours is not None else ())

    def _judged(self, least: float, likely: float, most: float) -> Age:
        """The verdict on an age of `least` to `most` hours."""
        if most < 0:
            return Age(refused=LATE)
        limit, days = self.max_age_hours, max(0.0, likely) / 24
        if limit is not None and least > limit:
            detail = f"{span(likely)} old, at most {span(limit)} are allowed"
            return Age(days, InputState(Status.STALE, "stale", detail))
        matters = least < 0 or (limit is not None and most > limit)
        return Age(days, flags=("time_zone_unknown",) if matters else ())


def span(hours: float) -> str:
    """A length of time for people: hours up to two days, days from there on."""
    return f"{hours:.3g} hours" if hours <= 48 else f"{hours / 24:.3g} days"


def _as_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

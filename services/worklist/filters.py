"""What a worklist is narrowed to, as an address says it and as it is kept with a sample."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta

FLAGGED, NOT_FLAGGED, ABSTAINED, UNDECIDED = ANSWERS = ("flagged", "not_flagged", "abstained", "undecided")
FORMERLY = {"positive": FLAGGED, "negative": NOT_FLAGGED}
"""What answers were called before: in addresses that people kept, and with samples that were drawn."""
RELIABILITY = ("trusted", "not_reliable", "unexplained", "unknown", "none")
REVIEWS = (NONE, REVIEWED) = ("none", "reviewed")
"""Whether someone spoke of a case; what they said, a second reader is told by nobody (`services.blind`)."""
YES, NO = "yes", "no"
MOST_CHARACTERS, MOST_FLAGS = 200, 10


@dataclass(frozen=True)
class Filters:
    """Each is empty where it narrows nothing; they combine with and. `flag` holds one flag or more, with commas
    between. `answer` is of `target`, or of any. `since` and `until` are days in UTC, both counted in. `held`, `again`:
    yes or no. `reliability` and `review` none are those without a report, and without a review."""

    flag: str = ""
    missing: str = ""
    target: str = ""
    answer: str = ""
    model: str = ""
    sender: str = ""
    since: str = ""
    until: str = ""
    reliability: str = ""
    review: str = ""
    again: str = ""
    held: str = ""

    @property
    def given(self) -> dict[str, str]:
        """Those that narrow, by name."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for part in self.flag.split(",") if (word := part.strip())))

    @property
    def asks_answers(self) -> bool:
        """Whether something is asked that only an answer has: then held cases, whose answers nobody is shown, are not
        among those found."""
        own = (self.flag, self.missing, self.target, self.answer, self.model, self.reliability, self.review, self.again)
        return any(own)

    @property
    def begins(self) -> datetime | None:
        return _day(self.since) if self.since else None

    @property
    def ends(self) -> datetime | None:
        """The first instant that is not meant any more."""
        return _day(self.until) + timedelta(days=1) if self.until else None


NAMES = tuple(field.name for field in fields(Filters))


def parsed(sent: Mapping[str, str]) -> tuple[Filters, dict[str, str]]:
    """The filters that were sent, without those that cannot be meant; and of each of these how to mend it. What is
    sent under another name is not looked at."""
    found = Filters(**{name: sent.get(name, "").strip() for name in NAMES})
    found = replace(found, answer=FORMERLY.get(found.answer, found.answer))
    faults = {
        name: says for name, (fits, says) in _RULES.items() if (value := getattr(found, name)) and not fits(value)
    }
    for name, value in found.given.items():
        if len(value) > MOST_CHARACTERS:
            faults[name] = f"Give at most {MOST_CHARACTERS} characters."
    kept = replace(found, **dict.fromkeys(faults, ""))
    if kept.begins and kept.ends and kept.begins >= kept.ends:
        faults["until"] = "The last day comes before the first: exchange them."
        kept = replace(kept, until="")
    return kept, faults


def _day(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)


def _is_day(text: str) -> bool:
    try:
        return date(1900, 1, 1) <= date.fromisoformat(text) <= date(2999, 12, 31)
    except ValueError:
        return False


def _few(text: str) -> bool:
    return len(text.split(",")) <= MOST_FLAGS


def _one_of(*words: str) -> tuple[Callable[[str], bool], str]:
    return words.__contains__, f"Choose one of: {', '.join(words).replace('_', ' ')}."


_DAY = (_is_day, "Give a day as year-month-day, such as 2026-03-01.")
_RULES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "flag": (_few, f"Give at most {MOST_FLAGS} flags, with commas between."),
    "answer": _one_of(*ANSWERS),
    "since": _DAY,
    "until": _DAY,
    "reliability": _one_of(*RELIABILITY),
    "review": _one_of(*REVIEWS),
    "again": _one_of(YES, NO),
    "held": _one_of(YES, NO),
}

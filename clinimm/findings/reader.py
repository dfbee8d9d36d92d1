"""What a sentence says of each observation: asserted +1, left open 0, denied -1, or nothing at all.

A sentence becomes events in the order of its words: findings named by the lexicon, and cues. One walk over the events
carries the trigger that holds ("no", "possible") forward until its clause ends, and lets a trigger that comes after a
finding ("has resolved") reach back to it. Time is linear in the length of the text for the shipped lexicon."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clinimm.errors import ConfigError
from clinimm.findings.cues import FINDER
from clinimm.findings.observations import (
    DENIED,
    LEFT_OPEN,
    LEXICON,
    NO_FINDING,
    OBSERVATIONS,
    STATED,
    SUPPORT_DEVICES,
    UNRELATED,
)
from clinimm.findings.sentences import sentences

YES, OPEN, NO = 1, 0, -1
_NEAR = 60  # characters within which "or" and "versus" join two findings
_MARKS = str.maketrans({"\u2019": "'", "\u2018": "'", "\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2014": "-"})
_SPACE = re.compile(r"\s+")
_BEFORE = {"open": OPEN, "no": NO}
_AFTER = {"open_after": OPEN, "no_after": NO}
_JOINS = {"or": "or", "list": "list", "fresh": "list", "relation": "relation"}
_PLURAL = re.compile(r"(?:are|were|have)\b")


@dataclass(frozen=True)
class _Finder:
    """Finds mentions of one observation. Of overlapping mentions in one `family` the longest stays. `firm` mentions
    settle their own value: no cue changes it."""

    observation: str
    value: int
    firm: bool
    pattern: re.Pattern[str]
    family: str = ""


@dataclass
class _Mention:
    """A finding named at a place, and what has so far been read of it."""

    start: int
    end: int
    finder: _Finder
    value: int
    claimed: bool = False  # by a trigger after it
    link: str = ""  # what joins it to the finding before: "or", "list" or nothing


@dataclass
class _Clause:
    """What holds at one place of the walk."""

    trigger: str = ""  # "no", "open", "kept" ("no change in") or nothing
    parted: bool = False  # a comma or an "and" has come since the trigger
    mentions: list[_Mention] = field(default_factory=list)
    joins: set[str] = field(default_factory=set)  # joining words since the last finding


class FindingReader:
    """Reads findings with the shipped lexicon and `extra` patterns.

    `extra` maps an observation to regular expressions in lower case, each matched between word boundaries; a name that
    is not shipped becomes a further observation. An extra pattern that backtracks badly is as slow as it is written.

    Raises ConfigError that lists every bad pattern."""

    def __init__(self, extra: Mapping[str, Sequence[str]] | None = None) -> None:
        added = _compiled(extra or {})
        self.observations = (
            *OBSERVATIONS,
            *dict.fromkeys(f.observation for f in added if f.observation not in LEXICON),
        )
        self._finders = (*_SHIPPED, *added)

    def read(self, sentence: str) -> dict[str, int]:
        """Observation -> +1 asserted, 0 left open, -1 denied, in the order of `observations`; what the sentence does
        not mention is not in it. `No Finding` is +1, or missing, as it is where anything but a device is +1 or 0."""
        text = _plain(sentence)
        mentions = self._mentions(text)
        if mentions:
            _walk(text, mentions)
        return self._merged((mention.finder.observation, mention.value) for mention in mentions)

    def read_note(self, text: str) -> dict[str, int]:
        """What all sentences of `text` say together: +1 beats 0 beats -1 (Irvin et al. 2019)."""
        return self._merged(said for sentence in sentences(text) for said in self.read(sentence).items())

    def read_phrases(self, sentence: str) -> dict[str, int]:
        """What `read` would say without any cue: the phrases of the lexicon, each with the value it has by itself. The
        baseline that the rules for negation and uncertainty must beat."""
        mentions = self._mentions(_plain(sentence))
        return self._merged((mention.finder.observation, mention.finder.value) for mention in mentions)

    def _mentions(self, text: str) -> list[_Mention]:
        found = [
            _Mention(*match.span(), finder, finder.value)
            for finder in self._finders
            for match in finder.pattern.finditer(text)
        ]
        kept = (mention for mention in _longest(found) if mention.finder.observation)
        return sorted(kept, key=lambda mention: (mention.end, mention.start))

    def _merged(self, said: Iterable[tuple[str, int]]) -> dict[str, int]:
        best: dict[str, int] = {}
        for name, value in said:
            best[name] = max(value, best.get(name, value))
        if any(value >= OPEN for name, value in best.items() if name not in (NO_FINDING, SUPPORT_DEVICES)):
            best.pop(NO_FINDING, None)
        return {name: best[name] for name in self.observations if name in best}


def labels(found: Mapping[str, int], observations: Sequence[str] = OBSERVATIONS) -> tuple[int, ...]:
    """A label vector in MedCLIP's coding, one number per observation: +1 asserted, -1 denied, 0 left open or not
    mentioned."""
    return tuple(found.get(observation, 0) for observation in observations)


def _any(phrases: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(phrases)})\b")


_SHIPPED = (
    _Finder("", OPEN, True, _any(UNRELATED)),
    *(_Finder(name, YES, name == NO_FINDING, _any(phrases)) for name, phrases in LEXICON.items()),
    *(_Finder(name, NO, True, _any(phrases)) for name, phrases in DENIED.items()),
    *(_Finder(name, OPEN, False, _any(phrases)) for name, phrases in LEFT_OPEN.items()),
    *(
        _Finder(name, value, value == NO, _any(phrases), family=name)
        for name, states in STATED.items()
        for value, phrases in states.items()
    ),
)


def _compiled(extra: Mapping[str, Sequence[str]]) -> list[_Finder]:
    """A finder for each pattern by itself, so that groups and references in a pattern stay its own."""
    good, bad = [], []
    for name, phrases in extra.items():
        bad += ["an observation without a name"] * (not name.strip()) + [f"{name!r} has no pattern"] * (not phrases)
        for phrase in phrases:
            try:
                re.compile(phrase)  # by itself first: an odd bracket must not close ours
                pattern = _any([phrase])
            except re.error as error:
                bad.append(f"{name!r}: {phrase!r} is no regular expression ({error.msg})")
                continue
            if pattern.fullmatch("") or (pattern.match("a") and pattern.match("z")):
                bad.append(f"{name!r}: {phrase!r} matches any text")
            good.append(_Finder(name, YES, name == NO_FINDING, pattern))
    if bad:
        raise ConfigError("; ".join(bad), where="findings.extra", mend="give regular expressions in lower case")
    return good


def _plain(sentence: str) -> str:
    """Lower case, single spaces, typewriter marks: what the patterns are written for."""
    return _SPACE.sub(" ", sentence.translate(_MARKS).lower()).strip()


def _longest(found: Iterable[_Mention]) -> Iterator[_Mention]:
    """Those that no longer one of their family overlaps. Of two at the very same place both stay."""
    owner: dict[tuple[str, int], tuple[int, int]] = {}
    for mention in sorted(found, key=lambda mention: (mention.start - mention.end, mention.start)):
        span = (mention.start, mention.end)
        places = [(mention.finder.family, place) for place in range(*span)]
        if all(owner.get(place, span) == span for place in places):
            owner.update(dict.fromkeys(places, span))
            yield mention


def _walk(text: str, mentions: Sequence[_Mention]) -> None:
    """Sets the value of each mention, given in the order of their ends, from the cues around and inside it."""
    cues = list(FINDER.finditer(text))
    taken_back = _taken_back(cues)
    clause, place = _Clause(), 0
    for cue in cues:
        while place < len(mentions) and mentions[place].end <= cue.start():
            _enter(clause, mentions[place])
            place += 1
        if place < len(mentions) and mentions[place].finder.firm and mentions[place].start < cue.start():
            continue  # a word among those that settle their own value
        _turn(clause, cue, taken_back)
    for mention in mentions[place:]:
        _enter(clause, mention)


def _taken_back(cues: Sequence[re.Match[str]]) -> set[int]:
    """Where a list goes on to a later "or", so that ", large" ends nothing in "no effusion, large nodule, or mass"."""
    found, ahead = set(), False
    for cue in reversed(cues):
        if cue.lastgroup in ("fresh", "list"):
            found |= {cue.start()} if ahead else set()
        else:
            ahead = cue.group() in ("or", "nor", "and/or")
    return found


def _enter(clause: _Clause, mention: _Mention) -> None:
    """The walk reaches the end of a finding's name: the trigger that holds decides."""
    before = clause.mentions[-1] if clause.mentions else None
    if not mention.finder.firm and clause.trigger in _BEFORE:
        mention.value = min(mention.value, _BEFORE[clause.trigger])
    if before and mention.start - before.end <= _NEAR:
        mention.link = _link(clause.joins)
        if mention.link == "or" and clause.trigger != "kept" and _rivals(before, mention):
            before.value = mention.value = OPEN
    clause.mentions.append(mention)
    clause.joins.clear()


def _link(joins: Collection[str]) -> str:
    """What joins two findings between which these words stand; nothing where one explains the other ("due to")."""
    if "relation" in joins:
        return ""
    return "or" if "or" in joins else "list" if "list" in joins else ""


def _rivals(one: _Mention, other: _Mention) -> bool:
    """Whether "or" between the two leaves both open."""
    loose = not (one.finder.firm or other.finder.firm)
    return loose and one.finder.observation != other.finder.observation and min(one.value, other.value) >= OPEN


def _turn(clause: _Clause, cue: re.Match[str], taken_back: Collection[int]) -> None:
    """The walk reaches a cue."""
    kind = str(cue.lastgroup)
    if kind in _AFTER:
        _reach_back(clause, cue, _AFTER[kind])
    elif kind in _JOINS:
        clause.joins.add(_JOINS[kind])
        clause.parted = clause.parted or kind in ("list", "fresh")
        turned = kind == "fresh" or (kind == "list" and _nothing_found(clause))
        if turned and cue.start() not in taken_back:
            clause.trigger = ""
    elif kind in ("end", "stop"):
        clause.trigger, clause.parted = "", False
        if kind == "stop":
            clause.mentions.clear()
            clause.joins.clear()
    else:
        _set_off(clause, kind, cue.start())


def _set_off(clause: _Clause, kind: str, place: int) -> None:
    """A trigger before the finding begins to hold, unless a denial already does."""
    denied = clause.trigger == "no"
    if kind == "no" or (kind == "open" and not (denied and not clause.parted)):
        clause.trigger, clause.parted = kind, False
    elif kind == "versus" or (kind == "hint" and not denied):
        clause.trigger = "open"
    elif kind == "false":
        clause.trigger = "kept"
    if kind == "versus":
        _open_before(clause, place)


def _nothing_found(clause: _Clause) -> bool:
    """Whether the last words were "no acute finding" or the like: after a comma follows what is there."""
    return bool(clause.mentions) and clause.mentions[-1].finder.observation == NO_FINDING


def _open_before(clause: _Clause, place: int) -> None:
    last = clause.mentions[-1] if clause.mentions else None
    if last and not last.finder.firm and place - last.end <= _NEAR:
        last.value = min(last.value, OPEN)


def _reach_back(clause: _Clause, cue: re.Match[str], value: int) -> None:
    """A trigger after the finding: it takes the last one, and with it those of the same list if the verb is plural or
    the list is joined by "or"."""
    if "list" in clause.joins and not cue.string[max(0, cue.start() - 2) : cue.start()].endswith((",", ", ")):
        return  # "effusion, and the margin is not seen" speaks of something else
    listed = bool(_PLURAL.match(cue.group()))
    for mention in reversed(clause.mentions):
        if mention.claimed or mention.finder.firm:
            return
        mention.value, mention.claimed = value, True
        listed = listed or mention.link == "or"
        if not (mention.link and listed):
            return

"""Which of a case's notes is meant. It shows from all of them together, in whatever order they came: a correction
before its original ends as the original before its correction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from clinimm.errors import DamagedInput, InputError
from clinimm.io.text import clean_note
from services.cases.stored import StoredNote

ACCEPTED, QUARANTINED, SUPERSEDED, WITHDRAWN = "accepted", "quarantined", "superseded", "withdrawn"
_TAKEN_BACK = ("cancelled", "entered-in-error")
_NEVER = datetime.min.replace(tzinfo=UTC)

Verdict = tuple[str, str]  # (outcome, code)


def judged(notes: Sequence[StoredNote], index_time: datetime | None) -> dict[int, Verdict]:
    """What becomes of each note, by its position; the one whose verdict is `accepted` is used.

    Of one source the latest correction counts, a final one before a preliminary one, and two that differ with nothing
    to order them are `conflicting_note`: neither is used. Of several sources the latest not after `index_time`."""
    verdicts = {note.position: verdict for note in notes if (verdict := _unusable(note, index_time))}
    left: dict[str, list[StoredNote]] = {}
    for note in notes:
        left.setdefault(_source(note), []).append(note)
    meant: list[StoredNote] = []
    for same in left.values():
        one = _of_source(same, verdicts)
        if one is not None:
            meant.append(one)
    _choose(meant, verdicts)
    return verdicts


def _source(note: StoredNote) -> str:
    """A note that its sender has no name for is named by what it says."""
    return f"id:{note.source_id}" if note.source_id else f"text:{note.text}"


def _unusable(note: StoredNote, index_time: datetime | None) -> Verdict | None:
    if index_time is not None and note.acquired_at is not None and note.acquired_at > index_time:
        return QUARANTINED, "after_index_time"
    try:
        clean_note(note.text)
    except InputError as error:
        return QUARANTINED, error.code
    return None


def _of_source(same: Sequence[StoredNote], verdicts: dict[int, Verdict]) -> StoredNote | None:
    """The note that a source means, if there is one; the verdicts on the others."""
    if any(note.status in _TAKEN_BACK for note in same):
        verdicts |= {note.position: (WITHDRAWN, "cancelled") for note in same}
        return None
    for status in ("corrected", "final", "preliminary"):
        mine = [note for note in same if note.status == status]
        if not mine:
            continue
        verdicts |= {
            note.position: (SUPERSEDED, "corrected" if status == "corrected" else "superseded")
            for note in same
            if note.status != status and note.position not in verdicts
        }
        return _latest([note for note in mine if note.position not in verdicts], verdicts, by_issue=True)
    return None


def _choose(meant: Sequence[StoredNote], verdicts: dict[int, Verdict]) -> None:
    chosen = _latest(meant, verdicts, by_issue=False)
    if chosen is not None:
        flags = clean_note(chosen.text).flags
        verdicts[chosen.position] = (ACCEPTED, flags[0] if flags else "")


def _latest(notes: Sequence[StoredNote], verdicts: dict[int, Verdict], *, by_issue: bool) -> StoredNote | None:
    """The last of the notes; none where two last ones differ, or where the time of one of several is not known."""
    if not notes:
        return None
    when = {note.position: note.issued_at if by_issue else note.acquired_at for note in notes}
    distinct = {note.text for note in notes}
    if len(distinct) > 1 and None in when.values():
        verdicts |= {note.position: (QUARANTINED, "conflicting_note") for note in notes}
        return None
    last = max((moment or _NEVER for moment in when.values()), default=_NEVER)
    final = [note for note in notes if (when[note.position] or _NEVER) == last]
    if len({note.text for note in final}) > 1:
        verdicts |= {note.position: (QUARANTINED, "conflicting_note") for note in final}
        final = []
    kept = min(final, key=lambda note: (note.acquired_at or _NEVER, _said(note)), default=None)
    for note in notes:
        if note is not kept and note.position not in verdicts:
            same = kept is not None and note.text == kept.text
            verdicts[note.position] = (SUPERSEDED, "duplicate" if same else "superseded")
    return kept


def _said(note: StoredNote) -> str:
    """All that a note says, and not when it came."""
    return repr(replace(note, position=0, version=0))


def flags_of(verdicts: Mapping[int, Verdict]) -> list[str]:
    return sorted(
        {f"{code}:note" for outcome, code in verdicts.values() if outcome != ACCEPTED and code != "duplicate"}
    )


def is_damaged(note: StoredNote) -> bool:
    """Whether the text itself is broken, rather than refused."""
    try:
        clean_note(note.text)
    except DamagedInput:
        return True
    except InputError:
        return False
    return False

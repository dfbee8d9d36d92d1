"""Reports and notes cut into sentences: faithfully, or exactly as MedCLIP cuts them for its training."""

import re
from collections.abc import Iterator
from itertools import pairwise

# A mark that ends a sentence, or a blank line, or a line break before a numbered or bulleted point.
_POINT = r"(?:\(?\d{1,2}[.)]|[-*\u2022])[ \t]"
_BREAK = re.compile(rf"[.!?]++[\"')\]]{{0,3}}(?=\s|$)|\n[ \t]*+(?=\n)|\n(?=[ \t]{{0,20}}{_POINT})")
_ENUMERATOR = re.compile(rf"(?:{_POINT}|[\s.,;])*+")
_LAST_WORD = re.compile(r"[\w.]+$")
_LONGEST_ABBREVIATION = 12
_ABBREVIATIONS = frozenset(
    (
        *("dr", "mr", "mrs", "ms", "prof", "st", "pt", "pts", "hx", "dx"),
        *("vs", "e.g", "i.e", "cf", "ca", "approx", "no", "nos", "fig", "figs", "resp", "incl", "excl", "etc", "al"),
        *("max", "min", "sec"),
    )
)

_MEDCLIP_POINT = re.compile(r"(?<![0-9])[0-9]++(?:\.++[^0-9]|\.{2,}+)")
_MEDCLIP_TOKEN = re.compile(r"\w+|[^\w\s]+")
_MEDCLIP_FEWEST_TOKENS = 5


def sentences(report: str) -> list[str]:
    """The sentences of `report` as they are written, without their enumerators ("1.", "-") and outer white space.

    Full stops in numbers, initials and common abbreviations do not end a sentence; a line break does only before a
    blank line or a numbered point, since notes come wrapped."""
    return [report[start:end] for start, end in spans(report)]


def spans(report: str) -> list[tuple[int, int]]:
    """Start and end of each of `sentences` in `report`."""
    cuts = [0, *_cuts(report), len(report)]
    trimmed = (_trimmed(report, start, end) for start, end in pairwise(cuts))
    return [(start, end) for start, end in trimmed if start < end]


def _cuts(report: str) -> Iterator[int]:
    fresh = 0  # where the sentence in hand begins
    for mark in _BREAK.finditer(report):
        if mark.group() == "." and _abbreviates(report, fresh, mark.start()):
            continue
        fresh = mark.end()
        yield fresh


def _abbreviates(report: str, fresh: int, stop: int) -> bool:
    """Whether the full stop at `stop` belongs to an abbreviation, an initial or an enumerator."""
    word = _LAST_WORD.search(report, max(fresh, stop - _LONGEST_ABBREVIATION), stop)
    if not word or stop + 1 >= len(report):
        return False
    if word.group().isdigit():
        return not report[fresh : word.start()].strip()
    initial = len(word.group()) == 1 and word.group().isupper() and report[word.start() - 1 : word.start()] != "-"
    return word.group().lower() in _ABBREVIATIONS or (initial and report[stop + 1 : stop + 3].strip().isalpha())


def _trimmed(report: str, start: int, end: int) -> tuple[int, int]:
    lead = _ENUMERATOR.match(report, start, end)
    start = lead.end() if lead else start
    return start, start + len(report[start:end].rstrip())


def medclip_sentences(report: str) -> list[str]:
    """What MedCLIP trains on: lower case, punctuation spaced, other than ASCII dropped, and no sentence of fewer than
    five tokens. It spoils decimals ("3 . 5 cm"); use `sentences` for reading.

    Source: Wang et al. 2022, `_split_report_into_segment` of the code. Same results, but in linear time on any text."""
    points = _MEDCLIP_POINT.split(report.replace("\n", " "))
    parts = [part for point in points for part in point.split(". ")]
    cut = (_medclip_tokens(part) for part in parts)
    return [" ".join(tokens) for tokens in cut if len(tokens) >= _MEDCLIP_FEWEST_TOKENS]


def _medclip_tokens(part: str) -> list[str]:
    found = _MEDCLIP_TOKEN.findall(part.replace("\ufffd\ufffd", " ").lower())
    return [token for token in (piece.encode("ascii", "ignore").decode("ascii") for piece in found) if token]

"""A model's card as parts that a template draws: the little of Markdown that cards are made of, everything else as the
text it is. Nothing of it is ever taken for HTML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

_INLINE = re.compile(r"\*\*(?P<strong>[^*]+)\*\*|`(?P<code>[^`]+)`")
_HEADING = re.compile(r"(#{1,6}) +(.*)")
_RULE = re.compile(r"\|(?: *:?-+:? *\|)+")


@dataclass(frozen=True)
class Span:
    """`kind` is text, strong or code."""

    kind: str
    text: str


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Block:
    """`kind` is heading (of `level`), text, list or table. `rows` are lines of cells: the items of a list and the text
    of a paragraph have one cell each; the first row of a table is its head."""

    kind: str
    rows: tuple[tuple[Line, ...], ...]
    level: int = 0


def blocks(text: str) -> list[Block]:
    """The card from end to end; no character of it is dropped but what marks it up."""
    lines = [line.strip() for line in text.splitlines()]
    return [block for kind, group in groupby(lines, _kind) if kind for block in _blocks(kind, list(group))]


def _kind(line: str) -> str:
    if _HEADING.fullmatch(line):
        return "heading"
    if line.startswith("|") and line.endswith("|") and len(line) > 1:
        return "table"
    return "list" if line.startswith("- ") else "text" if line else ""


def _blocks(kind: str, lines: list[str]) -> Iterator[Block]:
    if kind == "heading":
        for line in lines:
            marks, _, words = line.partition(" ")
            yield Block(kind, ((_spans(words.strip()),),), len(marks))
    elif kind == "table":
        cells = [line[1:-1].split("|") for line in lines if not _RULE.fullmatch(line)]
        yield Block(kind, tuple(tuple(_spans(cell.strip()) for cell in row) for row in cells))
    elif kind == "list":
        yield Block(kind, tuple((_spans(line[2:]),) for line in lines))
    else:
        yield Block(kind, ((_spans(" ".join(lines)),),))


def _spans(text: str) -> Line:
    found, at = [], 0
    for match in _INLINE.finditer(text):
        if match.start() > at:
            found.append(Span("text", text[at : match.start()]))
        found.append(Span(str(match.lastgroup), str(match[str(match.lastgroup)])))
        at = match.end()
    return (*found, Span("text", text[at:])) if at < len(text) else tuple(found)

"""The record as one self-contained page: no script, no request, nothing to load."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clinimm.choose import choose
from clinimm.report.evidence import Json

DASH = "\N{EN DASH}"
SHADES = 8
"""Steps of the word shading; the strongest word of a note gets the last."""

_TEMPLATES = Path(__file__).parent / "templates"


def render(record: Json) -> str:
    """The page of a record. Raises ConfigError for a record of another schema."""
    template = choose(_PAGES, str(record.get("schema")), "record.schema")
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    return _ENVIRONMENT.get_template(template).render(record=record, style=style, policy=content_security_policy(style))


def content_security_policy(style: str) -> str:
    """What the page may load: its own style sheet and the pictures inside it. Injected markup stays inert."""
    fingerprint = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{fingerprint}'; base-uri 'none'; form-action 'none'"


def signed(value: float | None, digits: int = 2) -> str:
    """`+0.84`, with a true minus sign and none on a zero; a dash for what is no number."""
    if value is None:
        return DASH
    text = f"{value:+.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text[1:]


def number(value: float | None, digits: int = 6) -> str:
    return DASH if value is None else f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def plain(code: str) -> str:
    """A code as words: `no_usable_input` reads "no usable input"."""
    return code.replace("_", " ")


def percent(value: float | None) -> str:
    return DASH if value is None else f"{100 * value:.1f} %"


def answer_set(answer: Json) -> str:
    """The conformal set of an answer and what it stands on: `yes (90.0 %, own cases)`; a dash where there is none."""
    found = answer.get("conformal_set")
    if found is None:
        return DASH
    words = " or ".join("yes" if held else "no" for held in found) or "neither is usual"
    return f"{words} ({percent(answer['coverage'])}, {answer['conformal_level']} cases)"


def oddness(outlier: Json | None) -> str:
    """Where an input stands among valid ones, and what the guard made of that."""
    if outlier is None:
        return DASH
    verdict = {"ok": "", "flag": ", odd", "block": ", refused"}[outlier["verdict"]]
    why = ", ".join(plain(reason) for reason in outlier["reasons"])
    return f"odder than {outlier['percentile']:.0f} %{verdict}{': ' + why if why else ''}"


def segments(text: str, words: list[Json]) -> Iterator[tuple[str, str, float | None]]:
    """The note from end to end as (characters, class, score): the words, shaded, and what stands between them."""
    top = max((abs(word["score"] or 0.0) for word in words), default=0.0)
    at = 0
    for word in words:
        if word["start"] > at:
            yield text[at : word["start"]], "", None
        yield text[word["start"] : word["end"]], _shade(word["score"], top), word["score"]
        at = word["end"]
    yield text[at:], "", None


def _shade(score: float | None, top: float) -> str:
    if score is None:
        return "unread"
    level = round(SHADES * abs(score) / top) if top else 0
    return f"{'up' if score > 0 else 'down'}{level}" if level else ""


def strongest(text: str, words: list[Json], n: int = 8) -> list[tuple[str, float]]:
    """The `n` words worth most, in the order of their worth."""
    scored = [(text[w["start"] : w["end"]], float(w["score"])) for w in words if w["score"]]
    return sorted(scored, key=lambda pair: -abs(pair[1]))[:n]


def largest(values: Any) -> float:
    """The largest magnitude, to which bars are scaled; 1 where all are 0."""
    return max((abs(value) for value in values if value), default=0.0) or 1.0


_PAGES = {"clinimm.report/1": "report.html"}
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "signed": signed,
    "number": number,
    "plain": plain,
    "percent": percent,
    "answer_set": answer_set,
    "oddness": oddness,
    "segments": segments,
    "strongest": strongest,
    "largest": largest,
}

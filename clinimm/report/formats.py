"""Values of a record as words on the page."""

import re
from collections.abc import Iterable, Iterator

from clinimm.report.canonical import Json

DASH = "\N{EN DASH}"
SHADES = 8
"""Steps of the word shading; the strongest word of a note gets the last."""

LEVELS = {
    "own": "cases that came with just these inputs",
    "pattern": "cases that have these inputs, their others hidden",
    "count": "cases that came with as many inputs",
    "pooled": "all cases, whatever they came with",
    "shift": "too few cases of one class: only the mean is set",
    "identity": "no labeled case: the model's own word",
}

# What is not seen but steers what is: controls but tab and newline, bidirectional marks, zero widths, tags, variants.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with every character that hides, or reorders what stands around it, as its number: `[U+202E]`."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


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


def moment(text: str | None) -> str:
    """A time in ISO 8601 as people write it."""
    return DASH if text is None else text.replace("T", " ").replace("+00:00", " UTC")


def level(code: str) -> str:
    """What a probability was calibrated on."""
    return LEVELS.get(code, plain(code))


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


def estimate(found: Json | None) -> str:
    """A metric with its 95 % interval: `0.91 (0.85 to 0.97)`."""
    if found is None or found["value"] is None:
        return DASH
    ends = found["interval"]
    told = f"{found['value']:.2f}"
    return told if not ends or None in ends else f"{told} ({ends[0]:.2f} to {ends[1]:.2f})"


def failed(explanation: Json) -> str:
    """The checks that an explanation failed, by name."""
    return ", ".join(plain(check["name"]) for check in explanation["checks"] if not check["passed"]) or "its checks"


def by_input(checks: Iterable[Json]) -> Json:
    """Checks of the whole explanation apart from those of single inputs (`deletion: cxr`), which are by test and input;
    the inputs in the order in which they first come."""
    found: Json = {"whole": [], "tests": {}, "inputs": []}
    for check in checks:
        test, _, name = check["name"].partition(": ")
        if not name:
            found["whole"].append(check)
            continue
        found["tests"].setdefault(test, {})[name] = check
        if name not in found["inputs"]:
            found["inputs"].append(name)
    return found


def by_size(subsets: Iterable[str]) -> list[str]:
    """The names of subsets, small ones first."""
    return sorted(subsets, key=lambda subset: (subset.count("+") + bool(subset), subset))


def segments(text: str, words: list[Json]) -> Iterator[tuple[str, str, float | None]]:
    """The note from end to end as (characters, class, score): shaded words one by one, and in one piece each what
    stands between them and what was not read."""
    held = ""
    kind = ""
    for characters, shade, score in _pieces(text, words):
        if score is not None or shade != kind:
            if held:
                yield held, kind, None
            held = ""
            kind = shade
        if score is not None:
            yield characters, shade, score
            kind = ""
        else:
            held += characters
    if held:
        yield held, kind, None


def _pieces(text: str, words: list[Json]) -> Iterator[tuple[str, str, float | None]]:
    """Words and what stands between them; what follows a word that was not read was not read either."""
    top = largest(word["score"] for word in words)
    at, shade = 0, ""
    for word in words:
        if word["start"] > at:
            yield text[at : word["start"]], shade if shade == "unread" else "", None
        shade = _shade(word["score"], top)
        yield text[word["start"] : word["end"]], shade, word["score"] if shade not in ("", "unread") else None
        at = word["end"]
    if text[at:]:
        yield text[at:], shade if shade == "unread" else "", None


def _shade(score: float | None, top: float) -> str:
    if score is None:
        return "unread"
    step = round(SHADES * abs(score) / top)
    return f"{'up' if score > 0 else 'down'}{step}" if step else ""


def strongest(text: str, words: list[Json], n: int = 8) -> list[tuple[str, float]]:
    """The `n` words worth most, in the order of their worth."""
    scored = [(text[w["start"] : w["end"]], float(w["score"])) for w in words if w["score"]]
    return sorted(scored, key=lambda pair: -abs(pair[1]))[:n]


def largest(values: Iterable[float | None]) -> float:
    """The largest magnitude, to which bars are scaled; 1 where all are 0."""
    return max((abs(value) for value in values if value), default=0.0) or 1.0

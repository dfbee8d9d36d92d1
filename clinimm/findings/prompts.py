"""Prompts: sentences that describe a class, for zero-shot scores; MedCLIP's own as data, and ours from templates."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from string import Formatter

from clinimm.errors import ConfigError

Words = Mapping[str, Sequence[str]]

_THREE = ("{severity} {subtype} {location}",)
_BASES = ("at the lung bases", "at the right lung base", "at the left lung base", "at the bilateral lung bases")

# The original's spelling ("apperance", "presistent", "uppper") and doubled words are part of its numbers.
MEDCLIP_PROMPTS: Mapping[str, tuple[tuple[str, ...], Words]] = {
    "Atelectasis": (
        _THREE,
        {
            "severity": ("", "mild", "minimal"),
            "subtype": tuple(
                f"{kind} atelectasis"
                for kind in ("subsegmental", "linear", "trace", "bibasilar", "retrocardiac", "bandlike", "residual")
            ),
            "location": (
                *(f"at the {zone} lung zone" for zone in ("mid", "upper", "right", "left")),
                *_BASES,
                "at the left lower lobe",
                "at the right lower lobe",
            ),
        },
    ),
    "Cardiomegaly": (
        ("{subtype}",),
        {
            "subtype": (
                "cardiac silhouette size is upper limits of normal",
                "cardiomegaly which is unchanged",
                "mildly prominent cardiac silhouette",
                "portable view of the chest demonstrates stable cardiomegaly",
                "portable view of the chest demonstrates mild cardiomegaly",
                "persistent severe cardiomegaly",
                "heart size is borderline enlarged",
                "cardiomegaly unchanged",
                "heart size is at the upper limits of normal",
                "redemonstration of cardiomegaly",
                "ap erect chest radiograph demonstrates the heart size is the upper limits of normal",
                "cardiac silhouette size is mildly enlarged",
                "mildly enlarged cardiac silhouette, likely left ventricular enlargement. "
                "other chambers are less prominent",
                "heart size remains at mildly enlarged",
                "persistent cardiomegaly with prominent upper lobe vessels",
            )
        },
    ),
    "Consolidation": (
        _THREE,
        {
            "severity": ("", "increased", "improved", "apperance of"),
            "subtype": tuple(
                f"{kind} consolidation"
                for kind in ("bilateral", "reticular", "retrocardiac", "patchy", "airspace", "partial")
            ),
            "location": (
                "at the lower lung zone",
                "at the upper lung zone",
                "at the left lower lobe",
                "at the right lower lobe",
                "at the left upper lobe",
                "at the right uppper lobe",
                "at the right lung base",
                "at the left lung base",
            ),
        },
    ),
    "Edema": (
        ("{severity} {subtype}",),
        {
            "severity": ("", "mild", "improvement in", "presistent", "moderate", "decreased"),
            "subtype": ("pulmonary edema", "trace interstitial edema", "pulmonary interstitial edema"),
        },
    ),
    "Pleural Effusion": (
        ("{severity} {location} {subtype}",),
        {
            "severity": ("", "small", "stable", "large", "decreased", "increased"),
            "location": ("left", "right", "tiny"),
            "subtype": ("bilateral pleural effusion", "subpulmonic pleural effusion", "bilateral pleural effusion"),
        },
    ),
}
"""Class -> templates and words of MedCLIP's zero-shot prompts, for `expand`. Source: `CHEXPERT_CLASS_PROMPTS` of the
code of Wang et al. 2022, after GLoRIA (Huang et al. 2021); 210, 15, 192, 18 and 54 prompts."""

_SIDE = re.compile(
    r"\b(?:left|right|left(?=-)|right(?=-)|leftwards?|rightwards?|lingular?|lt|rt|[lr][ulm][lz]|[lr]ij|"
    r"[lr](?=\.? ?(?:lung|upper|lower|mid|base|hilum|apex|pleural|sided|hemithorax|lobe|effusion)))\b",
    re.IGNORECASE,
)


def expand(templates: Sequence[str], words: Words) -> tuple[str, ...]:
    """Every template with every choice of words for its {placeholders}, single-spaced: templates in their order, the
    last placeholder of a template turning fastest. An empty word leaves its place out.

    Raises ConfigError that lists every template that cannot be read and every placeholder without words."""
    read = {template: _placeholders(template) for template in templates}
    faults = [f"{template!r} has unpaired braces" for template, names in read.items() if names is None]
    unknown = {name for names in read.values() for name in names or () if not words.get(name)}
    faults += [f"{{{name}}} has no words" for name in sorted(unknown)]
    if faults:
        known = ", ".join(f"{{{name}}}" for name in words) or "none"
        raise ConfigError("; ".join(faults), where="prompts", mend=f"known placeholders with words: {known}")
    filled = (
        template.format(**dict(zip(names, choice, strict=True)))
        for template in templates
        for names in [read[template] or ()]
        for choice in product(*(words[name] for name in names))
    )
    return tuple(" ".join(prompt.split()) for prompt in filled)


def draw(prompts: Sequence[str], n: int, seed: int) -> tuple[str, ...]:
    """`n` different prompts drawn at random, or all different ones where there are no more. Same seed, same prompts.

    Unlike MedCLIP's, a text that stands twice in `prompts` is drawn at most once. Raises ConfigError if `n` < 1."""
    if n < 1:
        raise ConfigError(f"cannot draw {n} prompts", where="prompts", mend="draw at least one")
    different = tuple(dict.fromkeys(prompts))
    return different if n >= len(different) else tuple(random.Random(seed).sample(different, n))


def speaks_of_sides(texts: Iterable[str]) -> bool:
    """Whether any text tells left from right, so that a mirrored picture would no longer fit it: the words, lobes and
    zones by their initials (RLL, LUZ), and the lingula, which only the left lung has."""
    return any(_SIDE.search(text) for text in texts)


def _placeholders(template: str) -> tuple[str, ...] | None:
    """The names in braces in their order, each once; None if the braces are not paired. `{a.b}` and `{a!r}` are names
    that no word list can have, so that a format string never reaches into an object."""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError:
        return None
    fields = (
        name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
        for _, name, spec, conversion in pieces
        if name is not None
    )
    return tuple(dict.fromkeys(fields))

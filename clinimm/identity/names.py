"""Names as files and people write them, and whether two can be one person's."""

import re
import unicodedata
from collections import Counter
from itertools import product

Spelling = tuple[str, tuple[str, ...]]
"""A script, and a name's words in it; its characters where the script does not part words."""

_TITLES = frozenset(
    (
        *("dr", "doctor", "prof", "professor", "med", "dent", "phd", "md", "dipl", "ing", "mag", "rev", "sir", "dame"),
        *("mr", "mrs", "ms", "miss", "mx", "herr", "hr", "frau", "mme", "mlle", "monsieur", "madame", "signor"),
        *("signora", "sr", "sra", "srta", "jr", "junior", "senior", "ii", "iii", "iv", "esq"),
        *("baby", "babyboy", "babygirl", "boy", "girl", "newborn"),
    )
)
_PARTICLES = frozenset(
    (
        *("de", "da", "do", "dos", "das", "del", "della", "di", "du", "la", "le", "las", "los", "van", "von", "vom"),
        *("der", "den", "ter", "ten", "te", "zu", "zum", "zur", "af", "av", "bin", "ibn", "bint", "al", "el", "y"),
    )
)
_NOBODY = frozenset(
    (
        *("anonymous", "anonymized", "anonymised", "anonym", "unknown", "unbekannt", "redacted", "deidentified"),
        *("pseudonymized", "nameless", "withheld"),
    )
)
_NO_NAME = frozenset(("patient", "patientin", "name", "none", "null", "nil", "na", "n", "a", "test", "not", "given"))

_GROUPS = re.compile("[=~]")  # DICOM's component groups, HL7's repetitions: the same name once more
_APOSTROPHES = re.compile("['\u2019\u2018\u02bc`\u00b4]")
# Accents, and the points of Arabic and Hebrew; not the voicing marks of kana, which tell names apart.
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u0640\u064b-\u065f\u0670]")
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "\u0131": "i", "þ": "th", "æ": "ae", "œ": "oe"})
_UMLAUTS = re.compile("([aou])e|aa")
_HIRAGANA = {katakana: katakana - 0x60 for katakana in range(0x30A1, 0x30F7)}
_SCRIPTS = {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "HIRAGANA", "KATAKANA": "HIRAGANA"}
_UNSPACED = frozenset(("CJK", "HIRAGANA", "HANGUL"))
_LONGEST_NAME = 512  # three groups of DICOM have 194 characters
_LONGEST_RUN = 3  # "de la Cruz"


def spellings(name: str) -> tuple[Spelling, ...]:
    """Every spelling that `name` holds, sorted; none where it is a word for "nobody".

    Reads DICOM PN and HL7 names (`Family^Given^Middle^Prefix^Suffix`, up to three groups) and plain ones. Case,
    accents, marks, titles and the spelling of umlauts are gone: ö, oe and o are one, so are å, aa and a."""
    return tuple(sorted({spelling for group in _GROUPS.split(name[:_LONGEST_NAME]) for spelling in _of_group(group)}))


def _of_group(group: str) -> list[Spelling]:
    words = _words(group)
    if not words or _NOBODY.intersection(words) or _NO_NAME.issuperset(words):
        return []
    by_script: dict[str, list[str]] = {}
    for word in [word for word in words if word not in _TITLES] or words:
        for part in word if _script(word) in _UNSPACED else [word]:
            by_script.setdefault(_script(part), []).append(_folded(part))
    return [(script, tuple(parts)) for script, parts in by_script.items()]


def _words(text: str) -> list[str]:
    """Words of letters and their marks alone, in lower case, without accents."""
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text)).casefold()
    plain = unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", plain)))
    kinds = ((letter, unicodedata.category(letter)) for letter in plain.translate(_HIRAGANA))
    return "".join(letter if kind[0] in "LM" else " " for letter, kind in kinds if kind != "Cf").split()


def _folded(word: str) -> str:
    return _UMLAUTS.sub(lambda found: found.group(1) or "a", word.translate(_LETTERS))


def _script(word: str) -> str:
    kind = unicodedata.name(word[0], "OTHER").split()[0]
    return _SCRIPTS.get(kind, kind)


def contradict(a: tuple[Spelling, ...], b: tuple[Spelling, ...]) -> bool:
    """Whether no person can well bear both names: some spellings are in one script, and none of these agree.

    Two spellings agree if they share two words, or the only word that one of them has. So a middle name, an initial, a
    title or a second surname more or less does not matter, nor does the order; one other surname or one other given
    name does. Where words are not parted (Han, kana, Hangul), all characters of the shorter must be in the longer."""
    alike = [(script, ours, theirs) for (script, ours), (other, theirs) in product(a, b) if script == other]
    return bool(alike) and not any(_agree(*pair) for pair in alike)


def _agree(script: str, a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    if script in _UNSPACED:
        return (Counter(a) & Counter(b)).total() == min(len(a), len(b))
    ours, theirs = _joined(a, b), _joined(b, a)
    names = tuple(tuple(word for word in words if word not in _PARTICLES) for words in (ours, theirs))
    if min(map(len, names)) >= 2:  # a shared "de la" is no shared name; but Le, Van and Do can be all there is
        ours, theirs = names
    return _shared(ours, theirs) >= min(2, len(ours), len(theirs))


def _joined(words: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """`words`, those run together that `other` writes as one ("Mc Donald", "Jean-Pierre")."""
    for run in range(_LONGEST_RUN, 1, -1):
        for start in range(len(words) - run + 1):
            whole = "".join(words[start : start + run])
            if whole in other:
                return _joined((*words[:start], whole, *words[start + run :]), other)
    return words


def _shared(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many words of each can be paired with one of the other: the same, or its initial."""
    same = Counter(a) & Counter(b)
    ours, theirs = Counter(a) - same, Counter(b) - same
    return same.total() + _initials(ours, theirs) + _initials(theirs, ours)


def _initials(ours: Counter[str], theirs: Counter[str]) -> int:
    initials = Counter(word for word in ours.elements() if len(word) == 1)
    return (initials & Counter(word[0] for word in theirs.elements() if len(word) > 1)).total()

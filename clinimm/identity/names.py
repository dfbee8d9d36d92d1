"""Names as files and people write them, and whether two can be one person's."""

import re
import unicodedata
from collections import Counter
from itertools import product
from typing import NamedTuple


class Spelling(NamedTuple):
    """One way to write a name: its `words` in one `script` (its characters where the script does not part words), which
    of them are `particles`, and which are `given` names where commas or carets tell that."""

    script: str
    words: tuple[str, ...]
    particles: tuple[str, ...]
    given: tuple[str, ...]


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

_COMPONENTS = re.compile("[,^]")
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
    parts = [_words(part) for part in _COMPONENTS.split(group)]
    every = {word for words in parts for word in words}
    if not every or _NOBODY & every or every <= _NO_NAME:
        return []
    named = every - _TITLES or every
    found: dict[str, tuple[list[str], list[str], list[str]]] = {}
    for component, words in enumerate([word for word in words if word in named] for words in parts):
        for place, word in enumerate(words):
            # A particle belongs to a name that follows; Le, Van and Do can be all there is of one.
            particle = word in _PARTICLES and any(later not in _PARTICLES for later in words[place + 1 :])
            for piece in word if _script(word) in _UNSPACED else [word]:
                whole, particles, given = found.setdefault(_script(piece), ([], [], []))
                whole.append(_folded(piece))
                particles += [_folded(piece)] * particle
                given += [_folded(piece)] * (component > 0 and not particle)
    return [Spelling(script, *map(tuple, kinds)) for script, kinds in found.items()]


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
    name does. Where commas or carets show which names are given, one of these must be shared, lest two surnames do.
    Where words are not parted (Han, kana, Hangul), all characters of the shorter must be in the longer."""
    alike = [(ours, theirs) for ours, theirs in product(a, b) if ours.script == theirs.script]
    return bool(alike) and not any(_agree(*pair) for pair in alike)


def _agree(a: Spelling, b: Spelling) -> bool:
    if a.script in _UNSPACED:
        return (Counter(a.words) & Counter(b.words)).total() == min(len(a.words), len(b.words))
    ours, theirs = _joined(a.words, b.words), _joined(b.words, a.words)
    fewest = min(sum(word not in a.particles for word in ours), sum(word not in b.particles for word in theirs))
    both = {*a.particles} & {*b.particles}  # a shared "de la" is no shared name
    ours, theirs = (tuple(word for word in words if word not in both) for words in (ours, theirs))
    shared = _shared(ours, theirs)
    if shared < min(len(ours), len(theirs)) and not (_has_one(theirs, a.given) and _has_one(ours, b.given)):
        return False
    return shared >= min(2, fewest)


def _has_one(words: tuple[str, ...], given: tuple[str, ...]) -> bool:
    """Whether one of the `given` names is among `words`; true where none is known."""
    return not given or _shared(words, _joined(given, words)) > 0


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

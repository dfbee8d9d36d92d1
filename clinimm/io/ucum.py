"""UCUM units as exact factors: the part of the standard that laboratory values and vital signs use.

Source: The Unified Code for Units of Measure, version 2.2, https://ucum.org/ucum. Differs where following it would
guess: moles, equivalents, osmoles, international and other arbitrary units each are a dimension of their own, and so
are the annotations of `MEANINGFUL`. UCUM makes 1 eq = 1 mol, which is wrong for calcium, and gives {FEU} and {DDU} no
meaning, though D-dimer differs twofold between them, and %{NGSP} is no percentage that mmol/mol converts to by a
factor. A ratio of substances is a dimension too: HbA1c of 7.5 % is 58 mmol/mol, not 75. Other annotations mean
nothing, as in UCUM."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from clinimm.errors import InputError

MAX_LENGTH = 64
MEANINGFUL = frozenset({"{FEU}", "{DDU}", "{NGSP}"})

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """A value v in this unit is `v * factor + offset` in the base units of `dimension`."""

    factor: Fraction = Fraction(1)
    dimension: Dimension = ()
    offset: Fraction = Fraction(0)

    def __mul__(self, other: "Unit") -> "Unit":
        powers = dict(self.dimension)
        for base, power in other.dimension:
            powers[base] = powers.get(base, 0) + power
        return Unit(self.factor * other.factor, tuple(sorted((b, p) for b, p in powers.items() if p)))

    def __pow__(self, power: int) -> "Unit":
        return Unit(self.factor**power, tuple((b, p * power) for b, p in self.dimension if power))


@lru_cache(maxsize=4096)
def parse(text: str) -> Unit:
    """The unit that a UCUM code (case sensitive) names. Raises InputError `unit_unknown`."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if not text or len(text) > MAX_LENGTH:
        raise _unknown()
    tokens = _tokens(text)
    unit = _term(tokens)
    if tokens:
        raise _unknown()
    return unit if unit.dimension or "mol" not in text else unit * _base(("mol/mol", 1))


def _base(*powers: tuple[str, int], factor: Fraction | int = 1) -> Unit:
    return Unit(Fraction(factor), tuple(sorted(powers)))


_ONE = Unit()
_PASCAL = _base(("g", 1), ("m", -1), ("s", -2), factor=1000)
_LITER = _base(("m", 3), factor=Fraction(1, 1000))
_KATAL = _base(("mol", 1), ("s", -1))


def _scaled(unit: Unit, factor: str | Fraction) -> Unit:
    return Unit(Fraction(factor) * unit.factor, unit.dimension)


_METRIC: Mapping[str, Unit] = {
    **{base: _base((base, 1)) for base in ("m", "s", "g", "K", "mol", "eq", "osm", "V")},
    **{arbitrary: _base((arbitrary, 1)) for arbitrary in ("[arb'U]", "[CFU]", "[PFU]", "[beth'U]", "[USP'U]")},
    "[IU]": _base(("[IU]", 1)),
    "[iU]": _base(("[IU]", 1)),
    "L": _LITER,
    "l": _LITER,
    "Pa": _PASCAL,
    "bar": _scaled(_PASCAL, "1e5"),
    "m[Hg]": _scaled(_PASCAL, "133322"),
    "m[H2O]": _scaled(_PASCAL, "9806.65"),
    "kat": _KATAL,
    "U": _scaled(_KATAL, Fraction(1, 60_000_000)),
    "Hz": _base(("s", -1)),
    "J": _base(("g", 1), ("m", 2), ("s", -2), factor=1000),
    "cal": _base(("g", 1), ("m", 2), ("s", -2), factor=4184),
}
_NOT_METRIC: Mapping[str, Unit] = {
    **{arbitrary: _base((arbitrary, 1)) for arbitrary in ("[pH]", "[HPF]", "[LPF]")},
    "10*": _base(factor=10),
    "10^": _base(factor=10),
    "%": _base(factor=Fraction(1, 100)),
    "[ppth]": _base(factor=Fraction(1, 10**3)),
    "[ppm]": _base(factor=Fraction(1, 10**6)),
    "[ppb]": _base(factor=Fraction(1, 10**9)),
    "min": _base(("s", 1), factor=60),
    "h": _base(("s", 1), factor=3_600),
    "d": _base(("s", 1), factor=86_400),
    "wk": _base(("s", 1), factor=604_800),
    "mo": _base(("s", 1), factor=2_629_800),
    "a": _base(("s", 1), factor=31_557_600),
    "[in_i]": _base(("m", 1), factor=Fraction("0.0254")),
    "[ft_i]": _base(("m", 1), factor=Fraction("0.3048")),
    "[lb_av]": _base(("g", 1), factor=Fraction("453.59237")),
    "[oz_av]": _base(("g", 1), factor=Fraction("28.349523125")),
}
# Units with a zero of their own stand alone: UCUM forbids them in products and powers.
_SPECIAL: Mapping[str, Unit] = {
    "Cel": Unit(Fraction(1), (("K", 1),), Fraction("273.15")),
    "[degF]": Unit(Fraction(5, 9), (("K", 1),), Fraction("459.67") * Fraction(5, 9)),
}
_PREFIXES: Mapping[str, Fraction] = {
    prefix: Fraction(10) ** power
    for prefix, power in {
        "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
        "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
    }.items()
}  # fmt: skip

_TOKEN = re.compile(
    r"(?P<punctuation>[()./])"
    r"|(?P<annotation>\{[!-z|~]*\})"
    r"|(?P<symbol>10[*^]|%|(?:[A-Za-z]|\[[A-Za-z0-9_']+\])+)(?P<power>[+-]?[0-9]{1,2})?"
    r"|(?P<number>[1-9][0-9]{0,8})"
)


def _tokens(text: str) -> list[re.Match[str]]:
    """The tokens of a code, last first, so that the next one is popped. Raises InputError."""
    tokens, at = [], 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise _unknown()
        tokens.append(token)
        at = token.end()
    return tokens[::-1]


def _term(tokens: list[re.Match[str]]) -> Unit:
    """A product of components, taken from the left: a/b.c is (a/b).c; a leading slash divides one."""
    unit = _ONE if _next_is(tokens, "/") else _component(tokens)
    while _next_is(tokens, ".") or _next_is(tokens, "/"):
        power = -1 if tokens.pop()[0] == "/" else 1
        unit *= _component(tokens) ** power
    return unit


def _component(tokens: list[re.Match[str]]) -> Unit:
    unit = _simple(tokens)
    if tokens and tokens[-1]["annotation"]:
        unit *= _annotation(tokens.pop())
    return unit


def _simple(tokens: list[re.Match[str]]) -> Unit:
    if not tokens:
        raise _unknown()
    token = tokens.pop()
    if token["symbol"]:
        return _symbol(token["symbol"]) ** int(token["power"] or 1)
    if token["number"]:
        return _base(factor=int(token["number"]))
    if token["annotation"]:
        return _annotation(token)
    if token[0] != "(":
        raise _unknown()
    unit = _term(tokens)
    if not _next_is(tokens, ")"):
        raise _unknown()
    tokens.pop()
    return unit


def _symbol(symbol: str) -> Unit:
    """A whole symbol comes before a prefixed one: Pa is pascal, not the petayear."""
    for table in (_METRIC, _NOT_METRIC):
        if symbol in table:
            return table[symbol]
    for length in (1, 2):
        prefix, atom = symbol[:length], symbol[length:]
        if prefix in _PREFIXES and atom in _METRIC:
            return _scaled(_METRIC[atom], _PREFIXES[prefix])
    raise _unknown()


def _annotation(token: re.Match[str]) -> Unit:
    return _base((token[0], 1)) if token[0] in MEANINGFUL else _ONE


def _next_is(tokens: list[re.Match[str]], mark: str) -> bool:
    return bool(tokens) and tokens[-1][0] == mark


def _unknown() -> InputError:
    return InputError("unit_unknown", "the unit is not one of UCUM that clinimm knows", mend="write it as on ucum.org")

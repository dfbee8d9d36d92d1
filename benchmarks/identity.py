"""How many mix-ups of patients are found, and how many cases of one patient are held for nothing.

    python benchmarks/identity.py [--data DIR] [--pairs 4000] [--seed 0] [--out OUT.json]

Names are drawn from the list below (Western European, Turkish, Slavic, Vietnamese; Chinese, Japanese and Korean with
their own script), given names by sex, a middle name for every second patient. One name: as DICOM writes it, and as the
row says. Two names: of patients who share nothing, the surname or the given name, each in a spelling drawn at random;
some share a middle name or an initial too. Cases: a request, a film and a note, with the film of the same or of another
patient, each of the four fields given with the chance that the row says.

With DIR (which holds covid_cxr/cases.csv): the share of real notes that are taken to have a header (none has one), that
are flagged against their own patient's sex and age, and that are flagged when the sex is swapped or the birth date is
moved by 20 years; most of these notes tell neither. The birth date is made from the table's age.

Three rules were made after a first run, which the shares flatter a little for: "Male, 50 years old" was read in these
notes; particles that are whole names (Le, Van) and given names beside double surnames showed in this list. Before, up
to .025 of the names of one spelling were held, and .943 of two patients with one surname told apart.

Shares come with Wilson's 95 % interval."""

import argparse
import csv
import json
import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from finding_reader import wilson
from rich.console import Console
from rich.table import Table

from clinimm.identity import Identity, contradictions, mismatches, of_note

GIVEN = {
    "F": "Anna Maria Zoë Françoise Jürgina Søs Ayşe Olga Katarzyna Sinéad Inés Beatriz Jean-Marie Thi Emma Linda",
    "M": "John José Jürgen Søren François Mehmet Ivan Łukasz Seán Piet Hans-Peter Van Robert Michael Luís Åke",
}
_SURNAMES = """
Smith|Müller|Weiß|García López|O'Brien|de la Cruz|van den Berg|Ærø|Y\u0131lmaz|Kowalski|Novák|Nguyen|Le|Jones|Miller|
Dupont|MacDonald|Åkesson|Silva|dos Santos|Schröder|Petrov|Fischer|Brown|Garcia|Martin|Öztürk|Lindström|Tran|Rossi
"""
SURNAMES = _SURNAMES.replace("\n", "").split("|")
EASTERN = (  # family and given, in Latin and in their own script
    ("Wang", "Wei", "王", "伟", "M"), ("Wang", "Fang", "王", "芳", "F"), ("Li", "Na", "李", "娜", "F"),
    ("Li", "Wei", "李", "薇", "F"), ("Yamada", "Tarou", "山田", "太郎", "M"), ("Yamada", "Hanako", "山田", "花子", "F"),
    ("Satou", "Hanako", "佐藤", "花子", "F"), ("Kim", "Cheolsu", "김", "철수", "M"),
    ("Park", "Cheolsu", "박", "철수", "M"), ("Kim", "Minji", "김", "민지", "F"),
)  # fmt: skip
EASTERN_SHARE = 0.15


@dataclass(frozen=True)
class Person:
    family: str
    given: str
    middle: str
    sex: str
    patient_id: str
    born: date
    native: str = ""

    def pn(self) -> str:
        latin = "^".join(part for part in (self.family, self.given, self.middle) if part)
        return f"{latin}={self.native}" if self.native else latin


def person(chance: random.Random) -> Person:
    born = date(1930, 1, 1) + timedelta(days=chance.randrange(80 * 365))
    patient_id = f"{chance.randrange(10**7):07d}"
    if chance.random() < EASTERN_SHARE:
        family, given, own_family, own_given, sex = chance.choice(EASTERN)
        return Person(family, given, "", sex, patient_id, born, f"{own_family}^{own_given}")
    sex = chance.choice("MF")
    given, middle = chance.sample(GIVEN[sex].split(), 2)
    return Person(chance.choice(SURNAMES), given, middle * chance.randrange(2), sex, patient_id, born)


def plain(text: str) -> str:
    """Without accents, as a system of ASCII letters writes it."""
    text = text.replace("\u0131", "i").replace("ø", "o").replace("Ø", "O").replace("Æ", "Ae").replace("ß", "ss")
    text = text.replace("Ł", "L").replace("ł", "l")
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def spelled_out(text: str) -> str:
    for letter, pair in (("ö", "oe"), ("ü", "ue"), ("ä", "ae"), ("ø", "oe"), ("å", "aa"), ("Ö", "Oe"), ("Å", "Aa")):
        text = text.replace(letter, pair)
    return plain(text)


def other_name(one: Person, chance: random.Random) -> str:
    return chance.choice([name for name in SURNAMES if name != one.family])


Spelling = Callable[[Person, random.Random], str]
SPELLINGS: dict[str, Spelling] = {
    "given family": lambda p, _: f"{p.given} {p.middle} {p.family}",
    "FAMILY, GIVEN": lambda p, _: f"{p.family}, {p.given}".upper(),
    "without accents": lambda p, _: plain(f"{p.family}^{p.given}^{p.middle}"),
    "ö as oe": lambda p, _: spelled_out(f"{p.given} {p.family}"),
    "without hyphens and marks": lambda p, _: f"{p.family}, {p.given}".replace("-", " ").replace("'", ""),
    "run together": lambda p, _: f"{p.family.replace(' ', '')} {p.given.replace('-', '')}",
    "initial": lambda p, _: f"{p.given[0]}. {p.family}",
    "title and suffix": lambda p, _: f"{p.family}^{p.given}^{p.middle}^Dr^Jr",
    "one more middle name": lambda p, c: f"{p.given} {c.choice(GIVEN[p.sex].split())} {p.family}",
    "family name alone": lambda p, _: p.family,
    "own script alone": lambda p, _: p.native or p.pn(),
    "married: second surname": lambda p, c: f"{p.family}-{other_name(p, c)}, {p.given}",
    "married: old name in the middle": lambda p, c: f"{other_name(p, c)}^{p.given}^{p.family}",
}
CHANGES: dict[str, Spelling] = {  # one patient, but no rule could tell: a person must say so, once
    "another surname": lambda p, c: f"{other_name(p, c)}, {p.given}",
    "nickname": lambda p, _: (
        f"{p.family}, {({'Robert': 'Bob', 'Michael': 'Mike', 'John': 'Jack'}).get(p.given, 'Kit')}"
    ),
}


@dataclass(frozen=True)
class Share:
    title: str
    row: str
    count: int
    n: int

    def record(self) -> dict[str, object]:
        interval = [max(0.0, round(end, 4)) for end in wilson(self.count, self.n)]
        told = {"table": self.title, "row": self.row, "count": self.count, "n": self.n}
        return told | {"share": round(self.count / self.n, 4), "interval": interval}


def share(title: str, row: str, found: Sequence[bool]) -> Share:
    return Share(title, row, sum(found), len(found))


def named(ours: str, theirs: str) -> bool:
    return bool(mismatches([Identity("request", name=ours), Identity("images/0", name=theirs)]))


def by_spelling(pairs: int, chance: random.Random) -> list[Share]:
    """Names of one patient that were held to be two's, by how the second was written."""
    drawn = [person(chance) for _ in range(pairs)]
    return [
        share(title, row, [named(one.pn(), spell(one, chance)) for one in drawn])
        for title, spellings in (("one name, held", SPELLINGS), ("changed name, held", CHANGES))
        for row, spell in spellings.items()
    ]


def by_likeness(pairs: int, chance: random.Random) -> list[Share]:
    """Names of two patients that were told apart, by what they share, both in any spelling but the surname alone."""
    alike: dict[str, Callable[[Person, Person], bool]] = {
        "nothing": lambda a, b: a.family != b.family and a.given != b.given,
        "surname": lambda a, b: a.family == b.family and a.given != b.given,
        "given name": lambda a, b: a.family != b.family and a.given == b.given,
    }
    spellings = [spell for row, spell in SPELLINGS.items() if row not in ("family name alone", "own script alone")]
    shares = []
    for row, fits in alike.items():
        drawn: list[tuple[Person, Person]] = []
        while len(drawn) < pairs:
            pair = person(chance), person(chance)
            drawn += [pair] if fits(*pair) else []
        found = [named(chance.choice(spellings)(a, chance), chance.choice(spellings)(b, chance)) for a, b in drawn]
        shares.append(share("two names, told apart", f"share {row}", found))
    return shares


def told(one: Person, source: str, given: float, chance: random.Random) -> Identity:
    """The person as a source may write it: each field with the chance `given`."""
    name = chance.choice(list(SPELLINGS.values()))(one, chance)
    whole = Identity(source, patient_id=one.patient_id, birth_date=one.born, sex=one.sex, name=name)  # type: ignore[arg-type]
    gone = [field for field in ("patient_id", "birth_date", "sex", "name") if chance.random() >= given]
    return replace(whole, **dict.fromkeys(gone))


def by_missing(pairs: int, chance: random.Random) -> list[Share]:
    """Cases of a request, a film and a note: of one patient, or with the film of another."""
    shares = []
    for given in (1.0, 0.75, 0.5, 0.25):
        held: dict[str, list[bool]] = {"one patient, held": [], "another's film, found": []}
        for _ in range(pairs):
            patient, stranger = person(chance), person(chance)
            for title, on_film in zip(held, (patient, stranger), strict=True):
                sources = ((patient, "request"), (on_film, "images/0"), (patient, "notes/0"))
                held[title].append(bool(mismatches(told(*one, given, chance) for one in sources)))
        shares += [share(title, f"each field given in {given:.0%}", found) for title, found in held.items()]
    return shares


def on_notes(path: Path) -> list[Share]:
    """What is said of real notes that have no header, and whose patient's sex and age are known."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list({row["note"]: row for row in csv.DictReader(file) if row["note"].strip()}.values())
    at = datetime.fromisoformat("2020-06-01T12:00")
    sexed = [(row["note"], row["sex"]) for row in rows if row["sex"] in ("M", "F")]
    aged = [
        (row["note"], at.date() - timedelta(days=365.25 * (float(row["age_years"]) + 0.5)))
        for row in rows
        if row["age_years"]
    ]

    def flags(note: str, **facts: object) -> bool:
        return bool(contradictions(note=note, **facts))  # type: ignore[arg-type]

    moved = timedelta(days=20 * 365)
    asked = {
        "taken to have a header": [of_note(row["note"]) is not None for row in rows],
        "flagged against the true sex": [flags(note, sex=sex) for note, sex in sexed],
        "flagged against the true age": [flags(note, birth_date=born, image_acquired_at=at) for note, born in aged],
        "flagged when the sex is swapped": [flags(note, sex="F" if sex == "M" else "M") for note, sex in sexed],
        "flagged when 20 years older": [
            flags(note, birth_date=born - moved, image_acquired_at=at) for note, born in aged
        ],
    }
    return [share("real notes", row, found) for row, found in asked.items()]


def show(shares: Sequence[Share]) -> None:
    for title in dict.fromkeys(one.title for one in shares):
        table = Table("", "n", "share", "95 %", title=title)
        for one in shares:
            if one.title == title:
                low, high = wilson(one.count, one.n)
                table.add_row(one.row, str(one.n), f"{one.count / one.n:.4f}", f"[{max(0.0, low):.4f}, {high:.4f}]")
        Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with covid_cxr")
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    shares = [found for judge in (by_spelling, by_likeness, by_missing) for found in judge(arguments.pairs, chance)]
    if arguments.data:
        shares += on_notes(arguments.data / "covid_cxr" / "cases.csv")
    show(shares)
    if arguments.out:
        arguments.out.write_text(json.dumps([one.record() for one in shares], indent=1))


if __name__ == "__main__":
    main()

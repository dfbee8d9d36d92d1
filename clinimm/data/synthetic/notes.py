"""Admission notes from templates: findings, their negations, and mentions that belong to someone or something else."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ON = {
    "pneumonia": (
        "[New productive cough with rigors] for {days} days.",
        "Reports [rusty sputum and shaking chills] since {weekday}.",
        "[Coughing up green sputum with fever and rigors] since {weekday}.",
    ),
    "heart_failure": (
        "[Sleeps on three pillows and wakes breathless] at night.",
        "[Worsening orthopnea and ankle swelling] for {days} days.",
        "[Gained four kilograms with swollen legs and orthopnea] since {weekday}.",
    ),
    "arrhythmia": (
        "Takes [digoxin] 125 micrograms daily.",
        "Current tablets are [digoxin] and {drug}.",
        "On [digoxin] for {years} years.",
    ),
}
"""What a note says where a target's sign is on. Brackets mark the words that carry it."""

OFF = {
    "pneumonia": (
        "[No productive cough, no rigors].",
        "[Denies sputum, fever or chills].",
        "[No cough or fever] since {weekday}.",
    ),
    "heart_failure": (
        "[No orthopnea, no ankle swelling].",
        "[Sleeps flat without breathlessness].",
        "[Denies swollen legs or weight gain].",
    ),
    "arrhythmia": (
        "Takes [spironolactone] 25 mg daily.",
        "Current tablets are [spironolactone] and {drug}.",
        "On [spironolactone] for {years} years.",
    ),
}
NEGATION = {"pneumonia": 0.7, "heart_failure": 0.7, "arrhythmia": 1.0}
"""How often a sign that is off is spoken of at all; always, where the input decides."""

OPENINGS = (
    "{age} year old {person}, seen in the emergency department.",
    "{person_start} of {age} years, referred by the family doctor.",
    "{age} year old {person}, walked in without an appointment.",
)
DISTRACTORS = (
    "Mother had pneumonia at {age_other}.",
    "Father died of heart failure at {age_other}.",
    "Appendectomy {years} years ago.",
    "Old ankle fracture, no swelling since.",
    "Knee pain when climbing stairs.",
    "Chronic lower back pain, unchanged.",
    "Migraine once a month.",
    "Brother takes heart tablets of unknown name.",
    "Never smoked.",
    "Stopped smoking {years} years ago.",
    "Lives alone on the second floor.",
    "Seasonal hay fever, none at present.",
    "Skin clear, abdomen soft.",
    "Had a cold {years} years ago, resolved.",
)
DRUGS = ("atorvastatin", "omeprazole", "vitamin D", "levothyroxine", "paracetamol")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class WrittenNote:
    """`spans` gives, for each target that is spoken of, the character offsets [start, end) of its words."""

    text: str
    spans: Mapping[str, tuple[tuple[int, int], ...]]


def write_note(
    rng: np.random.Generator, age: int, sex: str, shown: frozenset[str], decided: frozenset[str]
) -> WrittenNote:
    """A note that shows the signs of the targets in `shown`. Of the rest, those in `decided` are always negated."""
    said = _sentences(rng, shown, decided)
    fillers = [str(line) for line in rng.choice(DISTRACTORS, size=int(rng.integers(2, 6)), replace=False)]
    body = [*said, *((None, line) for line in fillers)]
    opening = (None, OPENINGS[int(rng.integers(len(OPENINGS)))])
    lines = [opening, *(body[i] for i in rng.permutation(len(body)))]
    return _join([(target, _fill(rng, line, age, sex)) for target, line in lines])


def _sentences(
    rng: np.random.Generator, shown: frozenset[str], decided: frozenset[str]
) -> list[tuple[str | None, str]]:
    said: list[tuple[str | None, str]] = []
    for target in ON:
        choices = (ON if target in shown else OFF)[target]
        line, draw = choices[int(rng.integers(len(choices)))], rng.random()
        if target in shown or target in decided or draw < NEGATION[target]:
            said.append((target, line))
    return said


def _fill(rng: np.random.Generator, line: str, age: int, sex: str) -> str:
    person = "woman" if sex == "F" else "man"
    return line.format(
        age=age,
        person=person,
        person_start=person.capitalize(),
        age_other=int(rng.integers(50, 90)),
        days=int(rng.integers(2, 9)),
        years=int(rng.integers(2, 20)),
        weekday=WEEKDAYS[int(rng.integers(len(WEEKDAYS)))],
        drug=DRUGS[int(rng.integers(len(DRUGS)))],
    )


def _join(lines: list[tuple[str | None, str]]) -> WrittenNote:
    """Strips the brackets and keeps where they were."""
    text, spans = "", {}
    for target, line in lines:
        before, opened, rest = line.partition("[")
        words, _, after = rest.partition("]")
        start = len(text) + len(before)
        if target and opened:
            spans[target] = ((start, start + len(words)),)
        text += f"{before}{words}{after} "
    return WrittenNote(text.rstrip() + "\n", spans)

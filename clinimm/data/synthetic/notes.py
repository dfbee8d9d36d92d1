"""Admission notes from templates: findings, their negations, and mentions that belong to someone or something else."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ON = {
    "pneumonia": (
        "[Productive cough with rusty sputum and shaking rigors] for {days} days.",
        "[Fever, rigors and a productive cough] since {weekday}.",
        "[Brings up rusty sputum, with fever and shaking rigors], since {weekday}.",
    ),
    "heart_failure": (
        "[Worsening orthopnea and swollen ankles] for {days} days.",
        "[Wakes breathless, sleeps on three pillows, ankles swollen].",
        "[Orthopnea and swollen ankles, four kilograms gained] since {weekday}.",
    ),
    "arrhythmia": (
        "[Takes digoxin for atrial fibrillation].",
        "[Digoxin daily for atrial fibrillation], also {drug}.",
        "Tablets: {drug}, and [digoxin for atrial fibrillation].",
    ),
}
"""What a note says where a target's sign is on. Brackets mark the words that carry it."""

OFF = {
    "pneumonia": (
        "[No productive cough, no rigors].",
        "[Denies cough, sputum or fever].",
        "[No sputum and no fever] since {weekday}.",
    ),
    "heart_failure": (
        "[No orthopnea, no swollen ankles].",
        "[Sleeps flat and is not breathless].",
        "[Denies orthopnea or weight gain].",
    ),
    "arrhythmia": (
        "[Takes spironolactone for high blood pressure].",
        "[Spironolactone daily for high blood pressure], also {drug}.",
        "Tablets: {drug}, and [spironolactone for high blood pressure].",
    ),
}
NEGATION = {"pneumonia": 0.7, "heart_failure": 0.7, "arrhythmia": 1.0}
"""How often a sign that is off is spoken of at all; always, where the input decides."""

OPENINGS = (
    "{person} in the {decade}, seen in the emergency department.",
    "{person} in the {decade}, referred by the family doctor.",
    "{person} in the {decade}, walked in without an appointment.",
)
DISTRACTORS = (
    "Mother had pneumonia last winter.",
    "Father died of heart failure.",
    "Brother takes tablets for an irregular heart.",
    "Had a cough as a child, resolved.",
    "Old ankle fracture, healed.",
    "Knee pain on the stairs.",
    "Chronic back pain, unchanged.",
    "Migraine once a month.",
    "Never smoked.",
    "Lives alone on the second floor.",
    "Skin clear, abdomen soft.",
    "Appendectomy years ago.",
)
DRUGS = ("atorvastatin", "omeprazole", "paracetamol")
WEEKDAYS = ("Monday", "Wednesday", "Friday", "Sunday")
DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties")


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
    fillers = [str(line) for line in rng.choice(DISTRACTORS, size=int(rng.integers(1, 4)), replace=False)]
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
    return line.format(
        person="Woman" if sex == "F" else "Man",
        decade=DECADES[age // 10 - 2],
        days=("two", "three", "five")[int(rng.integers(3))],
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

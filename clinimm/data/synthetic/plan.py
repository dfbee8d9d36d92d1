"""Who the patients are, what is true of each case, and which inputs will show it. Nothing is drawn or written yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import chain, count, islice
from math import prod

import numpy as np

from clinimm.data.synthetic.chance import Stream, generator
from clinimm.data.synthetic.missingness import Leans, Missing, draw_present, hidden_probability
from clinimm.types import Kind

KINDS = (Kind.IMAGE, Kind.TEXT, Kind.TABULAR)
SITES = ("north", "harbor", "valley")
SITE_LEAN = {"north": -1.0, "harbor": 0.0, "valley": 1.0}
AGES = (25, 90)
OLD, AGE_LEAN = 58, 0.5
SYNERGY_SIGN = 0.35
"""How often each of two synergistic signs is on. At 0.5 one sign alone would tell nothing at all, and a net would have
no slope to start from; at 0.35 one alone reaches an AUROC of 0.65, both 1."""


class Mechanism(StrEnum):
    """How a target's signal lies in the inputs.

    unique: a positive case shows its sign in exactly one input. redundant: in two, each of which is enough.
    synergy: a case is positive where exactly one of two signs is on, so only both inputs together tell."""

    UNIQUE = "unique"
    REDUNDANT = "redundant"
    SYNERGY = "synergy"


SHOWN = {Mechanism.UNIQUE: 1, Mechanism.REDUNDANT: 2}
"""How many inputs of a positive case show its sign."""


@dataclass(frozen=True)
class Question:
    """A target: how common it is, which inputs can show its sign, which two do in synergy, and the mixture of
    mechanisms. Synergy does not mix with the others: there one sign alone already means yes."""

    name: str
    prevalence: float
    carriers: tuple[Kind, ...]
    pair: tuple[Kind, Kind]
    mixture: Mapping[Mechanism, float]


QUESTIONS = (
    Question(
        "pneumonia",
        0.42,
        KINDS,
        (Kind.IMAGE, Kind.TABULAR),
        {Mechanism.UNIQUE: 0.6, Mechanism.REDUNDANT: 0.4},
    ),
    Question("heart_failure", 0.38, KINDS, (Kind.IMAGE, Kind.TEXT), {Mechanism.REDUNDANT: 1.0}),
    Question(
        "arrhythmia",
        0.48,
        (Kind.TEXT, Kind.TABULAR),
        (Kind.TEXT, Kind.TABULAR),
        {Mechanism.SYNERGY: 1.0},
    ),
)


@dataclass(frozen=True)
class Signal:
    """What is true of one target of one case. `on` are the inputs that show its sign, `sources` those that decide it
    (in synergy both, on or off). `label` is what the manifest says: the truth, but for label noise."""

    mechanism: Mechanism
    truth: bool
    label: bool
    sources: tuple[Kind, ...]
    on: frozenset[Kind]


@dataclass(frozen=True)
class Patient:
    number: int
    age: int
    sex: str
    site: str
    visits: int

    @property
    def patient_id(self) -> str:
        return f"s{self.number:05d}"


@dataclass(frozen=True)
class PlannedCase:
    """A case before it is drawn; `present` are the inputs that will be written."""

    patient: Patient
    visit: int
    index_time: datetime
    acquired: Mapping[Kind, datetime]
    signals: Mapping[str, Signal]
    present: frozenset[Kind]

    @property
    def case_id(self) -> str:
        return f"{self.patient.patient_id}-{self.visit + 1}"

    def shows(self, kind: Kind) -> frozenset[str]:
        """The targets whose sign is on in this input."""
        return frozenset(name for name, signal in self.signals.items() if kind in signal.on)

    def decides(self, kind: Kind) -> frozenset[str]:
        """The targets that this input is a source of."""
        return frozenset(name for name, signal in self.signals.items() if kind in signal.sources)


@dataclass(frozen=True)
class Recipe:
    """The choices of a cohort. `mechanism` None leaves each target its own mixture."""

    seed: int = 0
    missing: Missing = Missing.MCAR
    rate: float = 0.15
    mechanism: Mechanism | None = None
    label_noise: float = 0.02

    def mixture(self, question: Question) -> Mapping[Mechanism, float]:
        return {self.mechanism: 1.0} if self.mechanism else question.mixture


def plan_cohort(n: int, recipe: Recipe) -> list[PlannedCase]:
    """The first `n` cases of the endless cohort that `recipe` describes."""
    visits = chain.from_iterable(_plan_patient(number, recipe) for number in count(1))
    return list(islice(visits, n))


def _plan_patient(number: int, recipe: Recipe) -> list[PlannedCase]:
    rng = generator(recipe.seed, Stream.PATIENT, number)
    patient = Patient(
        number=number,
        age=int(rng.integers(AGES[0], AGES[1])),
        sex=str(rng.choice(["F", "M"])),
        site=SITES[int(rng.integers(len(SITES)))],
        visits=1 + int(rng.choice(3, p=[0.6, 0.25, 0.15])),
    )
    first = datetime(2024, 1, 8, 7) + timedelta(minutes=int(rng.integers(500 * 24 * 60)))  # noqa: DTZ001 local clock
    gaps = np.cumsum(rng.integers(20, 200, size=patient.visits))
    return [
        _plan_case(patient, visit, first + timedelta(days=int(gaps[visit])), recipe) for visit in range(patient.visits)
    ]


def _plan_case(patient: Patient, visit: int, index_time: datetime, recipe: Recipe) -> PlannedCase:
    signal_rng = generator(recipe.seed, Stream.SIGNAL, patient.number, visit)
    time_rng = generator(recipe.seed, Stream.TIMES, patient.number, visit)
    signals = {question.name: _draw_signal(signal_rng, question, recipe) for question in QUESTIONS}
    minutes = time_rng.integers([10, 5, 30], [24 * 60, 3 * 60, 12 * 60])
    acquired = {kind: index_time - timedelta(minutes=int(m)) for kind, m in zip(KINDS, minutes, strict=True)}
    present = _draw_present(patient, visit, signals, recipe)
    return PlannedCase(patient, visit, index_time, acquired, signals, present)


def _draw_signal(rng: np.random.Generator, question: Question, recipe: Recipe) -> Signal:
    mixture = recipe.mixture(question)
    mechanism = list(mixture)[int(rng.choice(len(mixture), p=list(mixture.values())))]
    draw, noise, *coins = rng.random(4)
    order = [question.carriers[i] for i in rng.permutation(len(question.carriers))]
    if mechanism is Mechanism.SYNERGY:
        sources: tuple[Kind, ...] = question.pair
        on = frozenset(kind for kind, coin in zip(sources, coins, strict=True) if coin < SYNERGY_SIGN)
        truth = len(on) == 1
    else:
        truth = bool(draw < question.prevalence)
        on = frozenset(order[: SHOWN[mechanism]] if truth else ())
        sources = tuple(kind for kind in KINDS if kind in on)
    label = truth != bool(noise < recipe.label_noise)
    return Signal(mechanism, truth, label, sources, on)


def _draw_present(patient: Patient, visit: int, signals: Mapping[str, Signal], recipe: Recipe) -> frozenset[Kind]:
    rng = generator(recipe.seed, Stream.MISSING, patient.number, visit)
    hidden = {kind: _hidden(kind, patient, signals, recipe) for kind in KINDS}
    return draw_present(rng, hidden)


def _hidden(kind: Kind, patient: Patient, signals: Mapping[str, Signal], recipe: Recipe) -> float:
    """MAR: the valley site and the old lack more. MNAR: an input that would have shown nothing was often never made."""
    if recipe.missing is Missing.MCAR:
        return recipe.rate
    if recipe.missing is Missing.MAR:
        old = AGE_LEAN if patient.age >= OLD else -AGE_LEAN
        return hidden_probability(SITE_LEAN[patient.site] + old, recipe.rate, _mar_leans())
    quiet = not any(kind in signal.on for signal in signals.values())
    share = prod(1 - _on_share(kind, question, recipe) for question in QUESTIONS)
    return hidden_probability(1.0 if quiet else -1.0, recipe.rate, ((1.0, share), (-1.0, 1 - share)))


@cache
def _mar_leans() -> Leans:
    old = (AGES[1] - OLD) / (AGES[1] - AGES[0])
    ages = ((AGE_LEAN, old), (-AGE_LEAN, 1 - old))
    return tuple((site + age, share / len(SITES)) for site in SITE_LEAN.values() for age, share in ages)


def _on_share(kind: Kind, question: Question, recipe: Recipe) -> float:
    """Chance that an input shows the sign of a target."""
    each = question.prevalence * (kind in question.carriers) / len(question.carriers)
    shown = {mechanism: each * inputs for mechanism, inputs in SHOWN.items()}
    shown[Mechanism.SYNERGY] = SYNERGY_SIGN * (kind in question.pair)
    return sum(weight * shown[mechanism] for mechanism, weight in recipe.mixture(question).items())

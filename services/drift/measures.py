"""What is followed of a model: each measure is one number of an answer, or none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.drift.store import Answer


@dataclass(frozen=True)
class Measure:
    """`of` gives an answer's number, None where it has none; a rate's numbers are 0 or 1. `series` is the chart that it
    is drawn in, beside the others of that name."""

    series: str
    name: str
    is_rate: bool
    of: Callable[[Answer], float | None]


def measures(answers: Sequence[Answer]) -> list[Measure]:
    """All that there is to follow in these answers, in a fixed order."""
    inputs = sorted({name for answer in answers for name in answer.inputs})
    targets = sorted({name for answer in answers for name in answer.targets})
    reasons = sorted({said.abstained for answer in answers for said in answer.targets.values() if said.abstained})
    return [
        *(Measure("Missing or not used, by input", name, True, _missing(name)) for name in inputs),
        *(Measure("Gate weight where used, by input", name, False, _weight(name)) for name in inputs),
        *(Measure("Share of the explanation, by input", name, False, _share(name)) for name in inputs),
        *(Measure("Share flagged of those answered, by target", name, True, _positive(name)) for name in targets),
        *(
            Measure("Abstained from a target, by reason", name.replace("_", " "), True, _silent(name))
            for name in reasons
        ),
        *(Measure(f"Probability of {name}", name, False, _probability(name)) for name in targets),
    ]


def _missing(name: str) -> Callable[[Answer], float | None]:
    return lambda answer: float(answer.inputs[name].status != "present") if name in answer.inputs else None


def _weight(name: str) -> Callable[[Answer], float | None]:
    def weight(answer: Answer) -> float | None:
        seen = answer.inputs.get(name)
        return seen.weight if seen is not None and seen.status == "present" else None

    return weight


def _share(name: str) -> Callable[[Answer], float | None]:
    return lambda answer: answer.inputs[name].share if name in answer.inputs else None


def _positive(name: str) -> Callable[[Answer], float | None]:
    def positive(answer: Answer) -> float | None:
        said = answer.targets.get(name)
        return None if said is None or said.decision is None else float(said.decision)

    return positive


def _silent(reason: str) -> Callable[[Answer], float | None]:
    return lambda answer: float(any(said.abstained == reason for said in answer.targets.values()))


def _probability(name: str) -> Callable[[Answer], float | None]:
    return lambda answer: answer.targets[name].probability if name in answer.targets else None

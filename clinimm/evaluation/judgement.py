"""All that was found about a model on one cohort: what the JSON record and the page are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypedDict, runtime_checkable

from clinimm.evaluation.answers import Answers
from clinimm.evaluation.compare import Comparison, compare, in_order
from clinimm.evaluation.contribution import Contribution, contributions
from clinimm.evaluation.corruption import Corrupted, Corruption, judge_corruption
from clinimm.evaluation.curves import Curves, curves
from clinimm.evaluation.delong import Tested, delong_tests
from clinimm.evaluation.evaluate import Evaluation, evaluate
from clinimm.evaluation.external import External
from clinimm.evaluation.faithfulness import Faithfulness, Measured
from clinimm.evaluation.opponents import Opinions
from clinimm.evaluation.probes.findings import Findings
from clinimm.evaluation.robustness import Robustness, robustness
from clinimm.evaluation.subgroups import Subgroups, judge_subgroups

SCHEMA = "clinimm.evaluation/1"


@runtime_checkable
class Recorded(Protocol):
    """What can say itself in plain JSON types."""

    def record(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Judgement:
    """`left_out` counts the cases of patients that a model had seen; `promised` is the share of cases whose truth the
    conformal sets should hold; `about` says what was judged. What was not asked for is empty: `comparisons`, `tests`
    and `probes` without opponents, `elsewhere` for a cohort that the model was trained on, and the rest in a short
    judgement; `explanations` also where the config asks for none."""

    evaluation: Evaluation
    comparisons: tuple[Comparison, ...]
    left_out: int
    promised: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    tests: tuple[Tested, ...] = ()
    subgroups: tuple[Subgroups, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    robustness: tuple[Robustness, ...] = ()
    curves: tuple[Curves, ...] = ()
    corruption: tuple[Corruption, ...] = ()
    probes: tuple[Findings, ...] = ()
    elsewhere: tuple[External, ...] = ()
    explanations: Faithfulness | None = None

    def record(self) -> dict[str, Any]:
        """Plain JSON types, ids of nobody."""
        told: dict[str, Sequence[Recorded]] = {
            "comparisons": self.comparisons,
            "delong": self.tests,
            "subgroups": self.subgroups,
            "contributions": self.contributions,
            "robustness": self.robustness,
            "curves": self.curves,
            "corruption": self.corruption,
            "probes": self.probes,
            "external": self.elsewhere,
        }
        return {
            "schema": SCHEMA,
            "about": dict(self.about),
            **self.evaluation.record(),
            "left_out": self.left_out,
            "promised_coverage": self.promised,
            **{name: [one.record() for one in parts] for name, parts in told.items()},
            "explanations": None if self.explanations is None else self.explanations.record(),
        }


class _Draws(TypedDict):
    bootstrap: int
    seed: int


def conclude(
    answers: Answers,
    opinions: Opinions | None = None,
    corrupted: tuple[Corrupted, ...] = (),
    probes: tuple[Findings, ...] = (),
    elsewhere: tuple[External, ...] = (),
    measured: Measured | None = None,
    *,
    whole: bool = True,
    left_out: int = 0,
    about: Mapping[str, Any] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Judgement:
    """What the answers, and the opponents' to the same cases, amount to. Without `whole` only every subset of inputs,
    and the opponents."""
    draws: _Draws = {"bootstrap": bootstrap, "seed": seed}
    theirs = in_order(answers, opinions) if opinions else None
    short = Judgement(
        evaluation=evaluate(answers, **draws),
        comparisons=compare(answers, opinions, **draws) if opinions else (),
        left_out=left_out,
        promised=answers.promised,
        about=about or {},
        tests=delong_tests(answers, {name: one.probabilities for name, one in theirs.of.items()}) if theirs else (),
        probes=probes,
        elsewhere=elsewhere,
    )
    if not whole:
        return short
    targets = answers.scores.target_names
    return replace(
        short,
        subgroups=judge_subgroups(answers, **draws),
        contributions=contributions(answers, **draws),
        robustness=robustness(answers, theirs.always() if theirs else None, **draws),
        curves=curves(answers, **draws),
        corruption=tuple(one for found in corrupted for one in judge_corruption(found, targets, **draws)),
        explanations=measured.faithfulness(resamples=bootstrap, seed=seed) if measured else None,
    )

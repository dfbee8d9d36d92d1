"""From logits to an answer, a warning, or a reason for giving none. k targets.

The first reason that applies is given, in the order in which a person would ask: may these inputs be joined at all, is
anything usable, did the model answer, do the inputs agree, are they of the kind it knows; then, for each target, can
its number be relied on. No torch: everything here is numbers and states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from clinimm.calibration import DEFAULT_THRESHOLD, Calibrator, Level
from clinimm.conflict import Disagreements
from clinimm.conformal import Conformal
from clinimm.errors import ArtifactError
from clinimm.scores import Scores, subset_name
from clinimm.types import Abstention, Disagreement, InputState, Kind, Outlier, Status, TargetPrediction

Logits = Float[np.ndarray, " k"]


@dataclass(frozen=True)
class Rules:
    """What flags and what abstains: see `config.decision.Decision`, which is where they are set."""

    conflict_flag: float
    conflict_abstain: float
    outlier_abstains: str
    outlier_percentile: float
    required: tuple[str, ...]
    abstain_uncalibrated: bool
    abstain_undecided: bool
    abstain_doubted: bool
    widest_interval: float | None


@dataclass(frozen=True)
class Uncertainty:
    """What the calibration cases tell beyond probabilities: sets of answers, and how far inputs may disagree."""

    conformal: Conformal
    disagreements: Disagreements

    @staticmethod
    def fit(scores: Scores, calibrator: Calibrator, *, alpha: float) -> "Uncertainty":
        """From the same cases as the calibrator, which the model was not trained on."""
        said = {subset: calibrator.apply(logits, scores.patterns(subset)) for subset, logits in scores.logits.items()}
        return Uncertainty(Conformal.fit(scores, said, alpha=alpha), Disagreements.fit(scores, said))

    def record(self) -> dict[str, Any]:
        """Both as plain JSON types."""
        return {"conformal": self.conformal.record(), "disagreements": self.disagreements.record()}

    @staticmethod
    def from_record(values: Any) -> "Uncertainty":
        """What `record` told, to the last bit. Raises ArtifactError."""
        if not isinstance(values, dict):
            raise ArtifactError("nothing is recorded of sets and disagreements", mend="train the model again")
        conformal = Conformal.from_record(values.get("conformal"))
        return Uncertainty(conformal, Disagreements.from_record(values.get("disagreements")))


@dataclass(frozen=True)
class Said:
    """What is known of one case: what became of its inputs, the model's logits, those of each used input alone where
    there are two or more, how odd inputs are, which of them the gate doubts, and whether a door holds the case."""

    inputs: Mapping[str, InputState]
    logits: Logits
    singles: Mapping[str, Logits] = field(default_factory=dict)
    outliers: Mapping[str, Outlier] = field(default_factory=dict)
    doubted: tuple[str, ...] = ()
    hold: Abstention | None = None

    @property
    def used(self) -> tuple[str, ...]:
        return tuple(name for name, state in self.inputs.items() if state.usable)


@dataclass(frozen=True)
class Decision:
    """`abstained` is why no target has an answer; a single target may have its own reason."""

    targets: tuple[TargetPrediction, ...]
    flags: tuple[str, ...]
    abstained: Abstention | None
    conflict: Disagreement | None


@dataclass(frozen=True)
class Decider:
    """One model's way from logits to answers; `kinds` says what each input is, `targets` are in the model's order."""

    targets: tuple[str, ...]
    kinds: Mapping[str, Kind]
    calibrator: Calibrator
    uncertainty: Uncertainty
    rules: Rules

    def decide(self, said: Said) -> Decision:
        conflict = self._conflict(said)
        reason = self._reason(said, conflict)
        flags = (*input_flags(said), *self._conflict_flags(conflict))
        if reason is not None:
            return Decision(tuple(self._silent(j, reason) for j in range(len(self.targets))), flags, reason, conflict)
        targets = self._answers(said.logits, subset_name(said.used))
        silent = {target.abstained for target in targets}
        flags += self._calibration_flags(subset_name(said.used)) + _set_flags(targets)
        return Decision(targets, flags, None if None in silent else Abstention.LOW_RELIABILITY, conflict)

    def _reason(self, said: Said, conflict: Disagreement | None) -> Abstention | None:
        if said.hold is not None:
            return said.hold
        lacking = [name for name in self.rules.required if name not in said.used]
        if not said.used or lacking:
            return self._unusable(said, lacking or list(said.inputs))
        if not np.isfinite(said.logits).all() or set(self.targets) - set(self.calibrator.targets):
            return Abstention.MODEL_UNAVAILABLE
        if conflict is not None and conflict.chance <= self.rules.conflict_abstain:
            return Abstention.MODALITY_DISAGREEMENT
        if self._odd(said):
            return Abstention.OOD
        all_doubted = self.rules.abstain_doubted and set(said.used) == set(said.doubted)
        return Abstention.LOW_RELIABILITY if all_doubted else None

    def _unusable(self, said: Said, names: Sequence[str]) -> Abstention:
        """The most telling of the reasons why these inputs cannot be used."""
        states = {name: said.inputs[name] for name in names}
        if any(self.kinds[name] is Kind.IMAGE and _seen_and_refused(state) for name, state in states.items()):
            return Abstention.IMAGE_REJECTED
        if any(said.outliers[name].verdict == "block" for name in names if name in said.outliers):
            return Abstention.OOD
        if any(state.reason == "implausible_lab" for state in states.values()):
            return Abstention.IMPLAUSIBLE_INPUT
        return Abstention.NO_USABLE_INPUT

    def _odd(self, said: Said) -> bool:
        known = [said.outliers.get(name) for name in said.used]
        odd = [o is not None and o.verdict != "ok" and o.percentile >= self.rules.outlier_percentile for o in known]
        match self.rules.outlier_abstains:
            case "all":
                return all(odd)
            case "any":
                return any(odd)
        return False

    def _conflict(self, said: Said) -> Disagreement | None:
        if len(said.singles) < 2 or not all(np.isfinite(logits).all() for logits in said.singles.values()):
            return None
        if set(self.targets) - set(self.calibrator.targets):
            return None
        alone = {name: self.calibrator.apply(logits[None], [name])[0] for name, logits in said.singles.items()}
        return self.uncertainty.disagreements.judge(alone)

    def _conflict_flags(self, conflict: Disagreement | None) -> tuple[str, ...]:
        if conflict is None or conflict.chance > self.rules.conflict_flag:
            return ()
        return (f"conflict:{'+'.join(conflict.inputs)}",)

    def _calibration_flags(self, pattern: str) -> tuple[str, ...]:
        """The worst level of the targets, if it is not one of cases with these inputs."""
        levels = {self.calibrator.level(name, pattern) for name in self.targets}
        return () if levels <= {Level.OWN, Level.PATTERN} else (f"calibration:{max(levels, key=list(Level).index)}",)

    def _answers(self, logits: Logits, pattern: str) -> tuple[TargetPrediction, ...]:
        probabilities = self.calibrator.apply(logits[None], [pattern])
        intervals = self.calibrator.interval(logits[None], [pattern])[0]
        sets = self.uncertainty.conformal.sets(probabilities, [pattern])[0]
        rows = zip(logits.tolist(), probabilities[0].tolist(), intervals.tolist(), sets.tolist(), strict=True)
        return tuple(self._answer(j, pattern, *row) for j, row in enumerate(rows))

    def _answer(
        self, j: int, pattern: str, logit: float, p: float, ends: list[float], holds: list[bool]
    ) -> TargetPrediction:
        name, interval = self.targets[j], None if np.isnan(ends).any() else (ends[0], ends[1])
        answers = tuple(answer for answer, held in zip((False, True), holds, strict=True) if held)
        if self._unreliable(name, pattern, interval, answers):
            return self._silent(j, Abstention.LOW_RELIABILITY)
        threshold, conformal = self._threshold(name), self.uncertainty.conformal
        return TargetPrediction(
            name, p, interval, threshold, p >= threshold, logit,
            conformal_set=answers, coverage=1 - conformal.alpha, conformal_level=conformal.limits(name, pattern).basis,
        )  # fmt: skip

    def _unreliable(
        self, target: str, pattern: str, interval: tuple[float, float] | None, answers: tuple[bool, ...]
    ) -> bool:
        rules, wide = self.rules, self.rules.widest_interval
        if rules.abstain_uncalibrated and self.calibrator.level(target, pattern) is Level.IDENTITY:
            return True
        if rules.abstain_undecided and len(answers) != 1:
            return True
        return wide is not None and (interval is None or interval[1] - interval[0] > wide)

    def _silent(self, j: int, reason: Abstention) -> TargetPrediction:
        return TargetPrediction(self.targets[j], None, None, self._threshold(self.targets[j]), None, None, reason)

    def _threshold(self, target: str) -> float:
        known = self.calibrator.targets.get(target)
        return DEFAULT_THRESHOLD if known is None else float(known.threshold.value)


def _seen_and_refused(state: InputState) -> bool:
    """Whether an input was refused for what it shows: a file that could not be looked at, or that came too late, has
    nothing measured but perhaps its age."""
    return state.status is Status.REJECTED and any(not name.startswith("age_") for name in state.quality)


def input_flags(said: Said) -> tuple[str, ...]:
    """`missing:labs`, `unreadable:cxr`, ... for what is not used, what was noticed in what is,
    `ood:note:unlike_training` for what is odd but used, and `doubted:note` for what the gate does not believe."""
    words = {Status.ABSENT: "missing"}
    unused = [f"{words.get(s.status, s.status.value)}:{name}" for name, s in said.inputs.items() if not s.usable]
    noticed = [flag for state in said.inputs.values() for flag in state.flags]
    flagged = {name: o for name, o in said.outliers.items() if o.verdict == "flag" and name in said.used}
    odd = [":".join(("ood", name, *outlier.reasons[:1])) for name, outlier in flagged.items()]
    return (*unused, *noticed, *odd, *(f"doubted:{name}" for name in said.doubted))


def _set_flags(targets: tuple[TargetPrediction, ...]) -> tuple[str, ...]:
    """An empty set says that either answer would be unusual: worth a word, while both or one are read off the set."""
    return tuple(f"unlike_either_answer:{target.target}" for target in targets if target.conformal_set == ())

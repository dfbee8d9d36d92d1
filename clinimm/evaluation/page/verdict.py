"""What a judgement says, in words: does fusion help, against whom, when inputs are missing, and who is served worse.

An answer is "yes" or "no" only where an interval leaves out zero; anything else is "not shown"."""

from collections.abc import Iterator
from dataclasses import dataclass

from clinimm.bootstrap import Estimate
from clinimm.evaluation.compare import Comparison
from clinimm.evaluation.contribution import COMPLETE, Contribution
from clinimm.evaluation.corruption import Corruption
from clinimm.evaluation.evaluate import TargetEvaluation
from clinimm.evaluation.external import External
from clinimm.evaluation.grid import figure, percent, signed_figure
from clinimm.evaluation.judgement import Judgement
from clinimm.evaluation.measure import COVERAGE, Row
from clinimm.evaluation.render import HEADINGS, label
from clinimm.evaluation.robustness import Robustness
from clinimm.evaluation.subgroups import FEWEST_CASES, Subgroups
from clinimm.scores import members

YES, NO, OPEN, NONE = "yes", "no", "not shown", ""
CALIBRATED = 0.05  # of calibration error
TOLERATED = 0.05  # of AUROC
NEAR = 0.05  # of coverage, below what was promised


@dataclass(frozen=True)
class Answer:
    """To one question: YES, NO, OPEN, or NONE where the sentences only tell; YES is always the good news."""

    question: str
    word: str
    sentences: tuple[str, ...]

    @property
    def line(self) -> str:
        """For a terminal."""
        return f"  {self.question} {self.word.upper()}{'. ' if self.word else ''}{' '.join(self.sentences)}"


def verdict(judgement: Judgement, target: str) -> tuple[Answer, ...]:
    """The answers for one target, the most asked first; none to what was not measured."""
    evaluation = next(one for one in judgement.evaluation.targets if one.target == target)
    if evaluation.whole.estimates["auroc"].value is None:
        return (Answer("Can it be judged?", NO, (f"{_counted(evaluation.whole)}: one class only, or nobody.",)),)
    found = [
        _helps(evaluation),
        *(_elsewhere(one) for one in judgement.elsewhere if one.target == target),
        *(_against(one, judgement) for one in judgement.comparisons if one.target == target),
        *(_robust(one) for one in judgement.robustness if one.target == target and one.gains),
        _missing(evaluation),
        *(_shares(one) for one in judgement.contributions if one.target == target and one.on == COMPLETE),
        _calibrated(evaluation),
        *_covered(evaluation, judgement),
        *(_fair(one) for one in judgement.subgroups if one.target == target and one.cells),
        *_spoilt([one for one in judgement.corruption if one.target == target]),
        *(Answer("Is there a shortcut?", NO, (one.leak,)) for one in judgement.comparisons
          if one.target == target and one.leak),
    ]  # fmt: skip
    return tuple(found)


def sign(estimate: Estimate) -> str:
    """YES above zero for sure, NO below for sure, else OPEN."""
    if not estimate.clear:
        return OPEN
    return YES if (estimate.value or 0.0) > 0 else NO


def _helps(target: TargetEvaluation) -> Answer:
    question = "Does fusion help over the best single input?"
    told = {name: row for name, row in target.singles.items() if row.estimates["auroc"].value is not None}
    first = f"With all inputs the AUROC is {figure(target.whole.estimates['auroc'])} on {_counted(target.whole)}."
    if len(target.modalities) < 2 or not told:
        return Answer("How good is it?", NONE, (first,))
    best = max(told, key=lambda name: told[name].estimates["auroc"].value or 0.0)
    gains = {gain.over: gain for gain in target.gains}
    gain = gains[best]
    words = {YES: "a clear gain", NO: "a clear loss", OPEN: "which chance could explain"}
    sentences = [
        first,
        f"On the {gain.cases} cases that have the best single input, {best} (alone "
        f"{figure(told[best].estimates['auroc'])}), all inputs change the AUROC by {signed_figure(gain.auroc)}: "
        f"{words[sign(gain.auroc)]}.",
    ]
    others = [f"{name} {signed_figure(gains[name].auroc)}" for name in told if name != best]
    if others:
        sentences.append(f"Over the other single inputs, where they are there: {'; '.join(others)}.")
    return Answer(question, sign(gain.auroc), tuple(sentences))


def _elsewhere(found: External) -> Answer:
    """It holds where a fall of more than TOLERATED is ruled out."""
    word = sign(found.change)
    if word != NO:
        word = YES if found.change.low is not None and found.change.low > -TOLERATED else OPEN
    return Answer("Does it hold elsewhere?", word, (found.verdict,))


def _against(comparison: Comparison, judgement: Judgement) -> Answer:
    question = "Is it better than the best simple opponent?"
    best = comparison.best
    if best is None:
        return Answer(question, OPEN, (comparison.verdict,))
    gain = next(gain for gain in comparison.gains if gain.over == best.name)
    sentences = [comparison.verdict]
    for one in judgement.tests:
        if one.target == comparison.target and one.over == best.name:
            many = one.films > 1.05
            caveat = f"; it takes {one.films:.1f} cases of a patient for independent and is too sure" if many else ""
            sentences.append(f"DeLong's test says p = {one.test.p:.3f}{caveat}.")
    if comparison.verdict_over_subsets:
        sentences.append(comparison.verdict_over_subsets)
    return Answer(question, sign(gain.auroc), tuple(sentences))


def _robust(robustness: Robustness) -> Answer:
    question = "Does it stay ahead as inputs are removed?"
    area, last = robustness.curves[0].area, robustness.rates[-1]
    first = (
        f"With up to {percent(last)} of the inputs removed at random, the mean AUROC along the curve is {figure(area)}."
    )
    clear = [gain for gain in robustness.gains if sign(gain.auroc) == NO]
    ahead = [gain for gain in robustness.gains if sign(gain.auroc) == YES]
    nearest = min(robustness.gains, key=lambda gain: gain.auroc.value or 0.0)
    told = f"It is clearly ahead of {len(ahead)} of {len(robustness.gains)} opponents."
    hardest = f"The hardest to beat is {nearest.over}: {signed_figure(nearest.auroc)}."
    behind = [gain.over for gain in robustness.beaten_by]
    worse = [f"Its area is smaller than that of {_listed(behind)}."] if behind else []
    word = NO if clear else YES if len(ahead) == len(robustness.gains) else OPEN
    return Answer(question, word, (first, told, hardest, *worse))


def _missing(target: TargetEvaluation) -> Answer:
    total = sum(row.cases for row in target.patterns)
    having = {name: sum(r.cases for r in target.patterns if name in members(r.name)) for name in target.modalities}
    complete = sum(row.cases for row in target.patterns if len(members(row.name)) == len(target.modalities))
    sentences = [f"Of {total} cases {complete} ({percent(complete / max(1, total))}) came with every input."]
    lacking = [f"{name} {percent(1 - count / max(1, total))}" for name, count in having.items() if count < total]
    if lacking:
        sentences.append(f"Missing: {', '.join(lacking)}.")
    rows = [r for r in target.patterns if r.cases >= FEWEST_CASES and r.estimates["auroc"].low is not None]
    if len(rows) > 1:
        worst = min(rows, key=lambda row: row.estimates["auroc"].value or 0.0)
        name = " + ".join(members(worst.name)) or "nothing"
        sentences.append(f"It does worst where cases came with {name}: {figure(worst.estimates['auroc'])}.")
    return Answer("What is missing?", NONE, tuple(sentences))


def _shares(contribution: Contribution) -> Answer:
    question = "Does every input earn its place?"
    where = f"By Shapley's shares of the AUROC on the {contribution.cases} cases that have every input"
    told = {name: one for name, one in contribution.shapley.items() if one.value is not None}
    if not told or any(one.low is None for one in told.values()):
        return Answer(question, OPEN, (f"{where}: too few to tell.",))
    shares = ", ".join(f"{name} {signed_figure(one)}" for name, one in told.items())
    idle = [name for name, one in told.items() if sign(one) != YES]
    harmful = [name for name, one in told.items() if sign(one) == NO]
    pairs = [
        f"{' and '.join(pair)} {signed_figure(one)}" for pair, one in contribution.interactions.items() if one.clear
    ]
    sentences = [f"{where}: {shares}."]
    if idle:
        sentences.append(f"Not shown to add anything: {', '.join(idle)}.")
    if pairs:
        sentences.append(f"Pairs that say clearly more (+) or less (-) together than apart: {'; '.join(pairs)}.")
    return Answer(question, NO if harmful else OPEN if idle else YES, tuple(sentences))


def _calibrated(target: TargetEvaluation) -> Answer:
    error = target.whole.estimates["ece"]
    word = OPEN if error.low is None or error.high is None else YES if error.high < CALIBRATED else OPEN
    if error.low is not None and error.low > CALIBRATED:
        word = NO
    told = [
        f"The calibration error is {figure(error)} ({CALIBRATED} or less is called good; with few cases both the error "
        "and its interval lean upward)."
    ]
    worst = max(
        (row for row in target.patterns if row.cases >= FEWEST_CASES and row.estimates["ece"].value is not None),
        key=lambda row: row.estimates["ece"].value or 0.0, default=None,
    )  # fmt: skip
    if worst is not None and len(target.patterns) > 1:
        told.append(f"It is largest where cases came with {label(worst.name, target.modalities)}: "
                    f"{figure(worst.estimates['ece'])}, {worst.cases} cases.")  # fmt: skip
    return Answer("Can its probabilities be believed?", word, tuple(told))


def _covered(target: TargetEvaluation, judgement: Judgement) -> Iterator[Answer]:
    """Whether conformal sets hold the truth as often as promised, with every pattern of inputs and in every group."""
    whole, promised = target.whole.estimates.get(COVERAGE), judgement.promised
    if whole is None or promised is None:
        return
    groups = [one for found in judgement.subgroups if found.target == target.target for one in found.cells]
    told = {label(row.name, target.modalities): row for row in target.patterns if row.cases >= FEWEST_CASES}
    told |= {f"{one.attribute} {one.row.name}": one.row for one in groups if one.subset == groups[-1].subset}
    held = {name: row.estimates[COVERAGE] for name, row in told.items() if COVERAGE in row.estimates}
    short = [f"{name} {figure(one)}" for name, one in held.items() if one.high is not None and one.high < promised]
    sentences = [f"Promised are {percent(promised)}; conformal sets hold the truth in {figure(whole)} of all cases."]
    if short:
        sentences.append(f"Clearly less often with: {'; '.join(short)}.")
    elif held:
        worst = min(held, key=lambda name: held[name].value or 0.0)
        sentences.append(
            f"No pattern of inputs and no subgroup falls clearly short; lowest: {worst} {figure(held[worst])}."
        )
    below = whole.high is not None and whole.high < promised
    word = NO if short or below else YES if whole.low is not None and whole.low > promised - NEAR else OPEN
    yield Answer("Do conformal sets keep their promise?", word, tuple(sentences))


def _fair(subgroups: Subgroups) -> Answer:
    question = "Is everybody served alike?"
    clear = [
        f"{HEADINGS[d.metric]} by {d.attribute}: {d.worst} is behind {d.best} by {figure(d.gap)}"
        for d in subgroups.disparities
        if d.gap.clear
    ]
    whole = subgroups.of(subgroups.cells[-1].subset)
    few = [f"{cell.attribute} {cell.row.name}" for cell in whole if cell.too_few]
    sentences = [f"Clear gaps: {'; '.join(clear)}."] if clear else []
    widest = max(
        (d for d in subgroups.disparities if d.metric == "auroc"), key=lambda d: d.gap.value or 0, default=None
    )
    if not clear and widest is not None:
        sentences.append(
            f"No gap between subgroups is clear; the widest in AUROC is {figure(widest.gap)}, {widest.worst} behind "
            f"{widest.best} ({widest.attribute}). That is no proof that there is none."
        )
    if few:
        sentences.append(f"Too few cases to say: {', '.join(few)}.")
    return Answer(question, NO if clear else OPEN, tuple(sentences or ["No subgroup is large enough to be compared."]))


def _spoilt(found: list[Corruption]) -> Iterator[Answer]:
    told = [one for one in found if one.falls.value is not None]
    if not told:
        return
    words = [sign(one.falls) for one in told]
    sentences = [
        f"{one.modality}, {one.how}: its gate weight goes from {one.weight[0].value:.2f} to "
        f"{one.weight[-1].value:.2f}, the AUROC from {figure(one.auroc[0])} to {figure(one.auroc[-1])}; without the "
        f"input it is {figure(one.without)}."
        for one in told
    ]
    word = NO if NO in words else YES if set(words) == {YES} else OPEN
    yield Answer("Does the gate turn from a spoilt input?", word, tuple(sentences))


def _counted(row: Row) -> str:
    return f"{row.cases} cases of {row.patients} patients, {row.positives} of them yes"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""A model's card: what it is for, what it saw, how good it is, where it must not be trusted. Markdown, made and never
written by hand. Source of the headings: Mitchell et al. 2019, Model Cards for Model Reporting."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinimm.calibration import Calibrator, Fit, Level, TargetCalibration
from clinimm.config import Config
from clinimm.evaluation.compare import Comparison
from clinimm.evaluation.evaluate import Evaluation, TargetEvaluation
from clinimm.evaluation.grid import UNKNOWN, Grid, figure
from clinimm.evaluation.render import comparison_grid, evaluation_grids, label
from clinimm.types import Status

NOT_FOR_DIAGNOSIS = (
    "**Not for diagnosis.** This is research software and no medical device. Its output is advice to a qualified "
    "person who sees the evidence, and never a reason to give or to withhold treatment."
)
FEW_POSITIVES = 100
MEANINGS = {
    Level.OWN: "cases that came with just these inputs, and with more",
    Level.PATTERN: "cases with these inputs and more",
    Level.COUNT: "cases with as many inputs",
    Level.POOLED: "all cases together",
    Level.SHIFT: "mean set to the prevalence only",
    Level.IDENTITY: "not calibrated",
}


def model_card(
    config: Config,
    evaluation: Evaluation,
    facts: Mapping[str, Any],
    calibrator: Calibrator | None = None,
    comparisons: Sequence[Comparison] = (),
    parts: Sequence[Mapping[str, float]] = (),
) -> str:
    """The card. `facts` holds, for each part of the cohort (train, val, test), its cases, its patients, and per input
    what became of it: {"train": {"cases": 9, "patients": 8, "inputs": {"cxr": {"present": 7, "absent": 2}}}}. With a
    backbone, "test" holds "pretraining": {"patients": 3, "labels": []}, what of it pretraining saw. `parts` tells for
    each target how much of its answer comes from where: see `Committee.parts`."""
    references = config.evaluation.references
    sections = {
        "Intended use": _intended_use(config),
        "Parts of the answer": _parts(config, parts) if parts else [],
        "Data": _data(facts),
        "Results": [_results_lead(evaluation), *(g.markdown() for g in evaluation_grids(evaluation, references))],
        "Opponents": [comparison_grid(comparison).markdown() for comparison in comparisons],
        "Calibration": _calibration(calibrator) if calibrator else [],
        "Limits": [_bullets(_limits(evaluation, facts, calibrator, comparisons))],
    }
    body = [f"## {title}\n\n" + "\n\n".join(parts) for title, parts in sections.items() if parts]
    return "\n\n".join([f"# {config.name}", NOT_FOR_DIAGNOSIS, *body]) + "\n"


def pretraining_overlap(facts: Mapping[str, Any]) -> str:
    """What must be said of test patients that the backbone's pretraining saw: empty if it saw none of them, or if there
    is no backbone. `facts` as in `model_card`."""
    test = facts.get("test", {})
    overlap = test.get("pretraining", {"patients": 0})
    if overlap["patients"] is None:
        return "It is not known whether test patients were in the backbone's pretraining: if so, figures flatter."
    if not overlap["patients"]:
        return ""
    labels = f"with labels of {', '.join(overlap['labels'])}" if overlap["labels"] else "without labels"
    counted = f"{overlap['patients']} of {test['patients']} test patients"
    return f"{counted} were in the backbone's pretraining, {labels}: figures on them flatter."


def _intended_use(config: Config) -> list[str]:
    inputs = [f"`{modality.name}` ({modality.kind})" for modality in config.modalities()]
    questions = ", ".join(f"`{name}`" for name in config.target_names)
    return [
        f"Answers, for one case at a time: {questions}. Looks at {', '.join(inputs)}; any of them may be missing. A "
        "case without a usable one gets no answer.",
        "Meant for research on retrospective data like that below. Not meant for other patients, other devices or "
        "other questions, for screening without a person in the loop, or where nobody checks its errors.",
    ]


def _parts(config: Config, parts: Sequence[Mapping[str, float]]) -> list[str]:
    rows = [
        (name, *(f"{share:.3f}" for share in one.values()))
        for name, one in zip(config.target_names, parts, strict=True)
    ]
    grid = Grid("Whose logits are added up, and with which weight", ("target", *parts[0]), tuple(rows))
    return [
        "`nets`: one per fold of the training patients, encoders and fusion trained without it. "
        "`readouts`: a line per input over what these encoders give, fitted on the fold. `trees`: on fixed "
        "features; where `narrow nets` on these clearly help, trees see their units too. The weights were set on "
        "patients held out; attributions are of the sum.",
        grid.markdown(),
    ]


def _data(facts: Mapping[str, Any]) -> list[str]:
    inputs = list(dict.fromkeys(name for part in facts.values() for name in part["inputs"]))
    rows = tuple(
        (name, str(part["cases"]), str(part["patients"]), *(_present(part, modality) for modality in inputs))
        for name, part in facts.items()
    )
    grid = Grid("Cases, and how many have each input", ("part", "cases", "patients", *inputs), rows)
    unused = [line for name, part in facts.items() for line in _reasons(name, part)]
    why = ["Why the others lack it:", _bullets(unused)] if unused else []
    return ["No patient is in two parts.", grid.markdown(), *why]


def _present(part: Mapping[str, Any], modality: str) -> str:
    count = part["inputs"].get(modality, {}).get(Status.PRESENT.value, 0)
    return f"{count} ({100 * count / max(1, part['cases']):.0f} %)"


def _reasons(name: str, part: Mapping[str, Any]) -> list[str]:
    lacking = {
        modality: {reason: n for reason, n in states.items() if reason != Status.PRESENT.value}
        for modality, states in part["inputs"].items()
    }
    return [
        f"{name}, {modality}: " + ", ".join(f"{reason} {n}" for reason, n in reasons.items())
        for modality, reasons in lacking.items()
        if reasons
    ]


def _results_lead(evaluation: Evaluation) -> str:
    return (
        f"{evaluation.cases} test cases of {evaluation.patients} patients. Intervals are 95 %, by "
        f"{evaluation.bootstrap} draws of whole patients (seed {evaluation.seed}). Calibration error (ECE) over 10 "
        "bins of equal counts; with few cases it leans upward, and its interval with it."
    )


def _calibration(calibrator: Calibrator) -> list[str]:
    return [
        part for name, target in calibrator.targets.items() for part in (_fits(name, target), _threshold(name, target))
    ]


def _fits(name: str, target: TargetCalibration) -> str:
    fits = {"any other": target.pooled, **target.patterns}
    rows = tuple(_fit_cells(pattern, fit) for pattern, fit in fits.items())
    columns = ("inputs", "fit on", "cases", "yes", "slope", "offset")
    return Grid(f"{name}: from logit to probability, on validation", columns, rows).markdown()


def _fit_cells(pattern: str, fit: Fit) -> tuple[str, ...]:
    line = (f"{fit.slope:.3f}", f"{fit.offset:+.3f}")
    return (pattern, MEANINGS[fit.level], str(fit.cases), str(fit.positives), *line)


def _threshold(name: str, target: TargetCalibration) -> str:
    threshold = target.threshold
    if threshold.sensitivity is None:
        return f"`{name}` is flagged from 0.5 up: validation had no positive to set a threshold by."
    specificity = UNKNOWN if threshold.specificity is None else f"{threshold.specificity:.3f}"
    return (
        f"`{name}` is flagged from {threshold.value:.3f} up: on validation that reached a sensitivity of "
        f"{threshold.sensitivity:.3f} at a specificity of {specificity}."
    )


def _limits(
    evaluation: Evaluation, facts: Mapping[str, Any], calibrator: Calibrator | None, comparisons: Sequence[Comparison]
) -> list[str]:
    overlap = pretraining_overlap(facts)
    return [
        *([overlap] if overlap else []),
        "Test cases come from the same source as the training cases: elsewhere it may do worse, and nothing here says "
        "by how much. Test it on your own cases first.",
        "No subgroup (sex, age, site, device) was judged apart here: `clinimm evaluate RUN MANIFEST --out DIR` does.",
        *(line for target in evaluation.targets for line in _limits_of(target)),
        *(_uncalibrated(name, target) for name, target in (calibrator.targets if calibrator else {}).items()),
        *(comparison.leak for comparison in comparisons if comparison.leak),
    ]


def _limits_of(target: TargetEvaluation) -> list[str]:
    whole = target.whole
    lines = []
    if whole.positives < FEW_POSITIVES or whole.cases - whole.positives < FEW_POSITIVES:
        lines.append(
            f"`{target.target}`: only {whole.positives} positives among {whole.cases} test cases, so every figure is "
            f"uncertain: AUROC {figure(whole.estimates['auroc'])}."
        )
    unclear = [label(gain.over, target.modalities) for gain in target.gains if not gain.clear]
    if unclear:
        lines.append(f"`{target.target}`: all inputs together are not clearly better than {', '.join(unclear)}.")
    return lines


def _uncalibrated(name: str, target: TargetCalibration) -> str:
    own = ", ".join(target.patterns) or "none"
    return (
        f"`{name}`: patterns with a calibration of their own: {own}. Any other is calibrated on "
        f"{MEANINGS[target.pooled.level]}, and its answers carry the flag `calibration:{target.pooled.level}`."
    )


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)

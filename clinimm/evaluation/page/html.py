"""The page: verdict first, then pictures and tables, section by section; only of what was measured."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clinimm.config import Reference
from clinimm.evaluation.evaluate import TargetEvaluation
from clinimm.evaluation.external import external_grid
from clinimm.evaluation.grid import Grid
from clinimm.evaluation.judgement import Judgement
from clinimm.evaluation.page import plots, tables
from clinimm.evaluation.page.plots import Picture
from clinimm.evaluation.page.verdict import Answer, verdict
from clinimm.evaluation.render import explanations_grid

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """A heading, a sentence on what it is, and what was measured; small pictures stand in pairs."""

    title: str
    lead: str
    pictures: tuple[Picture, ...]
    grids: tuple[Grid, ...]
    paired: bool = False


@dataclass(frozen=True)
class Chapter:
    """All about one target, or about the explanations of all of them."""

    title: str
    answers: tuple[Answer, ...]
    sections: tuple[Section, ...]


def page(judgement: Judgement, references: Sequence[Reference] = ()) -> str:
    """The whole page as HTML. It holds no script and asks for nothing; every name in it is escaped. `references` are
    figures of others, quoted beside the first target's."""
    style = (_TEMPLATES / "evaluation.css").read_text(encoding="utf-8")
    chapters = [
        _chapter(judgement, target, references if place == 0 else ())
        for place, target in enumerate(judgement.evaluation.targets)
    ]
    if judgement.explanations is not None and judgement.explanations.numbers:
        lead = "Whether a map tells what the answer hangs on, and hangs on what the model has learned."
        section = Section("Faithfulness", lead, (), (explanations_grid(judgement.explanations),))
        chapters.append(Chapter("Explanations", (), (section,)))
    template = _ENVIRONMENT.get_template("evaluation.html")
    return template.render(judgement=judgement, chapters=chapters, style=style, policy=_policy(style))


def _chapter(judgement: Judgement, target: TargetEvaluation, references: Sequence[Reference]) -> Chapter:
    sections = [
        _inputs(judgement, target, references),
        _opponents(judgement, target),
        _robustness(judgement, target),
        _contributions(judgement, target),
        _calibration(judgement, target),
        _subgroups(judgement, target),
        _corruption(judgement, target),
        _probes(judgement, target),
    ]
    kept = tuple(section for section in sections if section.grids or section.pictures)
    return Chapter(target.target, verdict(judgement, target.target), kept)


def _inputs(judgement: Judgement, target: TargetEvaluation, references: Sequence[Reference]) -> Section:
    lead = "Each subset of inputs on the cases that have at least one of them, all else hidden."
    pictures = [
        plots.roc_picture(one, target.modalities)
        for one in judgement.curves
        if one.target == target.target and one.rocs
    ]
    grids = tables.input_tables(target, references)
    told = [one for one in judgement.elsewhere if one.target == target.target]
    return Section("Subsets of inputs", lead, tuple(pictures), (*([external_grid(told)] if told else ()), *grids), True)


def _opponents(judgement: Judgement, target: TargetEvaluation) -> Section:
    lead = "Simple learners, trained on the same patients and asked about the same unseen cases."
    return Section("Against simple opponents", lead, (), tuple(tables.opponent_tables(judgement, target.target)))


def _robustness(judgement: Judgement, target: TargetEvaluation) -> Section:
    found = [one for one in judgement.robustness if one.target == target.target]
    table = tables.robustness_table(target.target, found)
    pictures = tuple(plots.robustness_picture(one) for one in found if one.curves[0].area.value is not None)
    lead = "What is left of the answer when inputs are taken away at random."
    return Section("Inputs removed", lead, pictures, (table,) if table else ())


def _contributions(judgement: Judgement, target: TargetEvaluation) -> Section:
    found = [one for one in judgement.contributions if one.target == target.target]
    shown = [one for one in found if one.whole.value is not None]
    table = tables.contribution_table(target.target, found)
    pictures = (plots.contribution_picture(shown),) if shown else ()
    return Section(
        "What each input adds", "The credit for the AUROC, shared fairly.", pictures, (table,) if table else ()
    )


def _calibration(judgement: Judgement, target: TargetEvaluation) -> Section:
    found = [one for one in judgement.curves if one.target == target.target and one.reliabilities]
    pictures = [plots.reliability_picture(one, target.modalities) for one in found]
    pictures += [risk for one in found if (risk := plots.risk_picture(one)) is not None]
    lead = "Whether a probability of 70 % comes true in seven of ten cases, and whether being sure means being right."
    grids = tuple(tables.selection_tables(target.target, found))
    return Section("Calibration and selective answers", lead, tuple(pictures), grids, True)


def _subgroups(judgement: Judgement, target: TargetEvaluation) -> Section:
    found = [one for one in judgement.subgroups if one.target == target.target and one.cells]
    pictures = tuple(
        plots.subgroup_picture(one) for one in found if any("auroc" in cell.row.estimates for cell in one.cells)
    )
    grids = tuple(tables.subgroup_tables(target.target, found, target.modalities))
    return Section("Subgroups", "Who is served how well: attributes that the model never sees.", pictures, grids)


def _corruption(judgement: Judgement, target: TargetEvaluation) -> Section:
    found = [one for one in judgement.corruption if one.target == target.target]
    shown = [one for one in found if one.weight[0].value is not None]
    lead = (
        "Gate weight against corruption: as an input gets worse, its weight should fall, and the answer go to the one "
    )
    lead += "that the other inputs give alone."
    pictures = (plots.corruption_picture(shown),) if shown else ()
    return Section("Spoilt inputs", lead, pictures, tuple(tables.corruption_tables(target.target, found)))


def _probes(judgement: Judgement, target: TargetEvaluation) -> Section:
    lead = "What can be told without any medicine, and how the model answers when a shortcut is taken away."
    return Section("Shortcut probes", lead, (), tuple(tables.probe_tables(target.target, judgement.probes)))


def _policy(style: str) -> str:
    """What the page may load: its own style sheet and the pictures inside it. Injected markup stays inert."""
    fingerprint = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{fingerprint}'; base-uri 'none'; form-action 'none'"


def _split(cell: str) -> tuple[str, str]:
    """A figure and its interval apart, so that the interval can stand under it."""
    value, bracket, rest = cell.partition(" [")
    return (value, f"[{rest}") if bracket and rest.endswith("]") else (cell, "")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["split"] = _split

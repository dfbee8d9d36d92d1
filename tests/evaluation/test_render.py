import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from clinimm.bootstrap import Estimate
from clinimm.calibration import Calibrator
from clinimm.config import Reference, load
from clinimm.evaluation.card import NOT_FOR_DIAGNOSIS, model_card
from clinimm.evaluation.compare import OURS, compare
from clinimm.evaluation.evaluate import evaluate
from clinimm.evaluation.grid import Grid, figure, signed_figure
from clinimm.evaluation.opponents import ABSENCE, MEAN, Opinion, Opinions
from clinimm.evaluation.render import comparison_grid, evaluation_grids, label, subsets_grid
from clinimm.scores import Scores, subsets

NAMES = ("cxr", "note", "labs")
CONFIGS = Path(__file__).parents[2] / "configs"
FACTS = {
    part: {
        "cases": 300,
        "patients": 150,
        "inputs": {name: {"present": 200, "absent": 98, "blank_image": 2} for name in NAMES},
    }
    for part in ("train", "val", "test")
}


@pytest.fixture(scope="module")
def evaluation(answers):
    return evaluate(answers, bootstrap=50, seed=0)


@pytest.fixture(scope="module")
def calibrator(answers):
    return Calibrator.fit(answers.scores, sensitivity=0.9, bootstrap=20)


def opinions_of(answers):
    rng = np.random.default_rng(0)
    noisy = {s: np.clip(p + 0.1 * rng.normal(size=p.shape), 0, 1) for s, p in answers.probabilities.items()}
    said = {MEAN: noisy, ABSENCE: {s: rng.random(p.shape) for s, p in noisy.items()}}
    of = {name: Opinion(p, {s: q > 0.5 for s, q in p.items()}) for name, p in said.items()}
    return Opinions(answers.scores.case_ids, of, np.full((len(answers.scores), 1), 0.5))


def drawn(grid, width):
    console = Console(width=width, file=io.StringIO())
    console.print(grid.rich())
    return console.file.getvalue()


def test_all_inputs_come_first_then_each_alone_then_each_left_out(evaluation):
    grid = subsets_grid(evaluation.targets[0])
    names = [row[0] for row in grid.rows]
    assert names[:4] == ["all inputs", "cxr alone", "note alone", "labs alone"]
    assert names[4:] == ["without cxr", "without note", "without labs"]


def test_other_subsets_are_named_by_their_members():
    assert label("a+b", ("a", "b", "c", "d")) == "a + b"
    assert label("a", ("a", "b")) == "a alone"
    assert label("a", ("a",)) == "a alone"
    assert [label(name, NAMES) for name in subsets(NAMES)[-1:]] == ["all inputs"]


def test_references_are_quoted_after_the_first_target_with_their_source(evaluation):
    references = [
        Reference(name="a net", auroc=0.8, interval=(0.7, 0.9), source="somebody 2024"),
        Reference(name="a rule", auroc=0.6),
    ]
    subsets, quoted, *_ = evaluation_grids(evaluation, references, metrics=["auroc", "brier"])
    assert subsets.columns == ("inputs", "cases", "yes", "AUROC", "Brier")
    assert quoted.rows == (("a net", "0.800 [0.700, 0.900]", "somebody 2024"), ("a rule", "0.600", ""))
    assert len(evaluation_grids(evaluation)) == 3


def test_figures_say_when_they_are_not_known():
    assert figure(Estimate(0.8421, 0.78, 0.893, 10, 0)) == "0.842 [0.780, 0.893]"
    assert figure(Estimate(0.8421, None, None, 10, 0)) == "0.842"
    assert figure(Estimate(None, None, None, 10, 0)) == "n/a"
    assert signed_figure(Estimate(0.02, -0.01, 0.05, 10, 0)) == "+0.020 [-0.010, +0.050]"


def test_the_terminal_shows_every_number_whole_even_when_narrow(evaluation):
    grid = evaluation_grids(evaluation)[0]
    for width in (100, 200):
        text = " ".join(drawn(grid, width).split())
        for row in grid.rows:
            assert all(word in text for cell in row for word in cell.split())


def test_names_cannot_break_a_table():
    grid = Grid("t", ("a|b", "c"), (("x|y\nz", "[red]1[/red]"),))
    assert "| x\\|y z | [red]1[/red] |" in grid.markdown()
    assert "[red]1[/red]" in drawn(grid, 80)


def test_comparison_ends_with_who_wins(answers):
    grid = comparison_grid(compare(answers, opinions_of(answers), bootstrap=50)[0])
    assert [row[0] for row in grid.rows] == [OURS, MEAN, ABSENCE]
    assert grid.notes[-1].startswith(f"severe: the winner is {OURS}, ahead of {MEAN} by 0.")


def test_the_card_says_what_a_reader_must_know(answers, evaluation, calibrator):
    config = load(CONFIGS / "cxr_note_labs.toml")
    card = model_card(config, evaluation, FACTS, calibrator, compare(answers, opinions_of(answers), bootstrap=20))
    assert card.startswith("# cxr_note_labs\n\n" + NOT_FOR_DIAGNOSIS)
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    wanted = ["Intended use", "Data", "Results", "Opponents", "Calibration", "Limits"]
    assert headings == [f"## {title}" for title in wanted]
    assert "| train | 300 | 150 | 200 (67 %) | 200 (67 %) | 200 (67 %) |" in card
    assert "- train, cxr: absent 98, blank_image 2" in card
    assert figure(evaluation.targets[0].whole.estimates["auroc"]) in card
    unclear = next(line for line in card.splitlines() if "all inputs together are not clearly better than" in line)
    assert unclear.endswith("without note.")
    assert f"flagged from {calibrator.targets['severe'].threshold.value:.3f} up" in card


def test_the_card_tells_where_an_answer_comes_from(evaluation):
    config = load(CONFIGS / "cxr_note_labs.toml")
    parts = {"nets": 0.25, "readouts": 0.125, "trees": 0.625, "narrow nets": 0.0}
    card = model_card(config, evaluation, FACTS, parts=[parts])
    assert "| target | nets | readouts | trees | narrow nets |" in card
    assert "| severe | 0.250 | 0.125 | 0.625 | 0.000 |" in card


def test_a_card_without_opponents_or_positives_still_tells_the_truth(answers):
    s = answers.scores
    none = Scores(s.case_ids, s.patient_ids, s.target_names, s.modalities, s.targets * 0, s.present, s.logits)
    evaluation = evaluate(type(answers)(none, answers.probabilities, answers.flagged), bootstrap=20)
    calibrator = Calibrator.fit(none, sensitivity=0.9, bootstrap=5)
    card = model_card(load(CONFIGS / "cxr_note_labs.toml"), evaluation, FACTS, calibrator)
    assert "## Opponents" not in card
    assert "flagged from 0.5 up: validation had no positive" in card
    assert "only 0 positives" in card
    assert "`calibration:shift`" in card

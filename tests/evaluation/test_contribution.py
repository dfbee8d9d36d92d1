"""What each input adds, against worths that were worked out by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clinimm import metrics
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.contribution import COMPLETE, EVERYONE, contributions
from clinimm.scores import Scores, subsets


def told(columns, labels, present=None, names=("film", "labs")):
    """A model that answers each subset by the given probabilities."""
    n = len(labels)
    present = np.ones((n, len(names)), bool) if present is None else present
    probabilities = {subset: np.asarray(columns[subset], dtype=float)[:, None] for subset in subsets(names)}
    scores = Scores(
        tuple(f"c{i}" for i in range(n)), tuple(f"p{i}" for i in range(n)), ("sick",), names,
        np.asarray(labels, dtype=float)[:, None], present, probabilities,
    )  # fmt: skip
    return Answers(scores, probabilities, {subset: p >= 0.5 for subset, p in probabilities.items()})


def test_shares_by_hand():
    """AUROC 3/4 for the film, 1/2 for labs, 1 for both: (1/4 + 1/2) / 2 and (0 + 1/4) / 2, and a synergy of 1/4."""
    labels = [1, 1, 0, 0]
    found = contributions(
        told({"film": [0.9, 0.4, 0.6, 0.1], "labs": [0.5] * 4, "film+labs": [0.9, 0.8, 0.2, 0.1]}, labels),
        bootstrap=20,
    )[0]
    assert found.whole.value == 1
    assert {name: one.value for name, one in found.shapley.items()} == {"film": 0.375, "labs": 0.125}
    assert found.interactions["film", "labs"].value == pytest.approx(1 - 0.75 - 0.5 + 0.5)
    assert found.shapley["film"].low is None  # four patients bear no interval


def test_shares_sum_to_what_all_inputs_reach(answers):
    found = contributions(answers, bootstrap=50)
    assert [(one.target, one.on) for one in found] == [("severe", COMPLETE), ("severe", EVERYONE)]
    for one in found:
        assert sum(share.value for share in one.shapley.values()) == pytest.approx(one.whole.value - 0.5)


def test_the_input_that_tells_nothing_gets_nothing(answers):
    for one in contributions(answers, bootstrap=100):
        assert abs(one.shapley["note"].value) < 0.03
        assert one.shapley["labs"].value > one.shapley["cxr"].value > 0.03
        assert one.shapley["labs"].low > 0


def test_complete_cases_are_those_with_every_input_and_all_cases_are_all(answers):
    complete, everyone = contributions(answers, bootstrap=20)
    known = answers.scores.known("severe")
    assert complete.cases == (known & answers.scores.present.all(axis=1)).sum()
    assert everyone.cases == known.sum()
    rows = known & answers.scores.present.all(axis=1)
    expected = metrics.auroc(answers.labels("severe")[rows], answers.probabilities["cxr+note+labs"][rows, 0])
    assert complete.whole.value == pytest.approx(expected)


def test_a_cohort_without_a_complete_case_has_no_number_and_no_error(answers):
    present = answers.scores.present.copy()
    present[:, 1] = False
    blind = replace(answers, scores=replace(answers.scores, present=present))
    complete, everyone = contributions(blind, bootstrap=20)
    assert complete.whole.value is None
    assert all(one.value is None for one in complete.shapley.values())
    assert everyone.whole.value is not None
    json.dumps([complete.record(), everyone.record()], allow_nan=False)


def test_one_input_shares_with_none():
    assert contributions(told({"film": [0.9, 0.1]}, [1, 0], names=("film",)), bootstrap=20) == ()

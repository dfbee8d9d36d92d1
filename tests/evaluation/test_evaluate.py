import json
import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clinimm import metrics
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.evaluate import evaluate
from clinimm.evaluation.measure import METRICS
from clinimm.scores import Scores, subsets

NAMES = ("cxr", "note", "labs")


@pytest.fixture(scope="module")
def evaluation(answers):
    return evaluate(answers, bootstrap=200, seed=0).targets[0]


def test_every_subset_has_every_metric_with_its_interval(evaluation):
    assert [row.name for row in evaluation.subsets] == list(subsets(NAMES))
    for row in evaluation.subsets:
        assert tuple(row.estimates) == METRICS
        for name, estimate in row.estimates.items():
            assert estimate.low <= estimate.high
            if name != "ece":  # biased upward, and so is its interval
                assert estimate.low <= estimate.value <= estimate.high


def test_a_row_is_scikit_learn_on_the_cases_that_have_the_input(answers, evaluation):
    scores = answers.scores
    rows = scores.known("severe") & scores.present[:, 2]
    labels, p = scores.targets[rows, 0], answers.probabilities["labs"][rows, 0]
    row = evaluation.row("labs")
    assert row.cases == rows.sum()
    assert row.positives == labels.sum()
    assert row.patients == len({scores.patient_ids[i] for i in np.flatnonzero(rows)})
    assert row.estimates["auroc"].value == pytest.approx(roc_auc_score(labels, p))


def test_singles_and_left_out_come_from_the_same_table(evaluation):
    assert evaluation.singles["labs"] is evaluation.row("labs")
    assert evaluation.left_out["labs"] is evaluation.row("cxr+note")
    assert evaluation.whole is evaluation.row("cxr+note+labs")


def test_gains_tell_an_input_that_helps_from_one_that_does_not(evaluation):
    gains = {gain.over: gain for gain in evaluation.gains}
    assert set(gains) == set(subsets(NAMES)) - {"cxr+note+labs"}
    assert gains["note"].clear
    assert gains["note"].auroc.value > 0.2
    assert gains["cxr+note"].clear
    assert not gains["cxr+labs"].clear
    assert abs(gains["cxr+labs"].auroc.value) < 0.03


def test_patterns_split_the_cases_as_they_came(answers, evaluation):
    known = answers.scores.known("severe")
    assert sum(row.cases for row in evaluation.patterns) == known.sum()
    labs_only = next(row for row in evaluation.patterns if row.name == "labs")
    assert labs_only.cases == (known & (answers.scores.present == [False, False, True]).all(axis=1)).sum()


def test_folds_pool_by_probability_where_logits_share_no_scale(fold_answers):
    pooled = Answers.concat(fold_answers)
    rows = pooled.scores.known("severe")
    labels = pooled.scores.targets[rows, 0] > 0.5
    calibrated = metrics.auroc(labels, pooled.probabilities["cxr+note+labs"][rows, 0])
    raw = metrics.auroc(labels, pooled.scores.logits["cxr+note+labs"][rows, 0])
    assert calibrated > raw + 0.02
    row = evaluate(pooled, bootstrap=50, seed=0).targets[0].whole
    assert row.estimates["auroc"].value == pytest.approx(calibrated)
    assert row.estimates["sensitivity"].value == pytest.approx(0.9, abs=0.06)


def test_an_input_that_nobody_has_gives_no_number(answers):
    s = answers.scores
    present = s.present.copy()
    present[:, 2] = False
    blind = Scores(s.case_ids, s.patient_ids, s.target_names, s.modalities, s.targets, present, s.logits)
    target = evaluate(Answers(blind, answers.probabilities, answers.flagged), bootstrap=20, seed=0).targets[0]
    assert target.row("labs").cases == 0
    assert all(estimate.value is None for estimate in target.row("labs").estimates.values())


def test_the_record_is_json_and_the_same_for_the_same_seed(answers):
    first, again = (json.dumps(evaluate(answers, bootstrap=30, seed=4).record(), allow_nan=False) for _ in range(2))
    assert first == again
    assert json.loads(first)["targets"][0]["subsets"][0]["metrics"]["auroc"]["interval"]


def test_a_thousand_resamples_of_every_subset_take_seconds(answers):
    start = time.perf_counter()
    evaluate(answers, bootstrap=1000, seed=0)
    assert time.perf_counter() - start < 20

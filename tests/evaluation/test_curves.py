"""The points of curves, worked by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from clinimm.calibration import Calibrator
from clinimm.conformal import Conformal
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.curves import GRID, curves, reliability, roc, wilson


def ids(n):
    return [f"p{i}" for i in range(n)]


def test_roc_by_hand():
    """Scores 4 yes, 3 no, 2 yes, 1 no: half of the yes at no false alarm, all of them from half of the no on."""
    found = roc("all", np.array([True, False, True, False]), np.array([4.0, 3, 2, 1]), ids(4), bootstrap=10, seed=0)
    at = dict(zip(found.rates, found.sensitivity, strict=True))
    assert (at[0.0], at[0.5], at[1.0]) == (0.5, 1.0, 1.0)
    assert at[0.25] == 0.75  # straight between corners, as the area under it is
    assert found.low == ()  # four patients bear no band


def test_roc_is_scikit_learns_and_its_band_holds_it():
    rng = np.random.default_rng(0)
    labels = rng.random(300) < 0.4
    scores = np.round(labels + rng.normal(size=300), 1)
    found = roc("all", labels, scores, ids(300), bootstrap=200, seed=0)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    last = np.r_[np.diff(fpr) != 0, True]
    assert np.allclose(found.sensitivity, np.interp(GRID, fpr[last], tpr[last]))
    assert np.trapezoid(found.sensitivity, found.rates) == pytest.approx(roc_auc_score(labels, scores), abs=0.01)
    assert (np.array(found.low) <= found.sensitivity).all()
    assert (np.array(found.high) >= found.sensitivity).all()


def test_reliability_by_hand():
    labels = np.array([False] * 15 + [True] * 5 + [True] * 20)
    found = reliability("all", labels, np.repeat([0.2, 0.9], 20), ids(40)).bins
    assert [(b.cases, b.patients, round(b.said, 6), b.came) for b in found] == [(20, 20, 0.2, 0.25), (20, 20, 0.9, 1.0)]
    assert (found[0].low, found[0].high) == pytest.approx(wilson(0.25, 20))
    assert (found[1].low, found[1].high) == pytest.approx((20 / (20 + 1.959964**2), 1.0), abs=1e-6)


def test_equal_probabilities_share_a_bin_and_few_cases_make_few_bins():
    assert len(reliability("all", np.arange(100) % 2 == 0, np.full(100, 0.5), ids(100)).bins) == 1
    assert len(reliability("all", np.arange(35) % 2 == 0, np.arange(35) / 35, ids(35)).bins) == 3
    assert len(reliability("all", np.arange(5) % 2 == 0, np.arange(5) / 5, ids(5)).bins) == 1


def test_films_of_one_patient_count_once_in_an_interval():
    labels, p = np.arange(40) % 2 == 0, np.full(40, 0.5)
    alone = reliability("all", labels, p, ids(40)).bins[0]
    films = reliability("all", labels, p, [f"p{i // 4}" for i in range(40)]).bins[0]
    assert films.patients == 10
    assert films.high - films.low > 1.5 * (alone.high - alone.low)


def test_curves_have_all_inputs_first_then_each_alone_and_are_json(answers):
    found = curves(answers, bootstrap=20)[0]
    assert [one.name for one in found.rocs] == ["cxr+note+labs", "cxr", "note", "labs"]
    assert sum(part.cases for part in found.reliabilities[0].bins) == answers.scores.known("severe").sum()
    assert found.selection.risks[0.5].value < found.selection.risks[1.0].value
    json.dumps(found.record(), allow_nan=False)


def test_a_cohort_of_one_class_has_no_curve(answers):
    healthy = replace(answers, scores=replace(answers.scores, targets=np.zeros_like(answers.scores.targets)))
    found = curves(healthy, bootstrap=20)[0]
    assert (found.rocs, found.reliabilities, found.selection) == ((), (), None)


def test_answers_know_whom_their_sets_cover(answers):
    """Sets fit on these very cases cover about what they promise of them."""
    conformal = Conformal.fit(answers.scores, answers.probabilities, alpha=0.1)
    calibrator = Calibrator.fit(answers.scores, sensitivity=0.9, bootstrap=5)
    again = Answers.of(answers.scores, calibrator, conformal=conformal)
    rows = answers.scores.known("severe")
    assert again.covered["cxr+note+labs"][rows].mean() == pytest.approx(0.9, abs=0.06)
    assert set(again.covered) == set(again.probabilities)

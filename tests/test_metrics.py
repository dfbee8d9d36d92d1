import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as oracle

from clinimm import metrics

RANKING = [metrics.auroc, metrics.auprc]
PLAIN = [metrics.auroc, metrics.auprc, metrics.brier, metrics.log_loss, metrics.ece]
WEIGHTED = [
    metrics.weighted_auroc,
    metrics.weighted_auprc,
    metrics.weighted_brier,
    metrics.weighted_log_loss,
    metrics.weighted_ece,
]


@st.composite
def judged(draw):
    """Labels of both classes and probabilities with many ties."""
    n = draw(st.integers(4, 40))
    labels = np.array([True, False, *draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))])
    levels = draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))
    return labels, np.array(levels) / 20


quick = settings(max_examples=60, derandomize=True, deadline=None)


def test_auroc_by_hand():
    labels = np.array([True, True, False, False])
    assert metrics.auroc(labels, np.array([0.9, 0.4, 0.6, 0.1])) == 0.75
    assert metrics.auroc(labels, np.array([0.9, 0.5, 0.5, 0.1])) == 0.875
    assert metrics.auroc(labels, np.full(4, 0.3)) == 0.5


def test_auprc_by_hand():
    labels = np.array([True, False, True])
    assert metrics.auprc(labels, np.array([0.9, 0.8, 0.7])) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.auprc(labels, np.full(3, 0.3)) == pytest.approx(2 / 3)


def test_ece_by_hand():
    probabilities = np.repeat([0.2, 0.8], 50)
    labels = np.tile(np.arange(50) < 20, 2)
    assert metrics.ece(labels, probabilities) == pytest.approx((0.2 + 0.4) / 2)


def test_ece_is_zero_for_probabilities_that_come_true():
    probabilities = np.repeat(np.arange(10) / 10 + 0.05, 20)
    labels = np.concatenate([np.arange(20) < round(20 * p) for p in np.arange(10) / 10 + 0.05])
    assert metrics.ece(labels, probabilities) < 1e-12


def test_sensitivity_and_specificity_by_hand():
    labels = np.array([True, True, True, False, False])
    flagged = np.array([True, True, False, True, False])
    assert metrics.sensitivity(labels, flagged) == pytest.approx(2 / 3)
    assert metrics.specificity(labels, flagged) == 0.5


@quick
@given(judged())
def test_agrees_with_scikit_learn(case):
    labels, scores = case
    assert metrics.auroc(labels, scores) == pytest.approx(oracle.roc_auc_score(labels, scores))
    assert metrics.auprc(labels, scores) == pytest.approx(oracle.average_precision_score(labels, scores))
    assert metrics.brier(labels, scores) == pytest.approx(oracle.brier_score_loss(labels, scores))
    inner = np.clip(scores, 0.01, 0.99)
    assert metrics.log_loss(labels, inner) == pytest.approx(oracle.log_loss(labels, inner))
    assert metrics.sensitivity(labels, scores >= 0.5) == pytest.approx(oracle.recall_score(labels, scores >= 0.5))


@quick
@given(judged(), st.randoms(use_true_random=False))
def test_weighted_agrees_with_scikit_learn(case, random):
    labels, scores = case
    weights = np.array([[1 + random.randrange(4) for _ in labels]], dtype=float)
    expected = oracle.roc_auc_score(labels, scores, sample_weight=weights[0])
    assert metrics.weighted_auroc(labels, scores, weights)[0] == pytest.approx(expected)
    expected = oracle.average_precision_score(labels, scores, sample_weight=weights[0])
    assert metrics.weighted_auprc(labels, scores, weights)[0] == pytest.approx(expected)


@quick
@given(judged())
def test_ranking_ignores_monotone_maps(case):
    labels, scores = case
    for metric in RANKING:
        assert metric(labels, np.exp(3 * scores) - 7) == pytest.approx(metric(labels, scores))


@quick
@given(judged(), st.integers(0, 1000))
def test_order_of_cases_does_not_matter(case, seed):
    labels, scores = case
    order = np.random.default_rng(seed).permutation(len(labels))
    for metric in PLAIN:
        assert metric(labels[order], scores[order]) == pytest.approx(metric(labels, scores), abs=1e-12)


@quick
@given(judged(), st.integers(0, 1000))
def test_a_weight_is_a_repetition(case, seed):
    labels, scores = case
    counts = np.random.default_rng(seed).integers(0, 4, len(labels))
    counts[:2] += 1
    rows = np.repeat(np.arange(len(labels)), counts)
    for plain, weighted in zip(PLAIN, WEIGHTED, strict=True):
        together = weighted(labels, scores, np.stack([counts.astype(float), np.ones(len(labels))]))
        assert together[0] == pytest.approx(plain(labels[rows], scores[rows]), abs=1e-12)
        assert together[1] == pytest.approx(plain(labels, scores), abs=1e-12)


def test_ranking_is_undefined_with_one_class():
    for metric in RANKING:
        assert np.isnan(metric(np.ones(3, bool), np.arange(3.0)))
        assert np.isnan(metric(np.zeros(3, bool), np.arange(3.0)))
    assert np.isnan(metrics.sensitivity(np.zeros(3, bool), np.ones(3, bool)))
    assert np.isnan(metrics.specificity(np.ones(3, bool), np.ones(3, bool)))


def test_a_nan_score_never_becomes_a_number():
    labels, scores = np.array([True, False, True, False]), np.array([np.nan, 0.1, np.nan, 0.7])
    for metric in PLAIN:
        assert np.isnan(metric(labels, scores))


def test_no_cases_no_number():
    for metric in PLAIN:
        assert np.isnan(metric(np.zeros(0, bool), np.zeros(0)))


def test_delong_by_hand():
    """Two yes, two no. The first ranks 3 of 4 pairs right, with shares (1, 1/2) of the no under each yes and (1, 1/2)
    of the yes above each no; the second all: the gap is -1/4, its variance 1/8 / 2 + 1/8 / 2."""
    labels = np.array([True, True, False, False])
    found = metrics.delong(labels, np.array([0.9, 0.4, 0.6, 0.1]), np.array([0.9, 0.8, 0.2, 0.1]))
    assert (found.first, found.second, found.difference) == (0.75, 1.0, -0.25)
    deviation = np.sqrt(1 / 8)
    assert found.high - found.difference == pytest.approx(1.959964 * deviation, abs=1e-6)
    assert found.p == pytest.approx(2 * norm.sf(0.25 / deviation))


@given(judged(), st.integers(0, 9))
@quick
def test_delong_is_its_definition_over_all_pairs(judged, seed):
    labels, first = judged
    second = np.random.default_rng(seed).integers(0, 5, len(labels)).astype(float)
    found = metrics.delong(labels, first, second)
    if min(labels.sum(), (~labels).sum()) < 2:
        assert np.isnan(found.p)
        return
    gap = _wins(labels, first) - _wins(labels, second)
    variance = np.var(gap.mean(axis=1), ddof=1) / len(gap) + np.var(gap.mean(axis=0), ddof=1) / gap.shape[1]
    assert found.difference == pytest.approx(gap.mean())
    assert found.high - found.low == pytest.approx(2 * 1.959964 * np.sqrt(variance), abs=1e-6)
    assert found.first == pytest.approx(oracle.roc_auc_score(labels, first))


def test_delong_of_a_score_against_itself_finds_nothing():
    labels = np.arange(10) % 2 == 0
    found = metrics.delong(labels, np.arange(10.0), np.arange(10.0))
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def _wins(labels, scores):
    yes, no = scores[labels][:, None], scores[~labels][None]
    return (yes > no) + (yes == no) / 2

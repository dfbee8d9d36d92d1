from functools import partial

import numpy as np
import pytest

from clinimm import metrics
from clinimm.bootstrap import estimate, paired_bootstrap_difference, patient_bootstrap, patient_weights, resampled


def cohort(patients=60, films=3, seed=0):
    """Labels, scores and patient ids; films of one patient share label and most of the score."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.random(patients) < 0.4, films)
    scores = labels + np.repeat(rng.normal(size=patients), films) + 0.1 * rng.normal(size=patients * films)
    return labels, scores, [f"p{i // films}" for i in range(patients * films)]


def auroc_of(labels, scores):
    return partial(metrics.weighted_auroc, labels, scores)


def test_every_resample_draws_as_many_patients_as_there_are():
    _, _, patient_ids = cohort()
    weights = np.concatenate(list(patient_weights(patient_ids, resamples=50, seed=1)))
    assert weights.shape == (50, 180)
    assert (weights[:, ::3].sum(axis=1) == 60).all()
    assert (weights[:, ::3] == weights[:, 2::3]).all()


def test_same_seed_same_interval():
    labels, scores, patient_ids = cohort()
    first, again, other = (
        patient_bootstrap({"auroc": auroc_of(labels, scores)}, patient_ids, resamples=200, seed=seed)["auroc"]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert first.value == metrics.auroc(labels, scores)
    assert first.low < first.value < first.high


def test_drawing_patients_gives_wider_intervals_than_drawing_films():
    labels, scores, patient_ids = cohort()
    widths = [
        (e := patient_bootstrap({"auroc": auroc_of(labels, scores)}, ids, resamples=400, seed=0)["auroc"]).high - e.low
        for ids in (patient_ids, [f"film{i}" for i in range(len(patient_ids))])
    ]
    assert widths[0] > 1.3 * widths[1]


@pytest.mark.slow
def test_interval_covers_the_truth_about_as_often_as_it_says():
    truth, covered, rounds = 0.7592, 0, 300  # the normal distribution's value at 1 / sqrt(2.02)
    for seed in range(rounds):
        labels, scores, patient_ids = cohort(patients=80, films=2, seed=seed)
        estimate = patient_bootstrap({"a": auroc_of(labels, scores)}, patient_ids, resamples=200, seed=0)["a"]
        covered += estimate.low <= truth <= estimate.high
    assert 0.88 <= covered / rounds <= 0.99


def test_resamples_of_one_class_are_dropped_and_counted():
    labels = np.arange(6) == 0
    estimate = patient_bootstrap({"auroc": auroc_of(labels, np.arange(6.0))}, list("abcdef"), resamples=500, seed=0)[
        "auroc"
    ]
    assert 0.25 < estimate.dropped / estimate.resamples < 0.42
    assert (estimate.low, estimate.high) == (0, 0)


def test_no_interval_from_few_patients_and_no_number_from_one_class():
    labels, scores = np.array([True, False, True, False]), np.arange(4.0)
    few = patient_bootstrap({"auroc": auroc_of(labels, scores)}, list("aabb"), resamples=50, seed=0)["auroc"]
    assert (few.value, few.low, few.high) == (0.25, None, None)
    assert few.record() == {"value": 0.25, "interval": None, "dropped": few.dropped}
    undefined = patient_bootstrap({"auroc": auroc_of(labels | True, scores)}, list("abcd"), resamples=50, seed=0)
    assert undefined["auroc"].value is None
    nobody = patient_bootstrap({"auroc": auroc_of(labels[:0], scores[:0])}, [], resamples=50, seed=0)
    assert nobody["auroc"].value is None


def test_a_large_cohort_is_drawn_in_blocks_of_bounded_memory():
    blocks = list(patient_weights([f"p{i}" for i in range(300_000)], resamples=20, seed=3))
    assert [len(block) for block in blocks] == [13, 7]
    assert all((block.sum(axis=1) == 300_000).all() for block in blocks)


def test_paired_difference_is_narrower_than_the_parts_and_zero_against_itself():
    labels, scores, patient_ids = cohort()
    noisy = scores + 0.2 * np.random.default_rng(9).normal(size=len(scores))
    better, worse = auroc_of(labels, scores), auroc_of(labels, noisy)
    gain = paired_bootstrap_difference(better, worse, patient_ids, resamples=300, seed=0)
    alone = patient_bootstrap({"a": better}, patient_ids, resamples=300, seed=0)["a"]
    assert gain.high - gain.low < 0.5 * (alone.high - alone.low)
    same = paired_bootstrap_difference(better, better, patient_ids, resamples=300, seed=0)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_numbers_resampled_together_share_their_draws():
    labels, scores, patient_ids = cohort()

    def both(weights):
        auroc = metrics.weighted_auroc(labels, scores, weights)
        return np.stack([auroc, 1 - auroc], axis=1)

    values, draws = resampled(both, patient_ids, resamples=100, seed=3)
    assert draws.sum(axis=1) == pytest.approx(np.ones(100))
    alone = patient_bootstrap({"auroc": auroc_of(labels, scores)}, patient_ids, resamples=100, seed=3)["auroc"]
    assert estimate(values[0], draws[:, 0], 60) == alone
    assert estimate(values[0], draws[:, 0], 60, level=0.99).high > alone.high

"""Drift between cohorts: found where it was planted, and seldom where there is none."""

import json

import numpy as np
import pytest
from scipy.stats import binom, false_discovery_control, ks_2samp

from clinimm.evaluation.drift.apart import told_apart
from clinimm.evaluation.drift.shift import FALSE_RATE, drift
from clinimm.evaluation.drift.snapshot import Column, Snapshot
from clinimm.evaluation.drift.statistics import (
    Deal,
    false_discovery_rates,
    kolmogorov_smirnov,
    maximum_mean_discrepancy,
    rate_gap,
    stability_index,
)


def cohort(seed, n=120, columns=10, shift=0.0, gaps=0.2, space=0.0):
    """Two cases a patient, alike: some columns, one of them shifted, and an embedding."""
    rng = np.random.default_rng(seed)
    patients = tuple(f"s{seed}p{i // 2}" for i in range(n))
    values = np.repeat(rng.normal(size=(n // 2, columns)), 2, axis=0) + 0.3 * rng.normal(size=(n, columns))
    values[:, 0] += shift
    values[np.repeat(rng.random((n // 2, columns)) < 0.2, 2, axis=0)] = np.nan
    missing = np.repeat(rng.random(n // 2) < gaps, 2).astype(float)
    points = np.repeat(rng.normal(size=(n // 2, 4)), 2, axis=0) + space * np.eye(4)[0]
    points[missing > 0] = np.nan
    analytes = [Column("analyte", f"a{j}", values[:, j]) for j in range(columns)]
    return Snapshot(patients, (*analytes, Column("missing", "cxr", missing, is_rate=True)), {"cxr": points})


def test_no_drift_on_splits_of_one_cohort_at_the_stated_false_rate():
    alarms = 0
    for i in range(20):
        first, second = (cohort(seed, n=80, columns=6) for seed in (2 * i, 2 * i + 1))
        alarms += bool(drift(first, second, deals=299).drifted)
    assert alarms <= binom.ppf(0.999, 20, FALSE_RATE)


def test_dealing_cases_instead_of_patients_would_raise_false_alarms():
    """The promise above rests on dealing patients: cases of one patient are alike."""
    low = 0
    for seed in range(40):
        values = np.repeat(np.random.default_rng(seed).normal(size=20), 10)
        second = np.repeat(np.arange(20) % 2 == 0, 10)
        p = {}
        for name, patients in (("patients", np.repeat(np.arange(20), 10)), ("cases", np.arange(200))):
            deal = Deal(patients.astype(str), second, 199, 0)
            p[name] = deal.p_value(kolmogorov_smirnov(values), np.ones(200, bool))[1]
        low += p["cases"] < 0.05
        assert p["patients"] >= p["cases"] - 0.02
    assert low > 20


@pytest.mark.parametrize(
    ("planted", "found"),
    [({"shift": 1.5}, "analyte"), ({"gaps": 0.6}, "missing"), ({"space": 1.5}, "embedding")],
)
def test_planted_drift_is_found_and_named(planted, found):
    result = drift(cohort(1), cohort(2, **planted), deals=499)
    assert {shift.group for shift in result.drifted} == {found}
    assert found in result.verdict
    one = result.drifted[0]
    assert one.name in ("a0", "cxr")
    assert one.size > {"analyte": 0.25, "missing": 0.2, "embedding": 0.7}[found]
    assert json.loads(json.dumps(result.record()))["verdict"] == result.verdict
    assert sum(row[-1] == "drift" for row in result.grid().rows) == len(result.drifted)


def test_what_too_few_patients_have_is_not_judged():
    bare = cohort(2)
    bare.columns[3].values[8:] = np.nan
    shift = drift(cohort(1), bare, deals=99).shifts[3]
    assert shift.p is None
    assert shift.q is None
    assert not shift.drifted


def test_statistics_agree_with_scipy():
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=80), 1)
    second = rng.random(80) < 0.4
    distance = kolmogorov_smirnov(values)(second[None])[0]
    assert distance == pytest.approx(ks_2samp(values[second], values[~second]).statistic)
    assert rate_gap(values)(second[None])[0] == pytest.approx(abs(values[second].mean() - values[~second].mean()))
    p = rng.random(20) ** 2
    np.testing.assert_allclose(false_discovery_rates(p.tolist()), false_discovery_control(p))


def test_discrepancy_by_hand():
    points = np.array([[0.0], [0.0], [1.0], [1.0]])
    same, apart = np.array([[True, False, True, False]]), np.array([[False, False, True, True]])
    assert maximum_mean_discrepancy(points)(same)[0] == pytest.approx(0.0)
    assert maximum_mean_discrepancy(points)(apart)[0] == pytest.approx(2 - 2 * np.exp(-1.0))


def test_stability_index_is_zero_for_the_same_and_grows():
    rng = np.random.default_rng(0)
    first = rng.normal(size=5000)
    sizes = [stability_index(first, rng.normal(size=5000) + shift) for shift in (0.0, 0.3, 1.0)]
    assert sizes[0] < 0.01 < sizes[1] < 0.25 < sizes[2]
    halves = stability_index(np.array([0.0, 1.0] * 50), np.array([0.0] * 25 + [1.0] * 75))
    assert halves == pytest.approx(0.25 * np.log(3), rel=0.05)


def test_cohorts_are_told_apart_by_new_patients_only():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(30), 4).astype(str)
    second = np.repeat(np.arange(30) % 2 == 0, 4)
    points = np.repeat(rng.normal(size=(30, 16)), 4, axis=0)  # a face for each patient, and nothing of the cohort
    assert abs(told_apart(points, second, patients) - 0.5) < 0.25
    assert told_apart(points + 3.0 * second[:, None], second, patients) > 0.95

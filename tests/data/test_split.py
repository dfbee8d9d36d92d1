"""Splits go by patient: disjoint, complete, seeded, and blind to the order of the cases."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.data.split import Splits, folds, patient_folds, split_by_patient
from clinimm.errors import ConfigError
from clinimm.types import Case

COHORTS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([True, False, None])), min_size=80, max_size=160
).filter(lambda drawn: len({patient for patient, _ in drawn}) >= 30)
QUICK = settings(derandomize=True, deadline=None, max_examples=40)


def cohort(drawn) -> list[Case]:
    return [
        Case(f"c{n}", f"p{patient}", targets={"severe": answer}, attributes={"fold": str(patient % 4)})
        for n, (patient, answer) in enumerate(drawn)
    ]


def patients(cases) -> set[str]:
    return {case.patient_id for case in cases}


def assert_partition(splits: Splits, cases: list[Case]) -> None:
    parts = (splits.train, splits.val, splits.test)
    assert all(parts)
    assert sum(len(part) for part in parts) == len(cases)
    assert {case.case_id for part in parts for case in part} == {case.case_id for case in cases}
    assert sum(len(patients(part)) for part in parts) == len(patients(cases))


@pytest.mark.slow
@QUICK
@given(COHORTS, st.integers(0, 5))
def test_a_split_is_disjoint_complete_and_blind_to_order(drawn, seed):
    cases = cohort(drawn)
    splits = split_by_patient(cases, val=0.15, test=0.2, seed=seed)
    assert_partition(splits, cases)
    shuffled = random.Random(seed).sample(cases, len(cases))
    again = split_by_patient(shuffled, val=0.15, test=0.2, seed=seed)
    assert [patients(part) for part in (again.train, again.val, again.test)] == [
        patients(part) for part in (splits.train, splits.val, splits.test)
    ]


@QUICK
@given(COHORTS, st.integers(2, 5))
def test_folds_are_disjoint_and_test_every_case_once(drawn, n):
    cases = cohort(drawn)
    runs = folds(cases, val=0.2, n=n)
    assert len(runs) == n
    for run in runs:
        assert_partition(run, cases)
    assert sorted(case.case_id for run in runs for case in run.test) == sorted(case.case_id for case in cases)


def test_shares_and_rates_hold():
    cases = cohort([(patient, patient % 3 == 0) for patient in range(300)])
    splits = split_by_patient(cases, val=0.15, test=0.2)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (195, 45, 60)
    for part in (splits.train, splits.val, splits.test):
        rate = sum(case.targets["severe"] is True for case in part) / len(part)
        assert rate == pytest.approx(1 / 3, abs=0.02)


def test_another_seed_is_another_split():
    cases = cohort([(patient, None) for patient in range(50)])
    first, second = (split_by_patient(cases, val=0.2, test=0.2, seed=seed).test for seed in (0, 1))
    assert patients(first) != patients(second)


def test_a_column_decides_where_there_is_one():
    cases = [
        Case(f"c{n}", f"p{n}", attributes={"split": part}) for n, part in enumerate(["test", "train", "val", "train"])
    ]
    splits = split_by_patient(cases, val=0.5, test=0.4, column="split")
    assert [case.case_id for case in splits.train] == ["c1", "c3"]
    assert [case.case_id for case in splits.test] == ["c0"]


def test_a_fold_column_makes_its_folds_in_order():
    cases = cohort([(patient, patient % 2 == 0) for patient in range(40)])
    runs = folds(cases, val=0.2, column="fold")
    assert [{case.attributes["fold"] for case in run.test} for run in runs] == [{"0"}, {"1"}, {"2"}, {"3"}]


def test_fold_ten_comes_after_fold_two():
    cases = [Case(f"c{n}", f"p{n}", attributes={"fold": str(n % 11)}) for n in range(44)]
    assert [run.test[0].attributes["fold"] for run in folds(cases, val=0.2, column="fold")][2] == "2"


@pytest.mark.parametrize(
    "attributes",
    [({"split": "train"}, {"split": "test"}), ({"split": "train"}, {}), ({"split": ""}, {"split": "train"})],
)
def test_a_patient_in_two_parts_or_in_none_is_refused(attributes):
    cases = [Case(f"c{n}", "p1", attributes=given) for n, given in enumerate(attributes)]
    with pytest.raises(ConfigError, match="column split"):
        split_by_patient(cases, val=0.2, test=0.2, column="split")


def test_an_empty_part_is_refused():
    with pytest.raises(ConfigError, match="no patient is left for"):
        split_by_patient([Case("c1", "p1"), Case("c2", "p1")], val=0.2, test=0.2)


@pytest.mark.parametrize("n", [None, 0, 1])
def test_folds_need_a_column_or_a_number(n):
    with pytest.raises(ConfigError, match="folds need"):
        folds([Case("c1", "p1")], val=0.2, n=n)


def test_patient_folds_are_alike_in_size():
    cases = cohort([(patient, patient % 5 == 0) for patient in range(52)])
    fold_of = patient_folds(cases, 5)
    sizes = [list(fold_of.values()).count(str(fold)) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 1

"""Which absent input to get next, by the model's own completion."""

from dataclasses import replace
from pathlib import Path

import pytest

from clinimm.config import Config
from clinimm.data.cohort import read_cohort
from clinimm.inference import Predictor
from clinimm.types import Case


@pytest.fixture(scope="module")
def predictor(tiny_artifact: Path) -> Predictor:
    return Predictor.load(tiny_artifact)


@pytest.fixture(scope="module")
def complete(tiny_cohort: Path, tiny_config: Config) -> Case:
    return next(case for case in read_cohort(tiny_config, tiny_cohort) if len(case.inputs) == 3)


def showing(case: Case, *names: str) -> Case:
    return replace(case, inputs={name: case.inputs[name] for name in names}, absent={})


def test_every_absent_input_is_ranked_by_what_it_may_change(predictor: Predictor, complete: Case) -> None:
    said = predictor.predict([showing(complete, "note")])[0]
    assert {one.name for one in said.next_inputs} == {"cxr", "labs"}
    changes = [max(one.expected_change.values()) for one in said.next_inputs]
    assert changes == sorted(changes, reverse=True)
    assert all(0 < value < 1 for value in changes)
    for one in said.next_inputs:
        assert set(one.expected_change) == {target.target for target in said.targets}
        assert all(0 <= chance <= 1 for chance in one.flip_chance.values())


def test_a_complete_case_and_one_with_nothing_want_no_input(predictor: Predictor, complete: Case) -> None:
    assert predictor.predict([complete])[0].next_inputs == ()
    assert predictor.predict([showing(complete)])[0].next_inputs == ()


def test_the_same_case_gets_the_same_ranking(predictor: Predictor, complete: Case) -> None:
    first, second = (predictor.predict([showing(complete, "labs")])[0].next_inputs for _ in range(2))
    assert first == second

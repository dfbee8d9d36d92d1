"""Disagreement of inputs is flagged as rarely as promised, finds swapped ones, and comes back from disk the same."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from clinimm.calibration import Calibrator
from clinimm.conflict import Disagreements, Tail, conflict, opinions
from clinimm.errors import ArtifactError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import planted_scores
from planted_scores import INPUTS, World
from swapped_inputs import chances, singles, swapped


@pytest.fixture(scope="module")
def world() -> World:
    return World("mcar", rate=0.3)


@pytest.fixture(scope="module")
def fits(world: World) -> tuple[Calibrator, Disagreements]:
    scores = world.draw(1200, 0)
    calibrator = Calibrator.fit(scores, sensitivity=0.9, bootstrap=1)
    return calibrator, Disagreements.fit(scores, singles(calibrator, scores))


def test_conflict_by_hand() -> None:
    yes, no, unsure = (opinions(np.array([p])) for p in (0.999, 0.001, 0.5))
    assert conflict(yes, no)[0] > 0.5 > conflict(yes, yes)[0]
    assert conflict(yes, unsure)[0] < conflict(yes, no)[0] / 2
    assert opinions(np.array([0.5]))[0] == pytest.approx(np.log(2) / (2 * np.log(2) + 2))
    assert conflict(yes, no)[0] == conflict(no, yes)[0]


def test_a_vacuous_opinion_conflicts_with_nothing() -> None:
    assert conflict(opinions(np.array([0.01, 0.99])), np.zeros((2, 2))).tolist() == [0, 0]


@pytest.mark.slow
def test_untouched_cases_are_flagged_as_rarely_as_promised_and_swapped_ones_far_more_often(
    world: World, fits: tuple[Calibrator, Disagreements], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted_scores, "SIGNAL", np.array([3.2, 2.4, 1.8]))
    train, test = world.draw(1200, 0), world.patients(2500, 1)
    calibrator = Calibrator.fit(train, sensitivity=0.9, bootstrap=1)
    judge = Disagreements.fit(train, singles(calibrator, train))
    clean = chances(judge, singles(calibrator, world.score(test)), test.present)
    other = world.score(swapped(test, np.random.default_rng(2)))
    wrong = chances(judge, singles(calibrator, other), test.present)
    assert (clean <= 0.02).mean() == pytest.approx(0.02, abs=0.012)
    assert (wrong <= 0.02).mean() > 0.3


def test_the_pair_at_odds_is_named_and_one_input_cannot_disagree(fits: tuple[Calibrator, Disagreements]) -> None:
    said = {name: expit(np.array([odds])) for name, odds in zip(INPUTS, (4.0, -4.0, 3.5), strict=True)}
    found = fits[1].judge(said)
    assert found is not None
    assert "b" in found.inputs
    assert found.target == "ill"
    assert found.chance < 0.02
    assert fits[1].judge({"a": said["a"]}) is None
    calm = fits[1].judge({"a": said["a"], "c": said["c"]})
    assert calm is not None
    assert calm.chance > 0.1


def test_few_cases_can_not_call_anything_rare(world: World) -> None:
    scores = world.draw(30, 3)
    calibrator = Calibrator.fit(scores, sensitivity=0.9, bootstrap=1)
    judge = Disagreements.fit(scores, singles(calibrator, scores))
    found = judge.judge({"a": np.array([1.0]), "b": np.array([0.0])})
    assert found is None or found.chance > 0.02


def test_the_tail_counts_the_new_one_among_the_old() -> None:
    tail = Tail.of(np.array([3.0, 1.0, 2.0, 9.0]))
    assert tail.chance(np.array([0.5, 1.0, 2.5])).tolist() == [1 / 5, 2 / 5, 3 / 5]


def test_the_record_gives_it_back_to_the_last_bit_and_what_is_none_is_refused(
    fits: tuple[Calibrator, Disagreements],
) -> None:
    assert Disagreements.from_record(json.loads(json.dumps(fits[1].record()))) == fits[1]
    for values in (None, [], {}, {"pairs": {"ill": {"a+b": 3}}, "rarest": {}}):
        with pytest.raises(ArtifactError):
            Disagreements.from_record(values)

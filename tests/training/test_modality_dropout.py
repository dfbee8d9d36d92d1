"""What is hidden from the fusion: never all, never what is absent anyway, as often as the schedule says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.training.modality_dropout import Schedule, draw_kept
from clinimm.training.optim import rate_at

BOOLS = st.lists(st.lists(st.booleans(), min_size=3, max_size=3).filter(any), min_size=1, max_size=12)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(BOOLS, st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
def test_every_case_keeps_something_it_has(rows: list[list[bool]], p: float, observed: float, seed: int) -> None:
    present = torch.tensor(rows)
    kept = draw_kept(present, p, observed, present, torch.Generator().manual_seed(seed))
    assert kept.any(1).all()
    assert not (kept & ~present).any()


def test_no_probability_hides_nothing_and_certainty_hides_often() -> None:
    present = torch.ones(4000, 3, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    assert draw_kept(present, 0.0, 0.0, present, generator).all()
    whole = draw_kept(present, 1.0, 0.0, present, generator).all(1).float().mean()
    assert float(whole) == pytest.approx(1 / 7, abs=0.02)  # one of the seven non-empty subsets is the whole


def test_observed_patterns_are_drawn_as_often_as_they_occur() -> None:
    present = torch.ones(4000, 3, dtype=torch.bool)
    patterns = torch.tensor([[True, False, False], [True, True, True], [True, True, True], [True, True, True]])
    kept = draw_kept(present, 1.0, 1.0, patterns, torch.Generator().manual_seed(0))
    assert float((kept.sum(1) == 1).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_the_schedule_is_quiet_then_rises_then_stays() -> None:
    schedule = Schedule(p=0.6, quiet=0.1, ramp=0.5)
    assert [schedule.at(x) for x in (0.0, 0.09, 0.5, 1.0)] == [0.0, 0.0, 0.6, 0.6]
    assert schedule.at(0.3) == pytest.approx(0.3)


def test_the_learning_rate_rises_and_falls_to_a_hundredth() -> None:
    rates = [rate_at(step, 100, 1e-3, 0.1) for step in range(100)]
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 2e-5

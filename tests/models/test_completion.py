"""What is missing, from what is known: a joint Gaussian fitted on incomplete cases."""

import pytest
import torch

from clinimm.models.completion import Completion


def correlated(n: int, seed: int = 0) -> torch.Tensor:
    """Three features: the second is the first doubled and blurred, the third apart from both."""
    draws = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    first = draws[:, 0]
    return torch.stack([first, 2 * first + 0.5 * draws[:, 1] + 3, draws[:, 2]], dim=1)


@pytest.fixture(scope="module")
def fitted() -> Completion:
    values = correlated(6000)
    known = torch.rand(values.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    completion = Completion(3)
    completion.fit(torch.where(known, values, 99.0), known)
    return completion


def test_a_feature_is_expected_where_its_neighbor_puts_it(fitted: Completion) -> None:
    known = torch.tensor([[True, False, True]])
    found = fitted(torch.tensor([[1.0, 0.0, 0.0]]), known) * fitted.scale + fitted.mean
    assert abs(float(found[0, 1]) - 5.0) < 0.2  # 2 * 1 + 3


def test_what_is_known_stays_and_what_stands_at_an_unknown_place_does_nothing(fitted: Completion) -> None:
    known = torch.tensor([[True, False, True]])
    one = fitted(torch.tensor([[0.4, 7.0, -1.0]]), known)
    other = fitted(torch.tensor([[0.4, -1e6, -1.0]]), known)
    assert torch.equal(one, other)
    assert torch.allclose((one * fitted.scale + fitted.mean)[0, [0, 2]], torch.tensor([0.4, -1.0]), atol=1e-6)


def test_with_nothing_known_all_are_at_their_mean(fitted: Completion) -> None:
    assert torch.equal(fitted(torch.full((2, 3), 5.0), torch.zeros(2, 3, dtype=torch.bool)), torch.zeros(2, 3))


def test_draws_spread_as_what_is_left_unknown(fitted: Completion) -> None:
    known = torch.tensor([[True, False, False]])
    draws = fitted.draws(torch.tensor([[1.0, 0.0, 0.0]]), known, 4000, torch.Generator().manual_seed(2))
    natural = draws[:, 0] * fitted.scale + fitted.mean
    assert torch.allclose(natural[:, 0], torch.ones(4000), atol=1e-5)
    assert abs(float(natural[:, 1].mean()) - 5.0) < 0.2
    assert abs(float(natural[:, 1].std()) - 0.5) < 0.15
    assert abs(float(natural[:, 2].std()) - 1.0) < 0.1


def test_a_feature_that_no_case_has_is_left_at_zero() -> None:
    values, known = correlated(50), torch.ones(50, 3, dtype=torch.bool)
    known[:, 1] = False
    completion = Completion(3)
    completion.fit(values, known)
    assert torch.isfinite(completion.covariance).all()
    assert float(completion(values[:1], known[:1])[0, 1]) == pytest.approx(0.0, abs=1e-6)

"""Panels with gaps: what a net can read from the tokens of those analytes that are known."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from clinimm.models.tabular import AnalyteEncoder, CompletedAnalyteEncoder

WIDTH = 16


def panels(n: int = 400, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Six analytes that go together, and which of them are known: of odd cases never the last two."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 1, generator=generator) + 0.7 * torch.randn(n, 6, generator=generator)
    known = torch.rand(n, 6, generator=generator) < 0.9
    known[:, 0] = True
    known[1::2, 4:] = False
    return torch.where(known, values, 0.0), known


def told_by_gaps(encoder: AnalyteEncoder) -> float:
    """How well lines over the mean token tell the odd cases, whose values are as those of all others."""
    values, known = panels()
    torch.manual_seed(1)
    encoder.fit(values, known)
    tokens = encoder(values, known)
    mask = tokens.mask[..., None]
    means = ((tokens.values * mask).sum(1) / mask.sum(1)).detach().numpy()
    odd = np.arange(len(means)) % 2
    said = cross_val_predict(LogisticRegression(C=100, max_iter=5000), means, odd, method="decision_function")
    return float(roc_auc_score(odd, said))


def test_what_is_missing_is_told_where_only_the_known_have_tokens_and_not_where_the_rest_is_completed() -> None:
    torch.manual_seed(0)
    assert told_by_gaps(AnalyteEncoder(6, WIDTH, 0.0)) > 0.95
    assert told_by_gaps(CompletedAnalyteEncoder(6, WIDTH, 0.0).train()) < 0.6


@pytest.fixture
def completed() -> CompletedAnalyteEncoder:
    torch.manual_seed(0)
    encoder = CompletedAnalyteEncoder(6, WIDTH, 0.0)
    encoder.fit(*panels())
    return encoder.eval()


def test_a_missing_value_is_where_its_neighbors_put_it_and_takes_no_part_itself(
    completed: CompletedAnalyteEncoder,
) -> None:
    known = torch.tensor([[True, True, True, True, False, False]])
    values = torch.tensor([[2.0, 2.0, 2.0, 2.0, 0.0, 50.0]], requires_grad=True)
    tokens = completed(values, known)
    assert tokens.mask.all()
    expected = completed.completion(values, known) * completed.completion.scale + completed.completion.mean
    assert float(expected[0, 5].detach()) > 1.0
    assert torch.equal(tokens.values, completed(expected, torch.ones_like(known)).values)
    tokens.values.square().sum().backward()
    assert values.grad is not None
    assert (values.grad[0, :4] != 0).all()
    assert (values.grad[0, 4:] == 0).all()


def test_an_answer_draws_nothing(completed: CompletedAnalyteEncoder) -> None:
    values, known = panels(20, seed=1)
    assert torch.equal(completed(values, known).values, completed(values, known).values)
    learning = completed.train()
    assert not torch.equal(learning(values, known).values, learning(values, known).values)


def test_a_full_panel_is_encoded_as_by_the_encoder_of_the_known(completed: CompletedAnalyteEncoder) -> None:
    values, known = panels(20, seed=1)
    plain = AnalyteEncoder(6, WIDTH, 0.0).eval()
    plain.load_state_dict({k: v for k, v in completed.state_dict().items() if not k.startswith("completion.")})
    every = torch.ones_like(known)
    assert torch.allclose(plain(values, every).values, completed(values, every).values, atol=1e-5)

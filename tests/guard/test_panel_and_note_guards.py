"""Odd panels and notes are flagged, never blocked; what is missing says nothing."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from clinimm.guard.judgement import Judgement, Verdict
from clinimm.guard.notes import NoteGuard
from clinimm.guard.panels import Gaussian, PanelGuard

COVARIANCE = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 0.5]], dtype=torch.float64)


def panels(n: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, 3, generator=generator, dtype=torch.float64) @ torch.linalg.cholesky(COVARIANCE).T
    known = torch.rand(n, 3, generator=generator) < 0.6
    known[torch.arange(n), torch.arange(n) % 3] = True
    return torch.where(known, values, 0.0).float(), known


def flagged(judged: tuple[Judgement, ...]) -> float:
    assert all(judgement.verdict is not Verdict.BLOCK for judgement in judged)
    return float(np.mean([judgement.verdict is Verdict.FLAG for judgement in judged]))


def test_em_finds_the_gaussian_behind_panels_with_gaps() -> None:
    found = Gaussian.fit(*panels(3000, 0))
    assert torch.allclose(found.mean, torch.zeros(3, dtype=torch.float64), atol=0.08)
    assert torch.allclose(found.covariance, COVARIANCE, atol=0.1)


def test_oddness_is_the_distance_under_the_marginal_of_what_is_known() -> None:
    gaussian = Gaussian(torch.tensor([0.5, -1.0, 2.0]).double(), COVARIANCE)
    values, known = torch.tensor([[2.0, 7.0, 1.0]]), torch.tensor([[True, False, True]])
    marginal = multivariate_normal([0.5, 2.0], COVARIANCE[[0, 2]][:, [0, 2]].numpy())
    squared = 2 * (marginal.logpdf([0.5, 2.0]) - marginal.logpdf([2.0, 1.0]))
    expected = ((squared / 2) ** (1 / 3) - (1 - 2 / 18)) / np.sqrt(2 / 18)
    assert float(gaussian.oddness(values, known)[0]) == pytest.approx(expected)


def test_what_a_missing_value_holds_does_not_count() -> None:
    gaussian = Gaussian.fit(*panels(200, 0))
    values, known = panels(20, 1)
    assert torch.equal(gaussian.oddness(torch.where(known, values, 1e6), known), gaussian.oddness(values, known))


def test_panels_against_the_grain_are_flagged() -> None:
    guard = PanelGuard.fit(*panels(300, 0), torch.arange(300) % 5, flags=0.05)
    assert guard is not None
    all_known = torch.ones(1, 3, dtype=torch.bool)
    assert flagged(guard.judge(*panels(300, 1))) <= 0.1
    assert flagged(guard.judge(torch.tensor([[1.8, 1.8, 0.0]]), all_known)) == 0
    assert flagged(guard.judge(torch.tensor([[1.8, -1.8, 0.0]]), all_known)) == 1  # each of them usual alone
    back = PanelGuard.restore(guard.state(), guard.record())
    assert back.judge(*panels(20, 2)) == guard.judge(*panels(20, 2))


def notes(n: int, seed: int, length: int = 40, vocabulary: int = 300, shift: int = 0) -> tuple[Tensor, Tensor]:
    """Notes whose words come by Zipf's law, each word fond of the one that follows it."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, vocabulary + 1)
    ids = rng.choice(vocabulary, (n, length), p=share / share.sum())
    follows = rng.random((n, length - 1)) < 0.5
    for i in range(1, length):
        ids[:, i] = np.where(follows[:, i - 1], (ids[:, i - 1] * 7 + 3) % vocabulary, ids[:, i])
    mask = np.arange(length)[None] < rng.integers(length // 2, length, (n, 1))
    return torch.from_numpy(np.where(mask, ids + 5 + shift, 0)), torch.from_numpy(mask)


def test_notes_unlike_the_training_notes_are_flagged() -> None:
    guard = NoteGuard.fit(*notes(200, 0), torch.arange(200) % 5, flags=0.05)
    assert guard is not None
    assert flagged(guard.judge(*notes(200, 1))) <= 0.12
    assert flagged(guard.judge(*notes(50, 2, shift=400))) == 1  # other words
    repeated = torch.full((1, 40), 9), torch.ones(1, 40, dtype=torch.bool)
    assert flagged(guard.judge(*repeated)) == 1
    back = NoteGuard.restore(guard.state(), guard.record())
    assert back.judge(*notes(20, 3)) == guard.judge(*notes(20, 3))


def test_padding_and_company_do_not_change_a_notes_judgement() -> None:
    guard = NoteGuard.fit(*notes(100, 0), torch.arange(100) % 5, flags=0.05)
    assert guard is not None
    ids, mask = notes(8, 1)
    alone = [guard.judge(ids[i : i + 1], mask[i : i + 1])[0].score for i in range(8)]
    dirty = torch.where(mask, ids, 77)
    assert [judgement.score for judgement in guard.judge(dirty, mask)] == pytest.approx(alone, abs=1e-6)

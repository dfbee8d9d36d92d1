"""Edges of films: which way they run, how strong they are, and that an attribution can follow them."""

import math

import pytest
import torch

from clinimm.models.edges import CELLS, WAYS, edges, edges_of
from clinimm.models.features import FixedPicture


def ramp(angle: float, side: int = 34) -> torch.Tensor:
    """A film (1, 1, side, side) that brightens steadily along a direction."""
    down, across = torch.meshgrid(torch.arange(side) / side, torch.arange(side) / side, indexing="ij")
    return (across * math.cos(angle) + down * math.sin(angle))[None, None]


def strengths(film: torch.Tensor) -> torch.Tensor:
    return edges(film).view(WAYS, CELLS, CELLS)


@pytest.mark.parametrize("way", range(WAYS))
def test_a_ramp_is_strongest_in_its_own_direction_everywhere(way: int) -> None:
    found = strengths(ramp(math.pi * way / WAYS))
    assert (found.argmax(0) == way).all()
    opposite = found[(way + WAYS // 2) % WAYS]
    assert torch.allclose(opposite, torch.zeros(CELLS, CELLS), atol=1e-6)


def test_twice_the_contrast_is_twice_the_strength_and_a_flat_film_has_none() -> None:
    assert torch.allclose(edges(2 * ramp(0.3)), 2 * edges(ramp(0.3)), atol=1e-4)
    assert torch.allclose(edges(torch.full((1, 1, 40, 30), 0.7)), torch.zeros(1, edges_of((1, 40, 30))), atol=1e-3)


def test_a_flat_film_has_a_gradient() -> None:
    film = torch.full((1, 1, 20, 20), 0.5, requires_grad=True)
    edges(film).sum().backward()
    assert torch.isfinite(film.grad).all()


def test_a_film_has_features_of_pixels_and_edges_and_a_volume_of_voxels() -> None:
    films, volumes = torch.randn(12, 1, 24, 20), torch.randn(12, 1, 8, 8, 6)
    for values, each in ((films, 2), (volumes, 1)):
        encoder = FixedPicture(tuple(values.shape[1:]), components=4)
        encoder.fit(values, None)
        features = encoder(values, None).values[:, 0, : encoder.size]
        assert encoder.size == 4 * each
        assert torch.allclose(features.mean(0), torch.zeros(encoder.size), atol=1e-4)
        assert (features.std(0) > 0.1).all()

"""Maps that a net with shuffled weights would give as well show the picture, not the model.

Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps (the model parameter randomization test)."""

import copy
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from clinimm.types import Attribution

Net = TypeVar("Net", bound=nn.Module)

SHUFFLES = 3  # with three analytes one shuffled net may resemble ours by luck; the mean of three does so once in 200
STEPS = 32  # of a shuffled net's path, whose maps need not add up to the last digit
_KEPT = ("prior", "share", "covariance", "side")  # what is no weight: shuffled, it would be none of its kind


def shuffled(network: Net, generator: torch.Generator) -> Net:
    """A copy whose weights are the same numbers, each tensor's in another order."""
    other = copy.deepcopy(network)
    state = other.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.numel() > 1 and name.rpartition(".")[2] not in _KEPT:
            order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
            state[name] = tensor.reshape(-1)[order].reshape(tensor.shape)
    other.load_state_dict(state)  # and not in place: what a net derives from its state is derived anew
    return other.eval()


def cosine(first: Attribution, second: Attribution) -> float:
    """How much two explanations of one case point the same way; 0 where one is 0 everywhere or not finite."""
    a, b = _flat(first), _flat(second)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if np.isfinite(length) and length > 0 else 0.0


def _flat(attribution: Attribution) -> Float[np.ndarray, " p"]:
    return np.concatenate([values.ravel() for values in attribution.maps.values()]).astype(np.float64)

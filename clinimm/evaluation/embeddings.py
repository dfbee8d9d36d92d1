"""What the encoders of a model make of each input: the summary token that its fusion reads.

n cases, e width."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn

from clinimm.batch import Batch
from clinimm.evaluation.spaces import Space
from clinimm.models.network import Network

ROWS = 64


@torch.inference_mode()
def embed(network: Network, batch: Batch) -> dict[str, Float[np.ndarray, "n _"]]:
    """The summary of each input of each case; NaN where it is absent."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in batch.modalities}
    training = network.training
    network.eval()
    for rows in torch.arange(len(batch)).split(ROWS):
        part = batch.rows(rows).to(network.prior.device)
        for name, tokens in network.tokens(part, part.present).items():
            there = part.modalities[name].present[:, None]
            summary = torch.where(there, tokens.values[:, 0], torch.nan)
            found[name].append(summary.double().cpu().numpy())
    network.train(training)
    return {name: np.concatenate(rows) for name, rows in found.items() if rows}


def networks_of(model: nn.Module) -> list[Network]:
    """The networks that a model is or holds."""
    return [part for part in model.modules() if isinstance(part, Network)]


def spaces_of(
    networks: Sequence[Network],
    held_out: Sequence[Collection[str]],
    train: Batch,
    train_patients: Sequence[str],
    asked: Batch,
) -> list[Space]:
    """The spaces in which opponents may learn: one per network, its clean cases those of the patients that it was not
    trained on (`held_out`, one collection per network; an empty one where that is not known)."""
    return [
        Space(embed(network, train), embed(network, asked), _of(train_patients, patients))
        for network, patients in zip(networks, held_out, strict=True)
    ]


def _of(patients: Sequence[str], chosen: Collection[str]) -> Bool[np.ndarray, " n"]:
    return np.array([patient in chosen for patient in patients], dtype=bool)

"""What an explanation is tested on: patches of a picture, pieces of a note, values of a panel. u units, r rows."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.attribution.baselines import baseline_batch
from clinimm.attribution.network import Explainable
from clinimm.batch import Batch, ModalityBatch
from clinimm.types import Kind, Modality

FILM_PATCHES, VOLUME_PATCHES = 8, 4
"""Patches a side: 64 of either. Finer ones hold less than a sign does, and each costs a pass."""


@dataclass(frozen=True)
class Units:
    """One input cut into `count` parts; `owner` has the shape of its map and says which part a place belongs to, -1
    where nothing can vary: padding, special tokens, values that were not measured."""

    name: str
    owner: Int[np.ndarray, "..."]
    count: int

    def scores(self, values: Float[np.ndarray, "..."]) -> Float[np.ndarray, " u"]:
        """What a map gives to each unit, in its own unit (logits)."""
        inside = self.owner >= 0
        return np.bincount(self.owner[inside], weights=values[inside].astype(np.float64), minlength=self.count)

    def spread(self, scores: Float[np.ndarray, " u"]) -> Float[np.ndarray, "..."]:
        """A map that gives each place of a unit the same share of its score; `scores` gives them back."""
        sizes = np.bincount(self.owner[self.owner >= 0], minlength=self.count).clip(1)
        return np.where(self.owner >= 0, (scores / sizes)[self.owner], 0.0).astype(np.float32)

    def places(self, kept: Bool[np.ndarray, "r u"]) -> Bool[Tensor, "r ..."]:
        """Which places of the input rows keep, when they keep these units; what is in no unit is always kept."""
        always = np.ones((len(kept), 1), dtype=bool)
        return torch.from_numpy(np.concatenate([kept, always], axis=1)[:, self.owner])


def units_of(network: Explainable, batch: Batch) -> dict[str, Units]:
    """The units of every input that a batch of one has; an input of which nothing can vary has none."""
    blank = baseline_batch(network, batch)
    found = (
        _units(modality, part, blank.modalities[modality.name])
        for modality, part in zip(network.modalities, batch.modalities.values(), strict=True)
        if bool(part.present[0])
    )
    return {units.name: units for units in found if units.count}


def _units(modality: Modality, part: ModalityBatch, blank: ModalityBatch) -> Units:
    if modality.kind is Kind.IMAGE:
        owner = _patches(modality.shape)
    elif modality.kind is Kind.TEXT:
        owner = _numbered((part.values != blank.values)[0].cpu().numpy())
    else:
        known = np.ones(modality.shape, dtype=bool) if part.mask is None else part.mask[0].cpu().numpy()
        owner = _numbered(known)
    return Units(modality.name, owner, int(owner.max(initial=-1)) + 1)


def _patches(shape: tuple[int, ...]) -> Int[np.ndarray, "..."]:
    """The number of each pixel's patch, the same in every channel."""
    sides = shape[1:]
    most = FILM_PATCHES if len(sides) == 2 else VOLUME_PATCHES
    steps = [np.arange(side) * min(most, side) // side for side in sides]
    counts = [min(most, side) for side in sides]
    numbers = np.ravel_multi_index(tuple(np.meshgrid(*steps, indexing="ij")), counts)
    return np.broadcast_to(numbers, shape).astype(np.int64)


def _numbered(varies: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return np.where(varies, np.cumsum(varies) - 1, -1).astype(np.int64)

"""The nouns on the device: batches, tokens and a net's output. b batch, c channels, h w d space, n positions,
f features, e width, k targets, m modalities, q quality features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clinimm.types import InputState


@dataclass(frozen=True)
class Tokens:
    """What every encoder returns; `mask` is False at positions that mean nothing."""

    values: Float[Tensor, "b n e"]
    mask: Bool[Tensor, "b n"]

    @staticmethod
    def of_all(values: Float[Tensor, "b n e"]) -> "Tokens":
        """Tokens every one of which means something."""
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))

    def to(self, device: torch.device | str) -> "Tokens":
        return Tokens(self.values.to(device), self.mask.to(device))

    def rows(self, index: Int[Tensor, " r"]) -> "Tokens":
        return Tokens(self.values[index], self.mask[index])

    @staticmethod
    def cat(parts: Sequence["Tokens"]) -> "Tokens":
        return Tokens(torch.cat([part.values for part in parts]), torch.cat([part.mask for part in parts]))


@dataclass(frozen=True)
class ModalityBatch:
    """One modality of a batch. `present` is False where the values mean nothing; `mask` marks real positions (text)
    or known values (tabular) and is None for images; `states` says what became of each input, and why. `encoded`, in
    training with a frozen tower, is what the tower reads in the values."""

    values: Float[Tensor, "b ..."] | Int[Tensor, "b n"]
    present: Bool[Tensor, " b"]
    mask: Bool[Tensor, "b n"] | None
    quality: Float[Tensor, "b q"]
    states: tuple[InputState, ...]
    encoded: Tokens | None = None

    def to(self, device: torch.device | str) -> "ModalityBatch":
        return ModalityBatch(
            self.values.to(device),
            self.present.to(device),
            None if self.mask is None else self.mask.to(device),
            self.quality.to(device),
            self.states,
            None if self.encoded is None else self.encoded.to(device),
        )

    def rows(self, index: Int[Tensor, " r"]) -> "ModalityBatch":
        return ModalityBatch(
            self.values[index],
            self.present[index],
            None if self.mask is None else self.mask[index],
            self.quality[index],
            tuple(self.states[i] for i in index.tolist()),
            None if self.encoded is None else self.encoded.rows(index),
        )

    @staticmethod
    def cat(parts: Sequence["ModalityBatch"]) -> "ModalityBatch":
        """All rows in order; `encoded` stays only where every part has it."""
        masks = [part.mask for part in parts if part.mask is not None]
        encoded = [part.encoded for part in parts if part.encoded is not None]
        return ModalityBatch(
            values=torch.cat([part.values for part in parts]),
            present=torch.cat([part.present for part in parts]),
            mask=torch.cat(masks) if masks else None,
            quality=torch.cat([part.quality for part in parts]),
            states=tuple(state for part in parts for state in part.states),
            encoded=Tokens.cat(encoded) if len(encoded) == len(parts) else None,
        )


@dataclass(frozen=True)
class Batch:
    """Cases on the device. A data set item is a Batch of one; `cat` joins them. Where `target_mask` is False the label
    is unknown and gives no loss."""

    case_ids: tuple[str, ...]
    modalities: Mapping[str, ModalityBatch]
    targets: Float[Tensor, "b k"]
    target_mask: Bool[Tensor, "b k"]

    def __len__(self) -> int:
        return len(self.case_ids)

    @property
    def present(self) -> Bool[Tensor, "b m"]:
        """Which modality each case has, in the order of `modalities`."""
        return torch.stack([part.present for part in self.modalities.values()], dim=1)

    @property
    def quality(self) -> dict[str, Float[Tensor, "b _"]]:
        """The quality features of each modality."""
        return {name: part.quality for name, part in self.modalities.items()}

    def to(self, device: torch.device | str) -> "Batch":
        parts = {name: part.to(device) for name, part in self.modalities.items()}
        return Batch(self.case_ids, parts, self.targets.to(device), self.target_mask.to(device))

    def rows(self, index: Int[Tensor, " r"]) -> "Batch":
        """The chosen cases, in the order of `index`."""
        parts = {name: part.rows(index) for name, part in self.modalities.items()}
        chosen = tuple(self.case_ids[i] for i in index.tolist())
        return Batch(chosen, parts, self.targets[index], self.target_mask[index])

    @staticmethod
    def cat(items: Sequence["Batch"]) -> "Batch":
        names = items[0].modalities
        return Batch(
            case_ids=tuple(case_id for item in items for case_id in item.case_ids),
            modalities={name: ModalityBatch.cat([item.modalities[name] for item in items]) for name in names},
            targets=torch.cat([item.targets for item in items]),
            target_mask=torch.cat([item.target_mask for item in items]),
        )


@dataclass(frozen=True)
class ModelOutput:
    """`unimodal` are the logits of the auxiliary head of each modality; `weights` are exactly 0 for the absent. Some
    fusions also tell the probability that each input is what it should be, how much the inputs contradict each other,
    and a loss of their own: see `clinimm.models.fusions.heard.Joined`."""

    logits: Float[Tensor, "b k"]
    unimodal: Float[Tensor, "b m k"]
    fused: Float[Tensor, "b e"]
    weights: Float[Tensor, "b m"]
    trust: Float[Tensor, "b m"] | None = None
    conflict: Float[Tensor, "b k"] | None = None
    penalty: Float[Tensor, ""] | None = None

"""What a net must offer to be explained; `clinimm.models.network.Network` is the one we train."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Batch, ModelOutput, Tokens
from clinimm.types import Modality


@runtime_checkable
class Explainable(Protocol):
    """A net that splits into `embed`, `encode` and `fuse`, so that the last two can be differentiated or re-run;
    `encode_one` is `encode` of a single modality.

    Text encoders also hold `pad_id: int` and `special_ids: tuple[int, ...]`, image encoders `typical`, the median
    training picture (c, h, w[, d]). `prior` are the logits of a case of which nothing is known."""

    modalities: tuple[Modality, ...]
    encoders: nn.ModuleDict
    prior: Float[Tensor, " k"]

    def embed(self, batch: Batch) -> dict[str, Tensor]: ...

    def encode(
        self, embedded: Mapping[str, Tensor], masks: Mapping[str, Tensor | None], present: Bool[Tensor, "b m"]
    ) -> dict[str, Tokens]: ...

    def encode_one(self, name: str, embedded: Tensor, mask: Tensor | None, present: Bool[Tensor, " b"]) -> Tokens: ...

    def fuse(
        self, tokens: Mapping[str, Tokens], present: Bool[Tensor, "b m"], quality: Mapping[str, Float[Tensor, "b q"]]
    ) -> ModelOutput: ...

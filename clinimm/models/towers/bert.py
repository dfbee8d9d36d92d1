"""Any BERT-like net of transformers as a text tower, with the poolings that backbones use."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from clinimm.batch import Tokens
from clinimm.errors import ConfigError
from clinimm.models.towers.base import Hidden, Projection, TextTower

POOLINGS = ("mean", "cls", "layers", "layers_with_padding")
_LAYERS = (1, 2, -1)  # which of BERT's hidden states MedCLIP averages; 0 are the embeddings


class BertTower(TextTower):
    """`pooling`: "mean" of the last layer over real positions; "cls", its first position; "layers", MedCLIP's mean of
    hidden states 1, 2 and the last over real positions; "layers_with_padding", the same over all positions, which is
    what MedCLIP's code does: for reproducing it only, since then the answer depends on the padding."""

    def __init__(
        self,
        config: Mapping[str, Any],
        width: int,
        *,
        length: int,
        pooling: str = "mean",
        projection: str = "linear",
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ConfigError(f"pooling {pooling!r} is not known", where="text.pooling", mend=", ".join(POOLINGS))
        self.model = AutoModel.from_config(AutoConfig.for_model(**config))
        if hasattr(self.model, "pooler"):
            self.model.pooler = None  # we pool ourselves; not every class can be told so when it is made
        self.features, self.width, self.length, self.pooling = self.model.config.hidden_size, width, length, pooling
        self.projection = Projection(self.features, width, projection)
        self.architecture = {
            "name": "bert", "config": self.model.config.to_dict(), "width": width, "length": length,
            "pooling": pooling, "projection": projection,
        }  # fmt: skip

    def embed(self, values: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        return self.model.get_input_embeddings()(values.long())

    def word_vectors(self) -> Float[Tensor, "v d"]:
        return self.model.get_input_embeddings().weight

    def read(self, embedded: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        if mask is None:
            mask = torch.ones(embedded.shape[:2], dtype=torch.bool, device=embedded.device)
        wanted = self.pooling.startswith("layers")
        out = self.model(inputs_embeds=embedded, attention_mask=mask.long(), output_hidden_states=wanted)
        last = out.last_hidden_state
        pooled = self._pool(out.hidden_states if wanted else (last,), mask)
        return Hidden(Tokens(last, mask), pooled)

    def _pool(self, states: tuple[Tensor, ...], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b f"]:
        if self.pooling == "cls":
            return states[-1][:, 0]
        counted = torch.ones_like(mask) if self.pooling == "layers_with_padding" else mask
        chosen = [states[i] for i in _LAYERS] if len(states) > 1 else [states[-1]]
        return torch.stack([masked_mean(state, counted) for state in chosen], dim=1).mean(1)

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        return self.projection(pooled)

    def blocks(self) -> list[nn.Module]:
        """All that comes before or beside the layers (embeddings, position biases), then each layer."""
        stack = next(part for part in self.model.modules() if isinstance(part, nn.ModuleList))
        return [nn.ModuleList(_beside(self.model, stack)), *stack]


def _beside(net: nn.Module, stack: nn.ModuleList) -> Iterator[nn.Module]:
    """The largest modules with weights that have nothing of the stack in them."""
    for child in net.children():
        if any(part is stack for part in child.modules()):
            yield from () if child is stack else _beside(child, stack)
        elif next(child.parameters(), None) is not None:
            yield child


def masked_mean(values: Float[Tensor, "b n f"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b f"]:
    """Mean over the positions that the mask marks; 0 where it marks none."""
    weight = mask[..., None].to(values.dtype)
    return (values * weight).sum(1) / weight.sum(1).clamp_min(1)

"""CLIP's towers: transformers' nets, read from pixels and from word vectors (Radford et al. 2021)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

from clinimm.batch import Tokens
from clinimm.models.towers.base import Hidden, ImageTower, Projection, TextTower

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


class ClipImageTower(ImageTower):
    """A vision transformer whose class token, normalized, is the pooled vector. `config` is a CLIPVisionConfig's."""

    def __init__(
        self,
        config: Mapping[str, Any],
        width: int,
        *,
        mean: Sequence[float] = OPENAI_MEAN,
        std: Sequence[float] = OPENAI_STD,
    ) -> None:
        settings = CLIPVisionConfig(**config)
        super().__init__((settings.image_size, settings.image_size), mean, std)
        net = CLIPVisionModel(settings)
        self.model = getattr(net, "vision_model", net)  # transformers once wrapped it
        self.projection = Projection(settings.hidden_size, width)
        self.channels, self.features, self.width = settings.num_channels, settings.hidden_size, width
        self.architecture = {
            "name": "clip_image", "config": settings.to_dict(), "width": width, "mean": list(mean), "std": list(std),
        }  # fmt: skip

    def read(self, embedded: Float[Tensor, "b 1 ..."], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        out = self.model(self.standardized(embedded))
        return Hidden(Tokens.of_all(out.last_hidden_state), out.pooler_output)

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        return self.projection(pooled)

    def blocks(self) -> list[nn.Module]:
        *layers, last = self.model.encoder.layers
        first = nn.ModuleList([self.model.embeddings, self.model.pre_layrnorm])
        return [first, *layers, nn.ModuleList([last, self.model.post_layernorm])]


class ClipTextTower(TextTower):
    """A causal transformer whose pooled vector stands at the end-of-text piece: the last real position of the mask.
    `config` is a CLIPTextConfig's. What stands at padding changes nothing."""

    def __init__(self, config: Mapping[str, Any], width: int) -> None:
        super().__init__()
        settings = CLIPTextConfig(**config)
        net = CLIPTextModel(settings)
        self.model = getattr(net, "text_model", net)
        self.projection = Projection(settings.hidden_size, width)
        self.features, self.width, self.length = settings.hidden_size, width, settings.max_position_embeddings
        self.architecture = {"name": "clip_text", "config": settings.to_dict(), "width": width}

    def embed(self, values: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        return self.model.embeddings.token_embedding(values.long())

    def word_vectors(self) -> Float[Tensor, "v d"]:
        return self.model.embeddings.token_embedding.weight

    def read(self, embedded: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        if mask is None:
            mask = torch.ones(embedded.shape[:2], dtype=torch.bool, device=embedded.device)
        placed = self.model.embeddings(inputs_embeds=embedded)
        hidden = self.model.encoder(inputs_embeds=placed, attention_mask=causal(mask, placed.dtype))
        values = self.model.final_layer_norm(hidden.last_hidden_state)
        rows = torch.arange(len(values), device=values.device)
        return Hidden(Tokens(values, mask), values[rows, last_real(mask)])

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        return self.projection(pooled)

    def blocks(self) -> list[nn.Module]:
        *layers, last = self.model.encoder.layers
        return [self.model.embeddings, *layers, nn.ModuleList([last, self.model.final_layer_norm])]


def causal(mask: Bool[Tensor, "b n"], dtype: torch.dtype) -> Float[Tensor, "b 1 n n"]:
    """What to add to attention scores so that a position sees itself and the real ones before it: 0, or the type's
    least value. Itself always, for a softmax over nothing is NaN, and a text without any real position must not be."""
    n = mask.shape[1]
    itself = torch.eye(n, dtype=torch.bool, device=mask.device)
    seen = itself | (mask[:, None, None, :] & torch.ones_like(itself).tril())
    return torch.zeros(seen.shape, dtype=dtype, device=mask.device).masked_fill(~seen, torch.finfo(dtype).min)


def last_real(mask: Bool[Tensor, "b n"]) -> Int[Tensor, " b"]:
    """The last position that the mask marks; 0 where it marks none."""
    return (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(1)

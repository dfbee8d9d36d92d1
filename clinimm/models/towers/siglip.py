"""SigLIP's towers: transformers' nets, read from pixels and from word vectors (Zhai et al. 2023)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import SiglipTextConfig, SiglipTextModel, SiglipVisionConfig, SiglipVisionModel

from clinimm.batch import Tokens
from clinimm.models.towers.base import Hidden, ImageTower, TextTower


class SiglipImageTower(ImageTower):
    """A vision transformer pooled by attention; the pooled vector is the point in the space, with no projection.
    `config` is a SiglipVisionConfig's."""

    def __init__(
        self, config: Mapping[str, Any], *, mean: Sequence[float] = (0.5,) * 3, std: Sequence[float] = (0.5,) * 3
    ) -> None:
        settings = SiglipVisionConfig(**{**config, "vision_use_head": True})
        super().__init__((settings.image_size, settings.image_size), mean, std)
        net = SiglipVisionModel(settings)
        self.model = getattr(net, "vision_model", net)  # transformers once wrapped it
        self.channels, self.features, self.width = settings.num_channels, settings.hidden_size, settings.hidden_size
        self.architecture = {
            "name": "siglip_image", "config": settings.to_dict(), "mean": list(mean), "std": list(std)
        }  # fmt: skip

    def read(self, embedded: Float[Tensor, "b 1 ..."], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        out = self.model(self.standardized(embedded))
        return Hidden(Tokens.of_all(out.last_hidden_state), out.pooler_output)

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        return pooled

    def blocks(self) -> list[nn.Module]:
        *layers, last = self.model.encoder.layers
        return [self.model.embeddings, *layers, nn.ModuleList([last, self.model.post_layernorm, self.model.head])]


class SiglipTextTower(TextTower):
    """A transformer that reads every text at its full length, padding included, as it was trained to, and is pooled at
    its last position, mostly padding. The tower itself puts the piece `pad` wherever the mask says padding, so what
    stands there changes nothing. `config` is a SiglipTextConfig's."""

    def __init__(self, config: Mapping[str, Any], *, pad: int) -> None:
        super().__init__()
        settings = SiglipTextConfig(**config)
        net = SiglipTextModel(settings)
        self.model = getattr(net, "text_model", net)
        self.pad = pad
        self.features, self.width = settings.hidden_size, settings.projection_size
        self.length = settings.max_position_embeddings
        self.architecture = {"name": "siglip_text", "config": settings.to_dict(), "pad": pad}

    def embed(self, values: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        return self.model.embeddings.token_embedding(values.long())

    def word_vectors(self) -> Float[Tensor, "v d"]:
        return self.model.embeddings.token_embedding.weight

    def read(self, embedded: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        if mask is None:
            mask = torch.ones(embedded.shape[:2], dtype=torch.bool, device=embedded.device)
        placed = self.model.embeddings(inputs_embeds=self._full(embedded, mask))
        values = self.model.final_layer_norm(self.model.encoder(inputs_embeds=placed).last_hidden_state)
        return Hidden(Tokens(values[:, : mask.shape[1]], mask), values[:, -1])

    def _full(self, embedded: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b full d"]:
        b, n, d = embedded.shape
        pad = self.word_vectors()[self.pad].to(embedded.dtype)
        return torch.cat([torch.where(mask[..., None], embedded, pad), pad.expand(b, self.length - n, d)], dim=1)

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        return self.model.head(pooled)

    def blocks(self) -> list[nn.Module]:
        *layers, last = self.model.encoder.layers
        return [self.model.embeddings, *layers, nn.ModuleList([last, self.model.final_layer_norm])]

"""The plain vision transformer as an image tower (Dosovitskiy et al. 2021): transformers' net, for timm's weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from clinimm.batch import Tokens
from clinimm.models.towers.base import Hidden, ImageTower, Projection


class VitTower(ImageTower):
    """Normalized tokens, the class token first; it is the pooled vector too. `config` is a ViTConfig's."""

    def __init__(
        self,
        config: Mapping[str, Any],
        width: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        projection: str = "linear",
    ) -> None:
        settings = ViTConfig(**config)
        super().__init__((settings.image_size, settings.image_size), mean, std)
        self.model = ViTModel(settings, add_pooling_layer=False)
        self.projection = Projection(settings.hidden_size, width, projection)
        self.channels, self.features, self.width = settings.num_channels, settings.hidden_size, width
        self.architecture = {
            "name": "vit", "config": settings.to_dict(), "width": width, "mean": list(mean), "std": list(std),
            "projection": projection,
        }  # fmt: skip

    def read(self, embedded: Float[Tensor, "b 1 ..."], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        values = self.model(self.standardized(embedded)).last_hidden_state
        return Hidden(Tokens.of_all(values), values[:, 0])

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        return self.projection(pooled)

    def blocks(self) -> list[nn.Module]:
        *layers, last = self.model.layers
        return [self.model.embeddings, *layers, nn.ModuleList([last, self.model.layernorm])]

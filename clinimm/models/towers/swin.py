"""Swin transformer of transformers as an image tower: MedCLIP's default."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import SwinConfig, SwinModel

from clinimm.batch import Tokens
from clinimm.models.towers.base import Hidden, ImageTower, Projection


class SwinTower(ImageTower):
    """Tokens are the positions of the last stage, normalized (49 of a 224 x 224 picture), pooled by their mean.

    `config` is transformers' own: what of it is not given takes Swin-T's value. Source: Liu et al. 2021."""

    def __init__(
        self,
        config: Mapping[str, Any],
        width: int,
        *,
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.25,),
        projection: str = "linear",
    ) -> None:
        known = SwinConfig(**{name: value for name, value in config.items() if name != "model_type"})
        super().__init__((known.image_size, known.image_size), mean, std)
        self.model = SwinModel(known)
        self.channels, self.features, self.width = known.num_channels, known.hidden_size, width
        self.projection = Projection(self.features, width, projection)
        self.architecture = {
            "name": "swin", "config": known.to_dict(), "width": width, "mean": list(mean), "std": list(std),
            "projection": projection,
        }  # fmt: skip

    def read(self, embedded: Float[Tensor, "b 1 h w"], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        out = self.model(self.standardized(embedded))
        return Hidden(Tokens.of_all(out.last_hidden_state), out.pooler_output)

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        return self.projection(pooled)

    def blocks(self) -> list[nn.Module]:
        """The patches' embedding, then each attention block; what merges patches goes with the block after it, and the
        closing normalization with the last."""
        groups: list[list[nn.Module]] = []
        merging: list[nn.Module] = []
        for stage in self.model.encoder.layers:
            for block in stage.blocks:
                groups.append([*merging, block])
                merging = []
            merging = [] if stage.downsample is None else [stage.downsample]
        groups[-1].append(self.model.layernorm)
        return [self.model.embeddings, *(nn.ModuleList(group) for group in groups)]

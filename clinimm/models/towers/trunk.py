"""A MONAI net as an image tower: for pretraining from nothing, and for weights of torchvision's layout."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from clinimm.batch import Tokens
from clinimm.models.image import FeatureMap, build_trunk
from clinimm.models.towers.base import Hidden, ImageTower, Projection


class TrunkTower(ImageTower):
    """One of TRUNKS; its tokens are the last feature map's positions, pooled by their mean.

    `channels` is what the net takes; `size` fixes the picture's (h, w) for nets with positions of their own (vit)."""

    def __init__(
        self,
        trunk: str,
        width: int,
        *,
        size: Sequence[int],
        channels: int = 1,
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.25,),
        projection: str = "linear",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        net, features = build_trunk(trunk, (channels, *size), **(options or {}))
        super().__init__(None if isinstance(net, FeatureMap) else size, mean, std)
        self.trunk = net
        self.projection = Projection(features, width, projection)
        self.channels, self.features, self.width = channels, features, width
        self.architecture = {
            "name": "trunk", "trunk": trunk, "width": width, "size": list(size), "channels": channels,
            "mean": list(mean), "std": list(std), "projection": projection, "options": dict(options or {}),
        }  # fmt: skip

    def read(self, embedded: Float[Tensor, "b 1 ..."], mask: Bool[Tensor, "b n"] | None) -> Hidden:
        values = self.trunk(self.standardized(embedded))
        return Hidden(Tokens.of_all(values), values.mean(1))

    def project(self, pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b e"]:
        return self.projection(pooled)

    def blocks(self) -> list[nn.Module]:
        if isinstance(self.trunk, FeatureMap):
            return list(self.trunk.parts())
        vit: Any = self.trunk.vit
        return [vit.patch_embedding, *vit.blocks, vit.norm]

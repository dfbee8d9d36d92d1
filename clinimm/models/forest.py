"""Trees whose splits are soft, so that a gradient runs through them to the pixels and words behind their features.

Randomized trees have random thresholds: a little blur of each changes the mean of a hundred of them hardly at all, and
makes the whole a smooth function that integrated gradients can follow. s nodes of all trees, l leaves, p features."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

LEAST = 0.003  # a mean over a hundred trees can say no less


class Forest(nn.Module):
    """The mean probability of the trees, as a logit. A node sends the share sigmoid((threshold - x) / blur) of a case
    to its left; a leaf's `value` is the training frequency there. Nodes stand in the order of their depth, so that one
    pass per depth reaches all of them; `side` is +1 for a left child of its `parent`, -1 for a right one."""

    feature: Int[Tensor, " s"]
    threshold: Float[Tensor, " s"]
    parent: Int[Tensor, " s"]
    side: Float[Tensor, " s"]
    value: Float[Tensor, " s"]
    leaf: Int[Tensor, " l"]
    edge_feature: Int[Tensor, " s"]
    edge_threshold: Float[Tensor, " s"]
    edge_parent: Int[Tensor, " s"]
    leaf_place: Int[Tensor, " l"]
    leaf_value: Float[Tensor, " l"]

    def __init__(self, depths: Sequence[int], leaves: int, trees: int, blur: float) -> None:
        """Room for a forest with so many nodes at each depth."""
        super().__init__()
        nodes = sum(depths)
        self.depths, self.trees, self.blur = tuple(depths), trees, blur
        for name, kind in (("feature", torch.int32), ("parent", torch.int32)):
            self.register_buffer(name, torch.zeros(nodes, dtype=kind))
        for name in ("threshold", "side", "value"):
            self.register_buffer(name, torch.zeros(nodes))
        self.register_buffer("leaf", torch.zeros(leaves, dtype=torch.int32))
        self.register_load_state_dict_post_hook(_laid_out)
        self.lay_out()

    @torch.no_grad()
    def lay_out(self) -> None:
        """Lays the trees out for walking; to be called once they were changed, as it is when a state was loaded: of the
        edge above each node the split, signed so that its left is up, and of each leaf what it says. Not kept on
        disk."""
        parent, leaf = self.parent.long(), self.leaf.long()
        first_above = torch.tensor((0, 0, *accumulate(self.depths))[: len(self.depths)])  # node of each depth's parents
        within = parent - first_above.repeat_interleave(torch.tensor(self.depths)).to(parent.device)
        for name, tensor in (
            ("edge_feature", self.feature.long()[parent]),
            ("edge_threshold", self.threshold[parent] * self.side),
            ("edge_parent", within),
            ("leaf_place", leaf),
            ("leaf_value", self.value[leaf]),
        ):
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, x: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
        """The logit of the mean probability of all trees."""
        return torch.logit(self.probability(x).clamp(LEAST, 1 - LEAST))

    def probability(self, x: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
        """The mean probability of all trees: over the leaves, the share of the case that reaches each."""
        reached = [x.new_ones(len(x), self.depths[0])]
        start = 0
        for above, here in pairwise(self.depths):
            level = slice(start + above, start + above + here)
            signed = x.index_select(1, self.edge_feature[level]) * self.side[level]
            share = torch.sigmoid((self.edge_threshold[level] - signed) / self.blur)
            reached.append(reached[-1].index_select(1, self.edge_parent[level]) * share)
            start += above
        return (torch.cat(reached, dim=1).index_select(1, self.leaf_place) @ self.leaf_value) / self.trees


def _laid_out(forest: nn.Module, _: object) -> None:
    cast(Forest, forest).lay_out()

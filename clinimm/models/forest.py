"""Trees whose splits are soft, so that a gradient runs through them to the pixels and words behind their features.

Randomized trees have random thresholds: a little blur of each changes the mean of a hundred of them hardly at all, and
makes the whole a smooth function that integrated gradients can follow. s nodes of all trees, l leaves, p features."""

from collections.abc import Sequence
from itertools import pairwise

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

    def forward(self, x: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
        """The logit of the mean probability of all trees."""
        return torch.logit(self.probability(x).clamp(LEAST, 1 - LEAST))

    def probability(self, x: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
        """The mean probability of all trees: over the leaves, the share of the case that reaches each."""
        parents, leaf = self.parent.long(), self.leaf.long()
        features, thresholds = self.feature.long()[parents], self.threshold[parents]
        reached = [x.new_ones(len(x), self.depths[0])]
        start = 0
        for above, here in pairwise(self.depths):
            level = slice(start + above, start + above + here)
            distance = (thresholds[level] - x.index_select(1, features[level])) / self.blur
            share = torch.sigmoid(distance * self.side[level])
            reached.append(reached[-1].index_select(1, parents[level] - start) * share)
            start += above
        return (torch.cat(reached, dim=1).index_select(1, leaf) @ self.value[leaf]) / self.trees

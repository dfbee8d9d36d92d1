"""How a head of the learner on fixed features is fitted: trees, and narrow nets by gradient whose units trees may see.

Every case is learned from whole, and again with inputs and values hidden, so that an incomplete one is nothing new."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.ensemble import ExtraTreesClassifier
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from clinimm.batch import Batch
from clinimm.models.features import joined
from clinimm.models.forest import Forest
from clinimm.models.learner import FeatureLearner, Head, with_units
from clinimm.models.narrow import NarrowNets
from clinimm.training.modality_dropout import draw_kept


@dataclass(frozen=True)
class Recipe:
    """`copies` of each case with something hidden, each weighing `copy_weight` for the trees; `hidden_value` is the
    chance that a known analyte is hidden in a copy. `blur` is in standard deviations of a feature."""

    nets: int = 8
    units: int = 1
    epochs: int = 150
    lr: float = 2e-2
    weight_decay: float = 1.0
    dropout: float = 0.1
    batch_size: int = 64
    trees: int = 100
    leaf: int = 5
    share: float = 0.2
    blur: float = 0.1
    copies: int = 2
    copy_weight: float = 0.25
    hidden_value: float = 0.2


@dataclass(frozen=True)
class Rows:
    """Completed features of some cases: `whole` as they came, `copies` with something hidden."""

    whole: Float[Tensor, "n p"]
    copies: Float[Tensor, "c n p"]
    targets: Float[Tensor, "n k"]
    known: Bool[Tensor, "n k"]

    def take(self, index: Int[Tensor, " r"]) -> "Rows":
        return Rows(self.whole[index], self.copies[:, index], self.targets[index], self.known[index])


@torch.no_grad()
def rows_of(learner: FeatureLearner, batch: Batch, recipe: Recipe, seed: int) -> Rows:
    """The completed features of all cases of a batch, and of copies of them with inputs and analytes hidden."""
    generator = torch.Generator().manual_seed(seed)
    tokens = learner.tokens(batch, batch.present)
    values, known = joined({name: tokens[name] for name in learner.encoders}, batch.present)
    owner = torch.repeat_interleave(torch.arange(len(learner.sizes)), torch.tensor(learner.sizes))
    copies = []
    for _ in range(recipe.copies):
        kept = draw_kept(batch.present, 0.75, 0.5, batch.present, generator)
        seen = known & kept[:, owner]
        thinned = seen & (torch.rand(seen.shape, generator=generator) >= recipe.hidden_value * _partial(learner, owner))
        copies.append(learner.completion(values, torch.where(thinned.any(1, keepdim=True), thinned, seen)))
    whole = learner.completion(values, known)
    stacked = torch.stack(copies) if copies else whole[None][:0]
    return Rows(whole, stacked, batch.targets, batch.target_mask)


def _partial(learner: FeatureLearner, owner: Int[Tensor, " p"]) -> Float[Tensor, " p"]:
    """1 for a feature that can be missing while its input is there: an analyte."""
    tabular = torch.tensor([float(m.kind == "tabular") for m in learner.modalities])
    return tabular[owner]


def fit_head(nets: NarrowNets | None, train: Rows, helped: Sequence[bool], recipe: Recipe, seed: int) -> Head:
    """A head of trees fitted on `train`; those of the targets that nets help see the units of `nets` too, which may be
    None where they help none."""
    bare = [train.whole, *train.copies]
    seen = bare
    if nets is not None:
        nets.eval()
        with torch.no_grad():
            seen = [with_units(x, nets.squeezed(x.expand(nets.nets, -1, -1))) for x in bare]
    forests = [
        _fit_forest(seen if is_helped else bare, train, target, recipe, seed) for target, is_helped in enumerate(helped)
    ]
    return Head(nets, forests, helped)


def refit(nets: Sequence[NarrowNets], rows: Rows, helped: Sequence[bool], recipe: Recipe, seed: int) -> Head:
    """One head for all cases: the nets of all folds, if they help any target, and trees fitted on all rows.

    Its trees are more and see more cases than any fold's. What heads of single folds say of their held-out cases is the
    honest answer to calibrate by; this one is a little better than they are."""
    together = NarrowNets.together(nets) if nets else None
    return fit_head(together, rows, helped, replace(recipe, trees=2 * recipe.trees), seed)


def fit_nets(train: Rows, held: Rows, sizes: Sequence[int], recipe: Recipe, seed: int) -> NarrowNets:
    """Narrow nets fitted on `train`, each kept at the epoch in which it fits `held` best."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    targets = train.targets.shape[1]
    nets = NarrowNets(sizes, recipe.nets, targets, units=recipe.units, dropout=recipe.dropout)
    prevalence = (train.targets * train.known).sum(0) / train.known.sum(0).clamp_min(1)
    nets.bias.data.copy_(torch.logit(prevalence.clamp(0.01, 0.99)).expand_as(nets.bias))
    optimizer = torch.optim.AdamW(nets.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    steps = math.ceil(len(train.whole) / recipe.batch_size)
    best = torch.full((recipe.nets,), torch.inf)
    kept = {name: weight.detach().clone() for name, weight in nets.named_parameters()}
    for epoch in range(recipe.epochs):
        nets.train()
        orders = torch.stack([torch.randperm(len(train.whole), generator=generator) for _ in range(recipe.nets)])
        for step, index in enumerate(orders.split(recipe.batch_size, dim=1)):
            optimizer.param_groups[0]["lr"] = recipe.lr * _rate((epoch * steps + step) / (recipe.epochs * steps))
            loss = _loss(nets, _drawn(train, index, generator), train, index).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        nets.eval()
        with torch.no_grad():
            found = _judged(nets, held)
        better = found < best
        best = torch.where(better, found, best)
        for name, weight in nets.named_parameters():
            kept[name][better] = weight.detach()[better]
    nets.load_state_dict(kept, strict=False)
    return nets


def _rate(progress: float) -> float:
    """A short warm-up, then half a cosine."""
    return min(1.0, progress / 0.05) * (1 + math.cos(math.pi * progress)) / 2


def _drawn(rows: Rows, index: Int[Tensor, "g b"], generator: torch.Generator) -> Float[Tensor, "g b p"]:
    """Each case whole, or, as often, one of its copies."""
    whole = rows.whole[index]
    if not len(rows.copies):
        return whole
    which = torch.randint(len(rows.copies), index.shape, generator=generator)
    hide = torch.rand(index.shape, generator=generator) < 0.5
    return torch.where(hide[..., None], rows.copies[which, index], whole)


def _loss(nets: NarrowNets, x: Float[Tensor, "g b p"], rows: Rows, index: Int[Tensor, "g b"]) -> Float[Tensor, " g"]:
    """The mean log loss of each net over the known labels."""
    logits, known = nets(nets.squeezed(x)), rows.known[index]
    losses = binary_cross_entropy_with_logits(logits, rows.targets[index], reduction="none") * known
    return losses.sum((1, 2)) / known.sum((1, 2)).clamp_min(1)


def _judged(nets: NarrowNets, held: Rows) -> Float[Tensor, " g"]:
    every = torch.arange(len(held.whole)).expand(nets.nets, -1)
    parts = [held.whole, *held.copies]
    losses = [_loss(nets, x.expand(nets.nets, -1, -1), held, every) for x in parts]
    return losses[0] + torch.stack(losses[1:]).mean(0) if len(losses) > 1 else losses[0]


def _fit_forest(seen: Sequence[Tensor], train: Rows, target: int, recipe: Recipe, seed: int) -> Forest:
    """Extremely randomized trees (Geurts et al. 2006), their splits softened."""
    known = train.known[:, target].numpy()
    labels = np.tile(train.targets[:, target].numpy()[known] > 0.5, len(seen))
    weights = np.repeat([1.0] + [recipe.copy_weight] * (len(seen) - 1), int(known.sum()))
    trees = ExtraTreesClassifier(
        recipe.trees, min_samples_leaf=recipe.leaf, max_features=recipe.share, random_state=seed
    )
    rows = np.concatenate([one.numpy()[known] for one in seen])
    trees.fit(rows, labels, sample_weight=weights)
    return softened([tree.tree_ for tree in trees.estimators_], recipe.blur)


def softened(trees: Sequence[object], blur: float) -> Forest:
    """A `Forest` of scikit-learn's trees; features lie in units of about one standard deviation."""
    nodes = [_laid_out(tree) for tree in trees]
    depth = np.concatenate([one["depth"] for one in nodes])
    offset = np.cumsum([0, *(len(one["depth"]) for one in nodes)])
    joined_up = {
        key: np.concatenate([one[key] + (offset[i] if key == "parent" else 0) for i, one in enumerate(nodes)])
        for key in nodes[0]
    }
    order = np.argsort(depth, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    depths = np.bincount(depth).tolist()
    leaves = np.flatnonzero(joined_up["leaf"][order])
    forest = Forest(depths, len(leaves), len(trees), blur)
    forest.feature.copy_(torch.from_numpy(joined_up["feature"][order]))
    forest.threshold.copy_(torch.from_numpy(joined_up["threshold"][order]))
    forest.parent.copy_(torch.from_numpy(place[joined_up["parent"][order]]))
    forest.side.copy_(torch.from_numpy(joined_up["side"][order]))
    forest.value.copy_(torch.from_numpy(joined_up["value"][order]))
    forest.leaf.copy_(torch.from_numpy(leaves))
    forest.lay_out()
    return forest


def _laid_out(tree: object) -> dict[str, np.ndarray]:
    """A tree as arrays over its nodes; `side` is +1 for a left child and -1 for a right one."""
    left, right = tree.children_left, tree.children_right  # type: ignore[attr-defined]
    count = len(left)
    depth, parent, side = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64), np.ones(count)
    for node in range(count):  # scikit-learn numbers a parent before its children
        for child, way in ((left[node], 1.0), (right[node], -1.0)):
            if child >= 0:
                depth[child], parent[child], side[child] = depth[node] + 1, node, way
    leaf = left < 0
    value = tree.value[:, 0, :]  # type: ignore[attr-defined]
    share = value[:, 1] / value.sum(axis=1) if value.shape[1] > 1 else np.zeros(count)
    return {
        "depth": depth, "parent": parent, "side": side, "leaf": leaf, "value": np.where(leaf, share, 0.0),
        "feature": np.where(leaf, 0, tree.feature), "threshold": np.where(leaf, 0.0, tree.threshold),  # type: ignore[attr-defined]
    }  # fmt: skip

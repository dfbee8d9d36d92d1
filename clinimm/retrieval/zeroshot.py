"""Targets scored without training: how much nearer a picture is to sentences that state a target than to those that
deny it. b pictures, p prompts, e width."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from clinimm.backbone.directory import Backbone
from clinimm.backbone.encode import encode_texts
from clinimm.choose import choose
from clinimm.config import ZeroShotTarget
from clinimm.findings.prompts import expand

Pictures = Float[Tensor, "b e"]
Similarity = Float[Tensor, " b"]


def mean_similarity(pictures: Pictures, prompts: Float[Tensor, "p e"]) -> Similarity:
    """The mean of the cosines to the prompts. Source: MedCLIP's PromptClassifier with `ensemble` (Wang et al. 2022)."""
    return (pictures @ prompts.T).mean(1)


def max_similarity(pictures: Pictures, prompts: Float[Tensor, "p e"]) -> Similarity:
    """The greatest cosine to a prompt. Source: MedCLIP's PromptClassifier without `ensemble`."""
    return (pictures @ prompts.T).max(1).values


def center_similarity(pictures: Pictures, prompts: Float[Tensor, "p e"]) -> Similarity:
    """The cosine to the prompts' mean. Source: Radford et al. 2021 (CLIP), section 3.1.4. Unlike `mean_similarity` it
    does not punish a class whose prompts differ among themselves."""
    return pictures @ normalize(prompts.mean(0), dim=0)


ENSEMBLES: dict[str, Callable[[Pictures, Float[Tensor, "p e"]], Similarity]] = {
    "mean": mean_similarity,
    "max": max_similarity,
    "center": center_similarity,
}


@dataclass(frozen=True)
class TargetPrompts:
    """Unit vectors of the sentences that state a target, and of those that deny it."""

    positive: Float[Tensor, "p e"]
    negative: Float[Tensor, "m e"]


@dataclass(frozen=True)
class Prompted:
    """`cut` of the `count` prompts were longer than the text tower reads."""

    targets: Mapping[str, TargetPrompts]
    count: int
    cut: int


def embed_prompts(backbone: Backbone, targets: Sequence[ZeroShotTarget]) -> Prompted:
    """The prompts of each target. Raises ConfigError for a placeholder without words, BackboneError without a text
    tower."""
    made, count, cut = {}, 0, 0
    for target in targets:
        both = []
        for prompts in (target.positive, target.negative):
            vectors, lost = encode_texts(backbone, expand(prompts.templates, prompts.words))
            both.append(vectors)
            count, cut = count + len(lost), cut + sum(map(bool, lost))
        made[target.name] = TargetPrompts(*both)
    return Prompted(made, count, cut)


def class_logits(
    pictures: Pictures, classes: Mapping[str, Float[Tensor, "_ e"]], *, ensemble: str, scale: float
) -> Float[Tensor, "b k"]:
    """A logit for each class, told by its prompts: exp(`scale`) times the ensemble's similarity."""
    similarity = choose(ENSEMBLES, ensemble, "ensemble")
    columns = [similarity(pictures, prompts) for prompts in classes.values()]
    return torch.stack(columns, dim=1) * torch.tensor(scale).exp()


def target_scores(
    pictures: Pictures, prompts: TargetPrompts, *, ensemble: str, score: str, scale: float
) -> Float[Tensor, " b"]:
    """How much the pictures speak for a target: "softmax", in (0, 1), over the stating and the denying prompts at the
    backbone's temperature; "difference", in [-2, 2], of the two similarities. Both rank the pictures alike."""
    classes = {"positive": prompts.positive, "negative": prompts.negative}
    if score == "softmax":
        return class_logits(pictures, classes, ensemble=ensemble, scale=scale).softmax(1)[:, 0]
    logits = class_logits(pictures, classes, ensemble=ensemble, scale=0.0)
    return logits[:, 0] - logits[:, 1]

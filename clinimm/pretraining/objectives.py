"""The objectives a config switches on, as one module over the whole batch."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clinimm.choose import choose
from clinimm.errors import ConfigError
from clinimm.pretraining.contrastive import (
    SIMILARITIES,
    clamp_log_scale,
    info_nce,
    semantic_matching,
    sigmoid_matching,
)
from clinimm.pretraining.heads import PairHead, Reconstruction
from clinimm.pretraining.joint import Joint

OBJECTIVES = ("info_nce", "semantic", "sigmoid", "matching", "reconstruction")
READ_THE_SCALE = {"info_nce", "semantic", "sigmoid"}
FIRST_BIAS = -10.0  # SigLIP's: almost no pair is a match, and the first steps should not have to learn that


class JointObjectives(nn.Module):
    """The weighted sum of named losses of a Joint, with what they learn: a temperature (as `logit_scale`, the log of
    its inverse), a bias for "sigmoid" and the heads of "matching" and "reconstruction".

    Whatever the surrounding precision, everything here is float32. An objective of weight 0 is off: it has no
    parameters, and a temperature that no objective reads does not learn, so that no process waits for its gradient.
    With none on, as where only masked words are learned, the total is 0.
    Raises ConfigError that lists every weight that is not known or not usable."""

    def __init__(
        self,
        width: int,
        weights: Mapping[str, float],
        *,
        temperature: float = 0.07,
        similarity: str = "dot",
        target_temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.weights = _switched_on(weights)
        choose(SIMILARITIES, similarity, "similarity")
        self.similarity, self.target_temperature = similarity, target_temperature
        learns = bool(READ_THE_SCALE & set(self.weights))
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)), requires_grad=learns)
        self.logit_bias = nn.Parameter(torch.tensor(FIRST_BIAS)) if "sigmoid" in self.weights else None
        self.pair_head = PairHead(width) if "matching" in self.weights else None
        self.reconstruction = Reconstruction(width) if "reconstruction" in self.weights else None

    def forward(self, joint: Joint, generator: torch.Generator) -> dict[str, Tensor]:
        """Each loss that is on, by its name and not weighted; "total", their weighted sum; and detached figures: the
        "scale" similarities were multiplied by, and "semantic_kl", what of "semantic" is not its targets' entropy.

        `generator` draws the hard negatives of "matching"; processes that share the batch must share its state."""
        with torch.autocast(joint.image.device.type, enabled=False):
            return self._figures(joint.cleared(), generator)

    def _figures(self, joint: Joint, generator: torch.Generator) -> dict[str, Tensor]:
        scale = self.logit_scale.exp()
        logits = scale * joint.image @ joint.text.T
        counted = joint.strangers | joint.matches
        losses, figures = {}, {"scale": scale.detach()}
        if "info_nce" in self.weights:
            losses["info_nce"] = info_nce(logits, joint.paired, ~counted)
        if "semantic" in self.weights:
            losses["semantic"], figures["semantic_kl"] = self._semantic(joint, logits)
        if self.logit_bias is not None:
            losses["sigmoid"] = sigmoid_matching(logits + self.logit_bias, joint.matches, counted)
        if self.pair_head is not None:
            losses["matching"] = self.pair_head.loss(joint, logits, generator)
        if self.reconstruction is not None:
            losses["reconstruction"] = self.reconstruction.loss(joint)
        total = sum((self.weights[name] * loss for name, loss in losses.items()), start=torch.zeros_like(scale))
        return {**losses, "total": total, **figures}

    def _semantic(self, joint: Joint, logits: Tensor) -> tuple[Tensor, Tensor]:
        loss, divergence = semantic_matching(
            logits,
            joint.image_labels,
            joint.text_labels,
            joint.image_known & joint.has_image,
            joint.text_known & joint.has_text,
            similarity=self.similarity,
            target_temperature=self.target_temperature,
        )
        return loss, divergence.detach()

    def clamp(self) -> None:
        """Keeps the temperature in bounds, in place; to be called after every step of the optimizer."""
        clamp_log_scale(self.logit_scale)


def _switched_on(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights above 0. Raises ConfigError that lists every fault."""
    faults = [f"{name!r} is not known" for name in weights if name not in OBJECTIVES]
    faults += [f"{name} = {weight} is no weight" for name, weight in weights.items() if not 0 <= weight < math.inf]
    if faults:
        known = ", ".join(OBJECTIVES)
        raise ConfigError("; ".join(faults), where="objectives", mend=f"give finite weights >= 0 for {known}")
    return {name: float(weight) for name, weight in weights.items() if weight > 0}

"""How far a pretrained tower is trained with a diagnosis model: not at all, by low-rank updates, in part, or whole."""

import re
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from clinimm.errors import ConfigError
from clinimm.models.towers.base import Tower

Mode = Literal["frozen", "lora", "last_n", "full"]

_ATTENTION = frozenset({"query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "qkv"})
"""What nets call the projections to queries and values, packed ones included."""


@dataclass(frozen=True)
class Adaptation:
    """`last_n` blocks are trained in mode "last_n"; the rest is LoRA's: updates of `rank`, scaled by `alpha` / `rank`,
    of the `targets`: "attention", the projections to queries and values, or in a net without any its convolutions;
    "all", every linear layer and convolution."""

    mode: Mode = "full"
    last_n: int = 1
    rank: int = 4
    alpha: float = 8.0
    dropout: float = 0.0
    targets: Literal["attention", "all"] = "attention"


class Adapted:
    """A tower of which only the chosen part is trained; what is not stays bit for bit, batch statistics included.

    The tower's projection to the shared space takes no part in a diagnosis and is left as it is."""

    def __init__(self, tower: Tower, adaptation: Adaptation) -> None:
        self.tower, self.mode = tower, adaptation.mode
        blocks = tower.blocks()
        self.learning = {"full": blocks, "last_n": blocks[-adaptation.last_n :]}.get(adaptation.mode, [])

    def settle(self, training: bool) -> None:
        """Puts what is trained into training (or evaluation) mode and keeps the rest, its dropout and norms, in
        evaluation mode."""
        self.tower.eval()
        for block in self.learning:
            block.train(training)
        if self.mode == "lora":
            for name, module in self.tower.named_modules():
                if "lora_" in name:
                    module.train(training)

    def depths(self) -> dict[nn.Parameter, int]:
        """Each trained parameter, and how many blocks stand above its own."""
        blocks = self.tower.blocks()
        return {
            weight: len(blocks) - 1 - i
            for i, block in enumerate(blocks)
            for weight in block.parameters()
            if weight.requires_grad
        }

    def fixed(self) -> frozenset[str]:
        """Names in the tower's state of what training leaves as it was."""
        learned: list[Tensor] = [weight for weight in self.tower.parameters() if weight.requires_grad]
        learned += [buffer for block in self.learning for buffer in block.buffers()]
        kept = {id(tensor) for tensor in learned}
        state = self.tower.state_dict(keep_vars=True)
        return frozenset(name for name, tensor in state.items() if id(tensor) not in kept)


def adapt(tower: Tower, adaptation: Adaptation) -> Adapted:
    """`tower` itself, made ready in place. Raises ConfigError, before anything is changed, if `misfit` finds one."""
    if fault := misfit(tower, adaptation):
        raise ConfigError(fault, where=f"backbone, mode {adaptation.mode}")
    if adaptation.mode == "lora":
        _inject(tower, adaptation)
    adapted = Adapted(tower, adaptation)
    learned = {weight for block in adapted.learning for weight in block.parameters()}
    for name, weight in tower.named_parameters():
        weight.requires_grad_(weight in learned or ".lora_" in name)
    adapted.settle(tower.training)
    return adapted


def misfit(tower: Tower, adaptation: Adaptation) -> str:
    """Why the tower cannot be adapted so; empty if it can."""
    if adaptation.mode == "last_n" and adaptation.last_n > (n := len(tower.blocks())):
        return f"last_n is {adaptation.last_n}, but the tower has {n} blocks"
    if adaptation.mode == "lora" and not lora_targets(tower, adaptation.targets):
        return f"the tower has no layer that LoRA could update (targets = {adaptation.targets!r})"
    return ""


def lora_targets(tower: Tower, targets: Literal["attention", "all"]) -> list[str]:
    """Names of the layers that LoRA updates; empty where it can reach none.

    Layers inside nn.MultiheadAttention are never among them: it reads their weights past any update."""
    inside = {module for block in tower.blocks() for module in block.modules()}
    packed = {
        module for outer in inside if isinstance(outer, nn.MultiheadAttention) for module in outer.modules()
    }  # fmt: skip
    reachable = inside - packed
    open_to_it = {
        name: module
        for name, module in tower.named_modules()
        if module in reachable and (isinstance(module, nn.Linear) or _plain_convolution(module))
    }
    if targets == "all":
        return list(open_to_it)
    attention = [name for name in open_to_it if name.rpartition(".")[2] in _ATTENTION]
    if attention or packed:
        return attention
    return [name for name, module in open_to_it.items() if _plain_convolution(module)]


def _plain_convolution(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Conv3d) and module.groups == 1


def _inject(tower: Tower, adaptation: Adaptation) -> None:
    from peft import LoraConfig, inject_adapter_in_model  # takes seconds to import, so only where it is asked for

    names = "|".join(re.escape(name) for name in lora_targets(tower, adaptation.targets))
    updates = LoraConfig(
        r=adaptation.rank, lora_alpha=adaptation.alpha, lora_dropout=adaptation.dropout, target_modules=f"(?:{names})"
    )
    inject_adapter_in_model(updates, tower)

"""The optimizer and its learning rate over a run."""

import math

from torch import nn
from torch.optim import AdamW


def build_optimizer(module: nn.Module, lr: float, weight_decay: float) -> AdamW:
    """AdamW (Loshchilov and Hutter 2019); biases, norms and other vectors are not decayed."""
    learned = [weight for weight in module.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in learned if w.ndim > 1], "weight_decay": weight_decay},
        {"params": [w for w in learned if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=lr)


def rate_at(step: int, steps: int, lr: float, warmup: float) -> float:
    """Learning rate: a linear rise over the first `warmup` share of the steps, then half a cosine down to lr / 100."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return lr * (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

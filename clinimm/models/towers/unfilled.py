"""Nets whose weights are loaded next need no random ones first: for BERT-base, those take three seconds."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset({
    "normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_",
})  # fmt: skip
"""Names of functions that fill a tensor at random, in torch and in transformers."""


class Unfilled(TorchFunctionMode):
    """A context in which nets are built with zeros in the place of random initial weights. Only for nets whose whole
    state is loaded after it; what they compute when built (positions, statistics of pixels) is as ever.

    Zeros, not whatever the memory held: a truncated normal is drawn again until all of it lies within bounds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if getattr(func, "__name__", "") in _DRAWS:
            tensor = args[0] if args else given["tensor"]
            with torch.no_grad():
                return tensor.zero_()
        return func(*args, **given)

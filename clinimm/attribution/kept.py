"""What a model would answer if only some units of one input were there, and the rest of it were at its baseline."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clinimm.attribution.network import Explainable
from clinimm.attribution.question import Question, ask
from clinimm.attribution.units import Units, units_of
from clinimm.batch import Batch, Tokens
from clinimm.types import Kind

ROWS = 32
PIXELS = 2**22  # in memory at a time: no gradient is kept

Member = tuple[Explainable, Float[Tensor, " k"]]
"""A net and its part in the logit of each target."""


class Kept:
    """One case before the members of a committee, which answer as their weighted mean. Every other input is encoded
    once, each set of units is asked about once and for all targets, and at most `rows` rows are in memory at a time.
    `passes` counts the rows through the encoders of the input that is cut, over all members."""

    def __init__(self, members: Sequence[Member], batch: Batch, *, rows: int = ROWS) -> None:
        self.units = units_of(members[0][0], batch)
        self.passes = 0
        self._asked = [_Asked(ask(network, batch, 0), part) for network, part in members if bool((part > 0).any())]
        largest = max(part.values[0].numel() for part in batch.modalities.values())
        self._rows = max(1, min(rows, PIXELS // largest))
        self._known: dict[tuple[str, bytes], Float[np.ndarray, " k"]] = {}

    def logits(self, name: str, kept: Bool[np.ndarray, "r u"]) -> Float[np.ndarray, "r k"]:
        """The logits of every target, for each row of units to be kept of the input `name`."""
        keys = [(name, row.tobytes()) for row in kept]
        new = {key: row for key, row in zip(keys, kept, strict=True) if key not in self._known}
        if new:
            answers = self._ask(self.units[name], np.stack(list(new.values())))
            self._known.update(zip(new, answers, strict=True))
            self.passes += len(new) * len(self._asked)
        return np.stack([self._known[key] for key in keys])

    def whole(self, name: str) -> Float[np.ndarray, " k"]:
        """The logits of the case as it is."""
        return self.logits(name, np.ones((1, self.units[name].count), dtype=bool))[0]

    @torch.no_grad()
    def _ask(self, units: Units, kept: Bool[np.ndarray, "r u"]) -> Float[np.ndarray, "r k"]:
        parts = [units.places(kept[start : start + self._rows]) for start in range(0, len(kept), self._rows)]
        return np.concatenate([sum(one.logits(units.name, part) for one in self._asked) for part in parts])


class _Asked:
    """One member, with the tokens of the case as it is."""

    def __init__(self, question: Question, part: Float[Tensor, " k"]) -> None:
        self.question, self.part = question, part
        with torch.no_grad():
            self.tokens = question.tokens(*(question.embedded[name] for name in question.used))

    def logits(self, name: str, places: Bool[Tensor, "r ..."]) -> Float[np.ndarray, "r k"]:
        question, rows = self.question, len(places)
        here = places.to(question.present.device)
        kinds = {modality.name: modality.kind for modality in question.network.modalities}
        here = here[..., None] if kinds[name] is Kind.TEXT else here
        varied = torch.where(here, question.embedded[name], question.baseline[name])
        mask = question.masks[name]
        every = torch.ones(rows, dtype=torch.bool, device=here.device)
        own = question.network.encode_one(name, varied, None if mask is None else mask.expand(rows, -1), every)
        tokens = {key: own if key == name else _repeated(one, rows) for key, one in self.tokens.items()}
        answers = question.answers(tokens, question.present.expand(rows, -1))
        return (answers * self.part).double().cpu().numpy()


def _repeated(tokens: Tokens, rows: int) -> Tokens:
    return Tokens(tokens.values.expand(rows, -1, -1), tokens.mask.expand(rows, -1))

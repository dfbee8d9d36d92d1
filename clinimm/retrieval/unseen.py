"""Whom a model is judged on: patients that it has not seen, or else the figures say of whom they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from clinimm.errors import ClinimmError


@dataclass(frozen=True)
class Chosen:
    """The rows of the cases that are judged. Of patients that the model has seen, `left_out` cases are not judged, and
    `seen` are; both are None where it is not known whom it has seen."""

    rows: Int[np.ndarray, " r"]
    left_out: int | None = None
    seen: int | None = None

    def sentence(self) -> str:
        """What a reader of the figures must know of it."""
        if self.seen is None:
            return "It is not known which patients the model has seen: if these are among them, the figures flatter."
        if self.seen:
            judged = f"{self.seen} of {len(self.rows)} cases are of patients that the model has seen"
            return f"{judged}: the figures do not say how it does on new ones."
        if self.left_out:
            return f"{self.left_out} cases of patients that the model has seen were left out; --seen judges them, too."
        return "As far as is known, the model has seen none of these patients."

    def record(self) -> dict[str, int | None]:
        """The counts as JSON types."""
        return {"left_out": self.left_out, "judged": self.seen}


def choose_cases(known: Sequence[bool] | None, cases: int, *, seen: bool = False) -> Chosen:
    """The cases to judge on: those whose patient is not `known` to the model, with `seen` all of them, and all where
    that is not known. Raises ClinimmError if nobody is left."""
    if known is None:
        return Chosen(np.arange(cases))
    familiar = np.asarray(known, dtype=bool)
    if seen:
        return Chosen(np.arange(cases), 0, int(familiar.sum()))
    if familiar.all():
        raise ClinimmError(
            "the model has seen every patient here, so nobody is left to judge it on",
            mend="give other patients, or judge it on these all the same with --seen",
        )
    return Chosen(np.flatnonzero(~familiar), int(familiar.sum()), 0)

"""Does a search bring cases with the same findings? Precision at k by what a reader of findings says of the notes.

q queries, n gallery items, o observations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from clinimm.findings.observations import NO_FINDING, SUPPORT_DEVICES
from clinimm.findings.reader import YES, FindingReader

NOT_FINDINGS = (NO_FINDING, SUPPORT_DEVICES)


def stated_findings(reader: FindingReader, texts: Sequence[str]) -> Bool[np.ndarray, "n o"]:
    """Which findings each text states. Devices and the absence of findings are not findings."""
    names = [name for name in reader.observations if name not in NOT_FINDINGS]
    read = [reader.read_note(text) for text in texts]
    return np.array([[said.get(name) == YES for name in names] for said in read]).reshape(len(texts), len(names))


@dataclass(frozen=True)
class Relevance:
    """`allowed`: the item may be shown to the query, being of another patient. `relevant`: it shares what is asked."""

    allowed: Bool[np.ndarray, "q n"]
    relevant: Bool[np.ndarray, "q n"]

    @property
    def chance(self) -> Float[np.ndarray, " q"]:
        """The expected precision of a random order: the share of the allowed items that are relevant."""
        return (self.allowed & self.relevant).sum(1) / self.allowed.sum(1)


def sharing(
    queries: Bool[np.ndarray, "q o"],
    gallery: Bool[np.ndarray, "n o"],
    query_patients: Sequence[str],
    gallery_patients: Sequence[str],
    *,
    same: bool = False,
) -> Relevance:
    """An item is relevant that states a finding of the query's, or with `same` just the findings of the query's."""
    allowed = np.asarray(query_patients)[:, None] != np.asarray(gallery_patients)[None]
    shared = queries.astype(int) @ gallery.astype(int).T
    if same:
        return Relevance(allowed, (shared == queries.sum(1)[:, None]) & (shared == gallery.sum(1)[None]))
    return Relevance(allowed, shared > 0)


def precision_at(
    similarity: Float[np.ndarray, "q n"], asked: Relevance, k: int, seed: int = 0
) -> Float[np.ndarray, " q"]:
    """The share of relevant items among the k most similar allowed ones, or all of them where there are fewer.

    Equal similarities come in a random order, the same for the same seed."""
    chosen_by_lot = np.random.default_rng(seed).random(similarity.shape)
    first = np.lexsort((chosen_by_lot, -np.where(asked.allowed, similarity, -np.inf)), axis=1)[:, :k]
    shown = np.take_along_axis(asked.allowed, first, axis=1)
    return (np.take_along_axis(asked.relevant, first, axis=1) & shown).sum(1) / shown.sum(1)

"""An index judged by itself: does a picture find the text of its case, and a text its picture?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from clinimm.errors import ClinimmError
from clinimm.evaluation.grid import Grid, figure
from clinimm.retrieval.index import IMAGE, TEXT, Index
from clinimm.retrieval.ranking import DEPTHS, Ranked, judge, ranks
from clinimm.retrieval.unseen import Chosen, choose_cases
from clinimm.types import rounded

DIRECTIONS = ((IMAGE, TEXT), (TEXT, IMAGE))
_HEADINGS = {**{f"recall@{k}": f"R@{k}" for k in DEPTHS}, "mrr": "MRR", "median_rank": "median rank"}
NOTE = (
    "Other items of the query's patient are left out of the ranking; the same text twice of one patient counts as one "
    "right answer. Equal similarities count against the query; 95 % intervals by drawing patients."
)


@dataclass(frozen=True)
class JudgedPairs:
    """Both directions, and whom they were judged on."""

    directions: Mapping[tuple[str, str], Ranked]
    chosen: Chosen


def judge_pairs(index: Index, *, resamples: int = 1000, seed: int = 0, seen: bool = False) -> JudgedPairs:
    """Both directions over the cases that have a picture and a text. Those of patients that the model has seen neither
    ask nor are asked for, unless `seen`. Raises ClinimmError if there are none."""
    pictures, texts = pair_rows(index)
    known = None if index.seen is None else [index.seen[row] for row in pictures]
    chosen = choose_cases(known, len(pictures), seen=seen)
    pictures, texts = pictures[chosen.rows], texts[chosen.rows]
    contents = np.asarray(index.contents)[texts]
    patient_ids = [index.patient_ids[row] for row in pictures]
    patients = np.unique(patient_ids, return_inverse=True)[1]
    rows = {IMAGE: pictures, TEXT: texts}
    directions = {
        (asked, wanted): judge(
            ranks(
                index.vectors[rows[asked]],
                index.vectors[rows[wanted]],
                query_groups=contents,
                gallery_groups=contents,
                query_patients=patients,
                gallery_patients=patients,
            ),
            patient_ids,
            resamples=resamples,
            seed=seed,
        )
        for asked, wanted in DIRECTIONS
    }
    return JudgedPairs(directions, chosen)


def pair_rows(index: Index) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """The rows of the picture and of the text of each case that has both. Raises ClinimmError if none has."""
    texts = {index.case_ids[row]: row for row in index.rows(TEXT)}
    pairs = [(row, texts[case]) for row in index.rows(IMAGE) if (case := index.case_ids[row]) in texts]
    if not pairs:
        raise ClinimmError(
            "no case has both a picture and a text", where="--evaluate", mend="make the index with a backbone"
        )
    both = np.asarray(pairs)
    return both[:, 0], both[:, 1]


def record(found: JudgedPairs) -> dict[str, Any]:
    """The same as JSON types: by direction, and how many cases of "seen_patients" were left out and judged."""
    directions = {
        f"{asked}_to_{wanted}": {
            "queries": one.queries,
            "patients": one.patients,
            "figures": {name: estimate.record() for name, estimate in one.figures.items()},
            "chance": {name: rounded(value) for name, value in one.chance.items()},
        }
        for (asked, wanted), one in found.directions.items()
    }
    return directions | {"seen_patients": found.chosen.record()}


def pairs_grid(found: JudgedPairs) -> Grid:
    """Both directions, each beside chance; under them, whom they were judged on."""
    rows: list[Sequence[str]] = []
    for (asked, wanted), one in found.directions.items():
        rows.append((f"{asked} to {wanted}", str(one.queries), *(figure(one.figures[name]) for name in _HEADINGS)))
        rows.append(("  chance", "", *(f"{one.chance[name]:.3f}" for name in _HEADINGS)))
    patients = next(iter(found.directions.values())).patients
    columns = ("direction", "queries", *_HEADINGS.values())
    notes = (NOTE, found.chosen.sentence())
    return Grid(f"Retrieval over pairs of {patients} patients", columns, tuple(map(tuple, rows)), notes)

"""Does a backbone find what belongs together, in patients it has not seen? Against chance, and for text against TF-IDF.

    python benchmarks/retrieval.py --data DIR --backbone DIR --config configs/pretrain_cxr.toml --fold 4 [--json FILE]

Pairs: does a film find the note of its case, and a note its film? Findings: of the five notes of other patients that
are nearest to a note (or to a film), how many state a finding of the query's, and how many just its findings, as the
rules for findings read them. TF-IDF of words and pairs of words is fitted on the notes of the other folds; chance is
exact. Of a patient's equal notes one stands in the gallery. Intervals: 95 %, by drawing patients."""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}

import numpy as np
from rich.console import Console
from sklearn.feature_extraction.text import TfidfVectorizer

from clinimm.backbone import directory
from clinimm.bootstrap import Estimate, paired_bootstrap_difference, patient_bootstrap
from clinimm.config import PretrainConfig, load_as
from clinimm.data.pairs import TEXT, picture_door, read_pairs, source_of
from clinimm.evaluation.grid import Grid, figure, signed_figure
from clinimm.findings.reader import FindingReader
from clinimm.io.sandbox import Sandbox
from clinimm.pseudonyms import known
from clinimm.retrieval.embed import embed_pairs
from clinimm.retrieval.findings import precision_at, sharing, stated_findings
from clinimm.retrieval.index import Index
from clinimm.retrieval.pairs import judge_pairs, pairs_grid, record
from clinimm.retrieval.ranking import mean_of
from clinimm.types import Case, Note, rounded

DEPTH, RESAMPLES = 5, 1000
ASKED = {"a finding of the query's": False, "just the query's findings": True}


@dataclass(frozen=True)
class Searched:
    """Precision at 5 of one kind of query by each method, and what chance gets."""

    task: str
    queries: int
    patients: int
    precision: Mapping[str, Estimate]
    over_tfidf: Estimate | None
    chance: float

    def record(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "queries": self.queries,
            "patients": self.patients,
            "precision": {name: estimate.record() for name, estimate in self.precision.items()},
            "backbone_over_tfidf": self.over_tfidf.record() if self.over_tfidf else None,
            "chance": rounded(self.chance),
        }


def note_of(case: Case) -> str:
    note = case.inputs.get(TEXT)
    return note.text if isinstance(note, Note) else ""


@dataclass(frozen=True)
class Notes:
    """The notes of a fold, one row for each case that has one; `first` are the rows of a patient's different notes."""

    index: Index
    rows: np.ndarray
    findings: np.ndarray
    tfidf: np.ndarray

    @property
    def first(self) -> np.ndarray:
        return np.flatnonzero(np.asarray(self.index.contents)[self.rows] == self.rows)

    def patients(self, chosen: np.ndarray) -> list[str]:
        return [self.index.patient_ids[row] for row in self.rows[chosen]]


def read_notes(index: Index, cases: Sequence[Case], training: Sequence[str], reader: FindingReader) -> Notes:
    rows, texts = index.rows(TEXT), {case.case_id: note_of(case) for case in cases}
    told = [texts[index.case_ids[row]] for row in rows]
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2).fit(training)
    return Notes(index, rows, stated_findings(reader, told), vectorizer.transform(told).toarray())


def note_to_note(notes: Notes, same: bool, words: str) -> Searched:
    """Each different note with a finding asks for others."""
    gallery = notes.first
    asking = gallery[notes.findings[gallery].any(1)]
    vectors = notes.index.vectors[notes.rows]
    similarity = {
        "backbone": vectors[asking] @ vectors[gallery].T,
        "TF-IDF": notes.tfidf[asking] @ notes.tfidf[gallery].T,
    }
    return searched(f"note to note: {words}", notes, asking, gallery, similarity, same)


def film_to_note(notes: Notes, same: bool, words: str) -> Searched:
    """Each film whose own note has a finding asks for notes of others."""
    index = notes.index
    place = {index.case_ids[row]: i for i, row in enumerate(notes.rows)}
    films = [(row, place[case]) for row in index.rows("image") if (case := index.case_ids[row]) in place]
    asking = [(row, note) for row, note in films if notes.findings[note].any()]
    vectors = index.vectors[[row for row, _ in asking]]
    similarity = {"backbone": vectors @ index.vectors[notes.rows[notes.first]].T}
    own = np.array([note for _, note in asking])
    return searched(f"film to note: {words}", notes, own, notes.first, similarity, same)


def searched(
    task: str,
    notes: Notes,
    asking: np.ndarray,
    gallery: np.ndarray,
    similarity: Mapping[str, np.ndarray],
    same: bool,
) -> Searched:
    patients = notes.patients(asking)
    asked = sharing(notes.findings[asking], notes.findings[gallery], patients, notes.patients(gallery), same=same)
    means = {name: mean_of(precision_at(values, asked, DEPTH)) for name, values in similarity.items()}
    return Searched(
        task=task,
        queries=len(asking),
        patients=len(set(patients)),
        precision=patient_bootstrap(means, patients, resamples=RESAMPLES, seed=0),
        over_tfidf=paired_bootstrap_difference(
            means["backbone"], means["TF-IDF"], patients, resamples=RESAMPLES, seed=0
        )
        if "TF-IDF" in means
        else None,
        chance=float(asked.chance.mean()),
    )


def findings_grid(found: Sequence[Searched]) -> Grid:
    rows = tuple(
        (
            one.task,
            str(one.queries),
            str(one.patients),
            figure(one.precision["backbone"]),
            figure(one.precision["TF-IDF"]) if "TF-IDF" in one.precision else "",
            f"{one.chance:.3f}",
            signed_figure(one.over_tfidf) if one.over_tfidf else "",
        )
        for one in found
    )
    columns = ("wanted", "queries", "patients", "backbone", "TF-IDF", "chance", "backbone - TF-IDF")
    note = f"Precision at {DEPTH} among notes of other patients; findings as the rules read them."
    return Grid("Do the nearest notes state the same findings?", columns, rows, (note,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/pretrain_cxr.toml"))
    parser.add_argument("--fold", default="4")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    config = load_as(PretrainConfig, given.config)
    source, manifest = source_of(config), given.data / config.data.manifest
    cases = read_pairs(source, manifest, given.data, [given.fold])
    held_out = {case.case_id for case in cases}
    others = [case for case in read_pairs(source, manifest, given.data) if case.case_id not in held_out]
    backbone = directory.load(given.backbone)
    if seen := sum(known([case.patient_id for case in cases], backbone.seen) or ()):
        parser.error(f"{seen} of fold {given.fold}'s {len(cases)} cases are of patients the backbone was pretrained on")
    with Sandbox() as sandbox:
        size = (backbone.image.size if backbone.image else None) or config.image.size
        index = embed_pairs(backbone, cases, picture_door(config.image, size, sandbox), about={})
    pairs = judge_pairs(index, resamples=RESAMPLES)
    notes = read_notes(index, cases, sorted({note_of(c) for c in others} - {""}), FindingReader(config.findings))
    found = [search(notes, same, words) for search in (note_to_note, film_to_note) for words, same in ASKED.items()]
    console = Console(width=170)
    for grid in (pairs_grid(pairs), findings_grid(found)):
        console.print(grid.rich(), highlight=False)
    console.print(f"fold {given.fold}: {len(cases)} cases; {dict(index.facts)}; backbone {backbone.digest[:12]}")
    if given.json:
        told = {"fold": given.fold, "backbone": backbone.digest, "facts": dict(index.facts), "pairs": record(pairs)}
        given.json.write_text(json.dumps(told | {"findings": [one.record() for one in found]}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Indexes made: of pictures and texts by a backbone, of whole cases by a trained model."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch

from clinimm.backbone.directory import Backbone
from clinimm.backbone.encode import encode_pictures, encode_texts
from clinimm.data.pairs import TEXT as TEXT_INPUT
from clinimm.data.pairs import Looked, look
from clinimm.data.picture_door import PictureDoor
from clinimm.errors import ClinimmError
from clinimm.inference import Predictor
from clinimm.pseudonyms import known
from clinimm.retrieval.index import CASE, IMAGE, TEXT, Index
from clinimm.types import Case, Note


class _Items:
    """Vectors as they come in, each with whose it is."""

    def __init__(self) -> None:
        self.case_ids: list[str] = []
        self.patient_ids: list[str] = []
        self.kinds: list[str] = []
        self.contents: list[int] = []
        self.vectors: list[np.ndarray] = []
        self._first: dict[tuple[str, str], int] = {}

    def add(self, case: Case, kind: str, vector: np.ndarray, text: str | None = None) -> None:
        row = len(self.case_ids)
        self.case_ids.append(case.case_id)
        self.patient_ids.append(case.patient_id)
        self.kinds.append(kind)
        self.contents.append(row if text is None else self._first.setdefault((case.patient_id, text), row))
        self.vectors.append(vector)

    def index(self, model: str, about: dict[str, Any], facts: dict[str, Any], seen: Collection[str]) -> Index:
        """`seen` are hashes of the patients the model has seen. Raises ClinimmError if nothing came in."""
        if not self.vectors:
            raise ClinimmError("nothing could be embedded", where="index", mend="see what `clinimm data check` says")
        return Index(
            model,
            tuple(self.case_ids),
            tuple(self.patient_ids),
            tuple(self.kinds),
            tuple(self.contents),
            np.stack(self.vectors).astype(np.float32),
            about,
            facts,
            known(self.patient_ids, seen),
        )


def embed_pairs(
    backbone: Backbone,
    cases: Sequence[Case],
    door: PictureDoor | None,
    *,
    about: dict[str, Any],
    workers: int = 1,
    on_done: Callable[[int], None] = lambda _: None,
) -> Index:
    """The pictures (where there is a `door`) and texts that the backbone has towers for, block by block. A picture that
    cannot be read is counted in `facts` by its code, and so are texts that were longer than the tower."""
    items, refused, cut = _Items(), Counter[str](), Counter[str]()
    blocks = look(cases, door, workers=workers, on_done=on_done) if door and backbone.image else [_unlooked(cases)]
    for block in blocks:
        refused.update(seen for _, seen in block if isinstance(seen, str))
        _add_pictures(items, backbone, block)
        cut += _add_texts(items, backbone, [case for case, _ in block])
    facts = {"pictures_refused": dict(refused), "texts_cut": cut["texts"], "pieces_cut": cut["pieces"]}
    return items.index(backbone.digest, about, facts, backbone.seen)


def embed_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    *,
    about: dict[str, Any],
    seen: Collection[str],
    on_done: Callable[[int], None] = lambda _: None,
) -> Index:
    """Where the model puts each case; those that it abstains from are counted in `facts` by the reason. `seen` are
    hashes of the patients that it was trained or calibrated on."""
    items, silent = _Items(), Counter[str]()
    for done, case in enumerate(cases, 1):
        answer = predictor.answer(case)
        if answer.point is None:
            silent[answer.prediction.abstained or "no_direction"] += 1
        else:
            items.add(case, CASE, answer.point)
        on_done(done)
    return items.index(predictor.digest, about, {"abstained": dict(silent)}, seen)


def _add_pictures(items: _Items, backbone: Backbone, block: Sequence[tuple[Case, Looked]]) -> None:
    seen = [(case, pixels) for case, pixels in block if isinstance(pixels, torch.Tensor)]
    if seen:
        vectors = encode_pictures(backbone, torch.stack([pixels for _, pixels in seen])).cpu().numpy()
        for (case, _), vector in zip(seen, vectors, strict=True):
            items.add(case, IMAGE, vector)


def _add_texts(items: _Items, backbone: Backbone, cases: Sequence[Case]) -> Counter[str]:
    """How many texts were cut, and by how many pieces in all."""
    noted = [(case, note.text) for case in cases if isinstance(note := case.inputs.get(TEXT_INPUT), Note)]
    if not noted or backbone.text is None:
        return Counter()
    vectors, lost = encode_texts(backbone, [text for _, text in noted])
    for (case, text), vector in zip(noted, vectors.cpu().numpy(), strict=True):
        items.add(case, TEXT, vector, text)
    return Counter(texts=sum(map(bool, lost)), pieces=sum(lost))


def _unlooked(cases: Sequence[Case]) -> list[tuple[Case, Looked]]:
    return [(case, None) for case in cases]

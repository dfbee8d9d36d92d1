"""A cohort as tensors to pretrain from: pictures, texts cut to sentences, and what findings each speaks of."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor

from clinimm.backbone.encode import tokenize
from clinimm.data.pairs import look
from clinimm.data.picture_door import PictureDoor
from clinimm.findings.reader import FindingReader, labels
from clinimm.findings.sentences import sentences
from clinimm.types import Case, Note

NONE = -1  # where a case has no picture, text or sentence


@dataclass(frozen=True)
class Pictures:
    """Pixels in [0, 1] of the cases whose picture could be read, whose row each case has, and why others have none."""

    pixels: Float[Tensor, "p 1 ..."]
    row: Int[Tensor, " c"]
    refused: Mapping[str, int]


def read_pictures(
    cases: Sequence[Case], door: PictureDoor, *, workers: int = 1, on_done: Callable[[int], None] = lambda _: None
) -> Pictures:
    """The pictures of the cases; one that cannot be read is counted by its code, and its case has none. `on_done` hears
    how many cases were looked at."""
    found = [seen for block in look(cases, door, workers=workers, on_done=on_done) for _, seen in block]
    there = torch.tensor([isinstance(one, Tensor) for one in found], dtype=torch.bool)
    pixels = [one for one in found if isinstance(one, Tensor)]
    return Pictures(
        pixels=torch.stack(pixels) if pixels else torch.zeros(0, *door.modality.shape),
        row=torch.where(there, there.long().cumsum(0) - 1, NONE),
        refused=dict(Counter(one for one in found if isinstance(one, str))),
    )


class Texts(NamedTuple):
    """Texts of all sorts as word pieces, one a row: whole ones, then all sentences, then prompts."""

    ids: Int[Tensor, "t n"]
    mask: Bool[Tensor, "t n"]
    labels: Float[Tensor, "t k"]
    """Findings: 1 seen, -1 ruled out, 0 uncertain or not spoken of; all 0 where the reader found nothing."""
    patients: Int[Tensor, " t"]
    """Whose text it is; NONE for prompts."""


@dataclass(frozen=True)
class Corpus:
    """c cases, t texts, k observations. Row c of `picture` and `whole` says where the case's picture and text are, or
    NONE; `sentences` and `prompts` are ranges (first, past the last) of rows of `texts`."""

    pixels: Float[Tensor, "p 1 ..."]
    texts: Texts
    picture: Int[Tensor, " c"]
    whole: Int[Tensor, " c"]
    sentences: Int[Tensor, "c 2"]
    prompts: Int[Tensor, "k 2"]
    labels: Float[Tensor, "c k"]
    """What is known of the picture."""
    patients: Int[Tensor, " c"]
    facts: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.picture)

    @property
    def every_sentence(self) -> tuple[int, int]:
        """The range of all texts' sentences."""
        return (int(self.sentences[0, 0]), int(self.sentences[-1, 1])) if len(self) else (0, 0)


@dataclass(frozen=True)
class Language:
    """How texts are read: into which word pieces, at most `length`, and for which findings. `prompts` are sentences
    that state an observation, by the observation."""

    tokenizer: Tokenizer
    length: int
    reader: FindingReader
    observations: tuple[str, ...]
    prompts: Mapping[str, tuple[str, ...]]

    def labels(self, found: Mapping[str, int]) -> tuple[int, ...]:
        return labels(found, self.observations)

    def stated(self, observation: str) -> tuple[int, ...]:
        """The labels of a text that states one observation."""
        return self.labels({observation: 1})


def build_corpus(cases: Sequence[Case], pictures: Pictures, text: str, language: Language) -> Corpus:
    """The cases that have a picture or the text named `text`, as tensors; those with neither are counted in `facts`.

    A picture's labels are those of its own text, or what the case's targets say: they go before. `facts` are counts:
    cases, patients, pictures, texts, pairs, sentences, what was left out, and what the texts lost to `length`."""
    given = [found.text if isinstance(found := case.inputs.get(text), Note) else "" for case in cases]
    kept = [i for i, words in enumerate(given) if words or int(pictures.row[i]) != NONE]
    written = [given[i] for i in kept]
    has_text = torch.tensor([bool(words) for words in written], dtype=torch.bool)
    patients = _numbered([cases[i].patient_id for i in kept])
    parts = [sentences(words) for words in written]
    counts = torch.tensor([len(part) for part in parts], dtype=torch.long)
    prompts = [language.prompts.get(name, ()) for name in language.observations]
    prompted = torch.tensor([len(lines) for lines in prompts], dtype=torch.long)
    texts, cut = _texts([words for words in written if words], parts, prompts, language)
    owners = torch.cat([patients[has_text], patients.repeat_interleave(counts)])
    texts.patients[: len(owners)] = owners
    whole = torch.where(has_text, has_text.long().cumsum(0) - 1, NONE)
    corpus = Corpus(
        pixels=pictures.pixels,
        texts=texts,
        picture=pictures.row[kept],
        whole=whole,
        sentences=_ranges(counts, int(has_text.sum())),
        prompts=_ranges(prompted, len(owners)),
        labels=_known([cases[i] for i in kept], language.observations, texts.labels, whole),
        patients=patients,
        facts={},
    )
    left_out = {"cases_without_either": len(cases) - len(kept), "pictures_refused": dict(pictures.refused)}
    return replace(corpus, facts=_counts(corpus) | left_out | cut)


def _texts(
    wholes: Sequence[str], parts: Sequence[Sequence[str]], prompts: Sequence[Sequence[str]], language: Language
) -> tuple[Texts, dict[str, int]]:
    """The table of texts, of nobody yet, and how many whole texts were cut and by how many pieces."""
    single = [one for part in parts for one in part]
    said = [language.labels(language.reader.read_note(words)) for words in wholes]
    said += [language.labels(language.reader.read(words)) for words in single]
    said += [language.stated(name) for name, lines in zip(language.observations, prompts, strict=True) for _ in lines]
    rows = [*wholes, *single, *(one for lines in prompts for one in lines)]
    pieces = tokenize(language.tokenizer, rows, language.length)
    texts = Texts(
        ids=pieces.ids,
        mask=pieces.mask,
        labels=torch.tensor(said, dtype=torch.float32).reshape(len(rows), len(language.observations)),
        patients=torch.full((len(rows),), NONE),
    )
    lost = [n for n in pieces.cut[: len(wholes)] if n]
    return texts, {"texts_cut": len(lost), "pieces_cut": sum(lost)}


def _counts(corpus: Corpus) -> dict[str, Any]:
    has_picture, has_text = corpus.picture != NONE, corpus.whole != NONE
    first, past = corpus.every_sentence
    return {
        "cases": len(corpus),
        "patients": len(corpus.patients.unique()),
        "pictures": int(has_picture.sum()),
        "texts": int(has_text.sum()),
        "pairs": int((has_picture & has_text).sum()),
        "sentences": past - first,
        "sentences_with_findings": int(corpus.texts.labels[first:past].any(1).sum()),
        "pictures_with_findings": int((corpus.labels.any(1) & has_picture).sum()),
    }


def _known(
    cases: Sequence[Case], observations: Sequence[str], said: Float[Tensor, "t k"], whole: Int[Tensor, " c"]
) -> Float[Tensor, "c k"]:
    """Labels of each case: what its text says, and over that what its targets know."""
    found = torch.zeros(len(cases), len(observations))
    found[whole != NONE] = said[whole[whole != NONE]]
    for row, case in enumerate(cases):
        for column, name in enumerate(observations):
            if (answer := case.targets.get(name)) is not None:
                found[row, column] = 1.0 if answer else -1.0
    return found


def _numbered(patients: Sequence[str]) -> Int[Tensor, " c"]:
    number = {patient: i for i, patient in enumerate(dict.fromkeys(patients))}
    return torch.tensor([number[patient] for patient in patients], dtype=torch.long)


def _ranges(counts: Int[Tensor, " r"], start: int) -> Int[Tensor, "r 2"]:
    ends = start + counts.cumsum(0)
    return torch.stack([ends - counts, ends], dim=1)

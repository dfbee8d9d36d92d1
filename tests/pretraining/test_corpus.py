"""A cohort as tensors: what is missing or unreadable is counted and trained around, labels are never guessed."""

from pathlib import Path

import pytest
import torch

from clinimm.config import PretrainConfig, parse_as
from clinimm.data.picture_door import PictureDoor
from clinimm.data.split import split_off
from clinimm.data.words import learn_tokenizer
from clinimm.errors import ConfigError
from clinimm.findings.reader import FindingReader
from clinimm.io.sandbox import Sandbox
from clinimm.pretraining.build import read_cases
from clinimm.pretraining.corpus import NONE, Language, Pictures, build_corpus, read_pictures
from clinimm.types import Case, ImageFile, Kind, Modality, Note

NOTES = (
    "There is no pneumothorax. Patchy consolidation on the left.",
    "He sleeps well and likes tea. His daughter visits on Sundays.",
    "Large left pleural effusion.",
)
OBSERVATIONS = ("Consolidation", "Pneumothorax", "Pleural Effusion")
PROMPTS = {"Consolidation": ("patchy consolidation", "airspace consolidation")}


def language(length: int = 24) -> Language:
    return Language(learn_tokenizer(NOTES * 2, 200), length, FindingReader(), OBSERVATIONS, PROMPTS)


def case(number: int, text: str | None, patient: int | None = None, **targets: bool | None) -> Case:
    inputs = {} if text is None else {"text": Note(text)}
    return Case(f"c{number}", f"p{number if patient is None else patient}", inputs, targets)


def pictures(*rows: int) -> Pictures:
    return Pictures(torch.rand(3, 1, 8, 8), torch.tensor(rows), {})


def test_rows_with_neither_are_dropped_and_the_rest_stand_in_their_order() -> None:
    cases = [case(0, NOTES[0]), case(1, None), case(2, None), case(3, NOTES[2], 0)]
    corpus = build_corpus(cases, pictures(0, NONE, 1, NONE), "text", language())
    assert corpus.picture.tolist() == [0, 1, NONE]
    assert corpus.whole.tolist() == [0, NONE, 1]
    assert corpus.patients.tolist() == [0, 1, 0]
    assert corpus.facts["cases_without_either"] == 1
    assert corpus.facts["pairs"] == 1


def test_sentences_and_prompts_are_ranges_of_the_table_with_their_own_labels() -> None:
    corpus = build_corpus([case(0, NOTES[0]), case(1, NOTES[2])], pictures(NONE, 0), "text", language())
    assert corpus.sentences.tolist() == [[2, 4], [4, 5]]
    assert corpus.every_sentence == (2, 5)
    assert corpus.texts.labels.tolist() == [
        [1, -1, 0], [0, 0, 1],  # whole texts
        [0, -1, 0], [1, 0, 0], [0, 0, 1],  # sentences
        [1, 0, 0], [1, 0, 0],  # prompts
    ]  # fmt: skip
    assert corpus.prompts.tolist() == [[5, 7], [7, 7], [7, 7]]
    assert corpus.texts.patients.tolist() == [0, 1, 0, 0, 1, NONE, NONE]


def test_a_text_without_findings_has_unknown_labels_and_is_not_called_normal() -> None:
    corpus = build_corpus([case(0, NOTES[1])], pictures(0), "text", language())
    assert not corpus.texts.labels[:3].any()
    assert not corpus.labels.any()
    assert corpus.facts["sentences_with_findings"] == 0


def test_what_a_column_says_of_a_picture_goes_before_what_its_text_says() -> None:
    given = case(0, NOTES[0], **{"Consolidation": False, "Pneumothorax": None, "Pleural Effusion": True})
    corpus = build_corpus([given], pictures(0), "text", language())
    assert corpus.labels.tolist() == [[-1, -1, 1]]
    assert corpus.texts.labels[0].tolist() == [1, -1, 0]


def test_a_text_longer_than_the_tower_is_cut_and_counted() -> None:
    whole = build_corpus([case(0, NOTES[0])], pictures(NONE), "text", language())
    cut = build_corpus([case(0, NOTES[0])], pictures(NONE), "text", language(8))
    assert (whole.facts["texts_cut"], whole.facts["pieces_cut"]) == (0, 0)
    assert (cut.facts["texts_cut"], cut.facts["pieces_cut"]) == (1, int(whole.texts.mask[0].sum()) - 8)
    assert cut.texts.ids[0, -1] == whole.texts.ids[0, whole.texts.mask[0].sum() - 1]  # the closing piece stays


def test_a_corpus_of_nothing_is_empty() -> None:
    for cases in ([case(0, None)], []):
        none = Pictures(torch.zeros(0, 1, 8, 8), torch.full((len(cases),), NONE), {})
        corpus = build_corpus(cases, none, "text", language())
        assert len(corpus) == 0
        assert corpus.every_sentence == (0, 0)


def test_an_unreadable_picture_is_counted_and_its_case_goes_without(tiny_cohort: Path, tmp_path: Path) -> None:
    config = settings()
    seen = [c for c in read_cases(config, tiny_cohort) if "image" in c.inputs][:2]
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"no film at all")
    cases = [seen[0], Case("x", "x", {"image": ImageFile((bad,))}), seen[1], Case("y", "y")]
    with Sandbox() as sandbox:
        found = read_pictures(cases, PictureDoor(Modality("image", Kind.IMAGE, (1, 16, 16)), sandbox))
    assert found.row.tolist() == [0, NONE, 1, NONE]
    assert sum(found.refused.values()) == 1
    assert found.pixels.shape == (2, 1, 16, 16)
    assert 0 <= float(found.pixels.min()) < float(found.pixels.max()) <= 1


def settings(**data: object) -> PretrainConfig:
    """The columns of the synthetic cohort."""
    towers = {"image": {"column": "cxr", "size": [16, 16]}, "text": {"column": "note"}}
    new = {"tower": {"name": "trunk"}}
    return parse_as(
        PretrainConfig,
        {"name": "tiny", "data": data, "image": towers["image"] | new, "text": towers["text"] | new},
        "test",
    )


def test_only_the_folds_asked_for_are_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("case_id,patient_id,cxr,note,fold\na,1,,cough,0\nb,2,,fever,1\n")

    def read(*folds: str) -> list[str]:
        return [one.case_id for one in read_cases(settings(fold_column="fold", folds=folds), tmp_path)]

    assert read() == ["a", "b"]
    assert read("1") == ["b"]
    with pytest.raises(ConfigError, match="no case"):
        read("7")


def test_folds_without_their_column_are_refused() -> None:
    with pytest.raises(ConfigError, match="fold_column"):
        settings(folds=("1",))


def test_no_patient_is_trained_on_and_judged_on() -> None:
    cases = [case(i, "x", i // 3) for i in range(60)]
    train, val = split_off(cases, 0.2)
    assert len(train) + len(val) == 60
    assert not {c.patient_id for c in train} & {c.patient_id for c in val}
    assert len({c.patient_id for c in val}) == 4
    with pytest.raises(ConfigError, match="no patient is left"):
        split_off([], 0.2)

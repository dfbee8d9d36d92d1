"""Sentences: the original's cuts reproduced, and a cutter that keeps the text."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinimm.findings.sentences import _MEDCLIP_POINT, medclip_sentences, sentences, spans

ORIGINAL = [
    (
        "1. Small left pleural effusion, unchanged.\n2. No pneumothorax is seen on this study. Heart size normal.",
        ["small left pleural effusion , unchanged", "no pneumothorax is seen on this study"],
    ),
    (
        "IMPRESSION: 3.5 cm nodule in the right upper lobe. Follow up.",
        ["impression : 3 . 5 cm nodule in the right upper lobe"],
    ),
    ("", []),
    ("ok. fine.", []),
]


@pytest.mark.parametrize(("report", "segments"), ORIGINAL)
def test_medclip_cuts_as_the_original_does(report: str, segments: list[str]) -> None:
    assert medclip_sentences(report) == segments


@given(st.text(alphabet="12. a", max_size=30))
def test_the_linear_pattern_splits_where_the_quadratic_original_does(text: str) -> None:
    assert _MEDCLIP_POINT.split(text) == re.split(r"[0-9]+\.+[^0-9]", text)


@pytest.mark.parametrize(
    ("report", "cut"),
    [
        ("1. Effusion,\n  stable.\n2. No edema. Heart fine.", ["Effusion,\n  stable.", "No edema.", "Heart fine."]),
        (ORIGINAL[1][0], ["IMPRESSION: 3.5 cm nodule in the right upper lobe.", "Follow up."]),
        ("By Dr. A. Lee, approx. 3 cm vs. 2 cm. No edema.", ["By Dr. A. Lee, approx. 3 cm vs. 2 cm.", "No edema."]),
        ("wrapped at the\nmargin. next", ["wrapped at the\nmargin.", "next"]),
        ("FINDINGS\n\n- clear lungs\n- no edema", ["FINDINGS", "clear lungs", "no edema"]),
        ("Infiltrates.. No effusion..", ["Infiltrates..", "No effusion.."]),
        ("It was 7.\nNo edema.", ["It was 7.", "No edema."]),
        ("...", []),
    ],
)  # fmt: skip
def test_sentences_keep_the_text(report: str, cut: list[str]) -> None:
    assert sentences(report) == cut


@given(st.text(alphabet="ab1. \n-?\u00e9", max_size=40))
def test_spans_are_in_order_and_lose_nothing_but_marks(report: str) -> None:
    found = spans(report)
    assert all(start < end for start, end in found)
    assert all(one[1] <= two[0] for one, two in pairwise(found))
    kept = "".join(report[start:end] for start, end in found)
    assert [letter for letter in kept if letter.isalpha()] == [letter for letter in report if letter.isalpha()]


@pytest.mark.parametrize("piece", ["1", "1.", ".", "\n", "- ", "a. ", "! "])
def test_hostile_text_is_cut_in_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.perf_counter()
    sentences(text)
    medclip_sentences(text)
    assert time.perf_counter() - start < 5

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.report.words import Word, score_words


def test_pieces_become_the_word_they_stand_in():
    text = "no pneumo-thorax, 38.2 C"
    offsets = [(0, 0), (0, 2), (3, 9), (9, 10), (10, 16), (16, 17), (18, 22), (0, 0)]
    words = score_words(text, offsets, np.array([9, 1, 2, 3, 4, 5, 6, 9], dtype=float))
    assert words == [Word(0, 2, 1.0), Word(3, 16, 9.0), Word(16, 17, 5.0), Word(18, 22, 6.0), Word(23, 24, None)]


def test_a_piece_that_begins_with_the_space_counts_for_the_word_behind_it():
    assert score_words("no flu", [(0, 2), (2, 6)], np.array([1.0, 2.0])) == [Word(0, 2, 1.0), Word(3, 6, 2.0)]


def test_a_note_of_spaces_has_no_words():
    assert score_words("  ", [(0, 1), (0, 0)], np.array([0.5, 0.0])) == []


@st.composite
def pieces(draw):
    text = draw(st.text(alphabet="ab .,-é\n5", min_size=1, max_size=30).filter(str.strip))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    offsets = [(start, end) for start, end in pairwise(cuts)]
    scores = draw(st.lists(st.floats(-5, 5), min_size=len(offsets), max_size=len(offsets)))
    return text, offsets, scores


@given(pieces())
@settings(derandomize=True, deadline=None, max_examples=80)
def test_words_are_in_order_and_sum_to_their_pieces(drawn):
    text, offsets, scores = drawn
    words = score_words(text, offsets, np.array(scores, dtype=float))
    counted = sum(score for (start, end), score in zip(offsets, scores, strict=True) if end > start)
    assert sum(word.score or 0.0 for word in words) == pytest.approx(counted, abs=1e-9)
    assert all(a.end <= b.start for a, b in pairwise(words))
    assert all(text[word.start : word.end].strip() for word in words)

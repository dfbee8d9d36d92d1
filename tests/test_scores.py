import numpy as np

from clinimm.scores import Scores, members, subset_name, subsets

NAMES = ("cxr", "note", "labs")


def scores():
    present = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0]], dtype=bool)
    targets = np.array([[1.0], [0.0], [np.nan]])
    logits = {name: np.zeros((3, 1)) for name in subsets(NAMES)}
    return Scores(("a", "b", "c"), ("p", "p", "q"), ("ill",), NAMES, targets, present, logits)


def test_every_subset_is_named_once_small_ones_first():
    assert subsets(NAMES) == ("cxr", "note", "labs", "cxr+note", "cxr+labs", "note+labs", "cxr+note+labs")
    assert [subset_name(members(name)) for name in subsets(NAMES)] == list(subsets(NAMES))
    assert members("") == ()


def test_a_case_is_answered_from_what_is_left_of_it():
    assert scores().answered("note+labs").tolist() == [True, False, True]
    assert scores().patterns("note+labs") == ("note+labs", "", "note")
    assert scores().patterns(scores().whole) == ("cxr+note+labs", "cxr", "note")


def test_who_came_with_a_pattern_has_it_and_no_more():
    assert scores().has("cxr").tolist() == [True, True, False]
    assert scores().came("cxr").tolist() == [False, True, False]
    assert scores().came(scores().whole).tolist() == [True, False, False]
    assert not scores().came("").any()


def test_an_unknown_label_is_not_known():
    assert scores().known("ill").tolist() == [True, True, False]


def test_concat_keeps_every_case_in_order():
    both = Scores.concat([scores(), scores()])
    assert both.case_ids == ("a", "b", "c", "a", "b", "c")
    assert both.logits["cxr"].shape == (6, 1)
    assert both.patterns(both.whole)[3:] == scores().patterns("cxr+note+labs")

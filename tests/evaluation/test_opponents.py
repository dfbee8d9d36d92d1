"""Opponents on a made-up cohort: a bright square, a word and an analyte each tell something."""

import numpy as np
import pytest
import torch

from clinimm import metrics
from clinimm.batch import Batch, ModalityBatch
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.compare import OURS, compare
from clinimm.evaluation.joined import Split
from clinimm.evaluation.learners import absence, absence_by_trees, alone, boosted_trees, extra_trees, logistic
from clinimm.evaluation.opponents import (
    ABSENCE,
    ABSENCE_TREES,
    ALL,
    BEST,
    BOOSTED,
    EXTRA,
    LOGISTIC,
    MEAN,
    THOUSAND,
    Opinions,
    train_opponents,
)
from clinimm.evaluation.plain import plain_cases
from clinimm.evaluation.said import Said, calibrated, calibrated_by_pattern, every_subset, left_with
from clinimm.evaluation.spaces import HAIM, LATE, LINEAR, NOT_CLEAN, Space, opponents_in
from clinimm.scores import Scores, subsets
from clinimm.types import Analyte, Case, InputState, Kind, Modality, Note, Status

pytestmark = pytest.mark.slow

MODALITIES = (
    Modality("cxr", Kind.IMAGE, (1, 96, 80)),
    Modality("note", Kind.TEXT, (8,)),
    Modality("labs", Kind.TABULAR, (3,), tuple(Analyte(name, "1") for name in "abc")),
)
STATES = {True: InputState(Status.PRESENT), False: InputState(Status.ABSENT)}


def made_up(n=120, seed=0, leaky=False):
    """Cases, and the batch a preparer would make of them; two films per patient."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.random(n // 2) < 0.5, 2)
    present = rng.random((n, 3)) < ([0.9, 0.6, 0.5] if not leaky else np.where(labels, 0.9, 0.3)[:, None])
    present[~present.any(axis=1), 0] = True
    pictures = rng.normal(size=(n, 1, 96, 80))
    pictures[labels, :, 20:50, 20:50] += 0.1
    labs = rng.normal(size=(n, 3)) + np.outer(labels, [0.0, 1.5, 0.0])
    hints = np.where(rng.random(n) < 0.85, labels, ~labels)
    parts = {
        "cxr": part(pictures, present[:, 0], None),
        "note": part(np.zeros((n, 8), dtype=np.int64), present[:, 1], np.ones((n, 8), bool)),
        "labs": part(labs, present[:, 2], rng.random((n, 3)) < 0.8),
    }
    cases = [
        Case(
            f"s{seed}c{i}",
            f"s{seed}p{i // 2}",
            {"note": Note(f"patient is {'breathless' if hints[i] else 'well'} today")} if present[i, 1] else {},
        )
        for i in range(n)
    ]
    targets, mask = torch.tensor(labels, dtype=torch.float32)[:, None], torch.ones(n, 1, dtype=torch.bool)
    mask[::17] = False
    batch = Batch(tuple(case.case_id for case in cases), parts, targets, mask)
    return plain_cases(cases, batch, MODALITIES)


def part(values, present, mask):
    values = torch.as_tensor(values, dtype=torch.int64 if values.dtype == np.int64 else torch.float32)
    mask = None if mask is None else torch.as_tensor(mask)
    states = tuple(STATES[bool(one)] for one in present)
    return ModalityBatch(values, torch.as_tensor(present), mask, torch.zeros(len(present), 1), states)


@pytest.fixture(scope="module")
def cohorts():
    return made_up(seed=1), made_up(seed=2)


@pytest.fixture(scope="module")
def opinions(cohorts):
    """Opponents never see a test label: they are given none."""
    train, test = cohorts
    blind = test.take(np.arange(len(test)))
    blind.targets[:] = np.nan
    return train_opponents(train, blind, sensitivity=0.9)


def test_plain_cases_hold_small_pictures_gaps_and_whole_notes(cohorts):
    plain = cohorts[0]
    assert plain.values["cxr"].shape == (120, 64 * 64)
    assert np.isnan(plain.values["labs"][~plain.has("labs")]).all()
    assert np.isnan(plain.values["labs"][plain.has("labs")]).any()
    assert plain.values["note"][plain.has("note")][0].startswith("patient is")
    assert np.isnan(plain.targets).sum() == 8
    some = plain.take(np.array([3, 5]))
    assert some.case_ids == ("s1c3", "s1c5")
    assert (some.values["labs"] == plain.values["labs"][[3, 5]]).sum() == (~np.isnan(some.values["labs"])).sum()


def test_every_opponent_answers_exactly_where_it_can(cohorts, opinions):
    test = cohorts[1]
    assert opinions.case_ids == test.case_ids
    for subset in subsets(("cxr", "note", "labs")):
        left = {name: test.has(name) & (name in subset.split("+")) for name in ("cxr", "note", "labs")}
        for name, there in left.items():
            assert (~np.isnan(opinions.of[f"{name} alone"].probabilities[subset][:, 0]) == there).all()
        for name in (BEST, MEAN, BOOSTED, EXTRA, THOUSAND, LOGISTIC, ALL, ABSENCE, ABSENCE_TREES):
            answered = ~np.isnan(opinions.of[name].probabilities[subset][:, 0])
            assert (answered == np.any(list(left.values()), axis=0)).all()


def test_what_a_hidden_input_holds_changes_no_answer(cohorts):
    train, test = cohorts
    train = train.take(~np.isnan(train.targets[:, 0]))
    other = test.take(np.arange(len(test)))
    other.values["labs"][:] = 7.0
    labels = train.targets[:, 0] > 0.5
    for learner in (boosted_trees, extra_trees, logistic, absence_by_trees, alone("cxr")):
        one, two = (every_subset(learner(Split(train, labels, cases, 0)), cases) for cases in (test, other))
        without_labs = [i for i, subset in enumerate(subsets(tuple(test.kinds))) if "labs" not in subset]
        np.testing.assert_array_equal(one[:, without_labs], two[:, without_labs])


def test_the_answer_with_an_input_hidden_is_that_of_a_case_without_it(cohorts):
    train, test = cohorts
    train = train.take(~np.isnan(train.targets[:, 0]))
    bare = test.take(np.arange(len(test)))
    bare.present[:, 2] = False
    bare.values["labs"][:] = np.nan
    labels = train.targets[:, 0] > 0.5
    for learner in (boosted_trees, extra_trees, logistic, absence):
        hidden = every_subset(learner(Split(train, labels, test, 0)), test)
        without = every_subset(learner(Split(train, labels, bare, 0)), bare)
        column = subsets(tuple(test.kinds)).index("cxr+note")
        np.testing.assert_allclose(hidden[:, column], without[:, -1])


def test_opponents_find_what_is_there_and_joining_helps(cohorts, opinions):
    test = cohorts[1]
    known = ~np.isnan(test.targets[:, 0])
    labels = test.targets[known, 0] > 0.5
    auroc = {
        name: metrics.auroc(labels, opinion.probabilities[opinion.whole][known, 0])
        for name, opinion in opinions.of.items()
        if not np.isnan(opinion.probabilities[opinion.whole]).any()
    }
    assert min(auroc[name] for name in (MEAN, BOOSTED, EXTRA, THOUSAND, LOGISTIC, ALL)) > 0.7
    assert abs(auroc[ABSENCE] - 0.5) < 0.12
    alone_on_labs = opinions.of["labs alone"].probabilities["cxr+note+labs"][:, 0]
    rows = known & ~np.isnan(alone_on_labs)
    assert metrics.auroc(test.targets[rows, 0] > 0.5, alone_on_labs[rows]) > 0.65


def test_a_cohort_whose_gaps_tell_the_label_is_found_out():
    train, test = made_up(seed=3, leaky=True), made_up(seed=4, leaky=True)
    train = train.take(~np.isnan(train.targets[:, 0]))
    test = test.take(~np.isnan(test.targets[:, 0]))
    for learner in (absence, absence_by_trees):
        said = every_subset(learner(Split(train, train.targets[:, 0] > 0.5, test, 0)), test)[:, -1]
        assert metrics.auroc(test.targets[:, 0] > 0.5, said) > 0.75


EVERY_SORT = [alone("cxr"), alone("note"), alone("labs"), boosted_trees, extra_trees, logistic, absence]


@pytest.mark.parametrize("learner", EVERY_SORT)
def test_a_learner_survives_one_class_and_nobody_with_the_input(cohorts, learner):
    train, test = (cohort.take(np.arange(12)) for cohort in cohorts)
    said = every_subset(learner(Split(train, np.ones(12, bool), test, 0)), test)
    assert (said[~np.isnan(said)] == 0).all()
    bare = train.take(np.arange(12))
    bare.present[:] = False
    bare.values["labs"][:] = np.nan
    assert every_subset(learner(Split(bare, np.arange(12) < 6, test, 0)), test).shape == (12, 7)


def test_comparison_names_the_winner_on_the_same_cases(cohorts, opinions):
    test = cohorts[1]
    strong = compare(answers_of(test, strength=3.0), opinions, bootstrap=200)[0]
    assert strong.rows[0].name == OURS
    assert strong.verdict.startswith(f"severe: the winner is {OURS}, ahead of {strong.best.name} by 0.")
    assert "luck" not in strong.verdict
    weak = compare(answers_of(test, strength=0.0), opinions, bootstrap=200)[0]
    assert weak.verdict.startswith(f"severe: the winner is {weak.best.name}, ahead of {OURS}")
    labs = next(gain for gain in strong.gains if gain.over == "labs alone")
    assert labs.cases == (test.has("labs") & ~np.isnan(test.targets[:, 0])).sum()
    assert strong.leak == ""


def test_comparison_averages_over_subsets_and_gives_the_silent_the_prevalence(cohorts, opinions):
    test = cohorts[1]
    strong = compare(answers_of(test, strength=3.0), opinions, bootstrap=50)[0]
    assert strong.verdict_over_subsets.startswith(
        f"severe, averaged over the subsets of inputs: the winner is {OURS}, ahead of {strong.best_over_subsets} by 0."
    )
    known = ~np.isnan(test.targets[:, 0])
    labels, said = test.targets[:, 0] > 0.5, opinions.of["labs alone"].probabilities
    aurocs = []
    for subset in subsets(tuple(test.kinds)):
        rows = known & test.present[:, [list(test.kinds).index(name) for name in subset.split("+")]].any(axis=1)
        p = np.where(np.isnan(said[subset][:, 0]), opinions.prevalence[:, 0], said[subset][:, 0])
        aurocs.append(metrics.auroc(labels[rows], p[rows]))
    assert aurocs[0] == aurocs[1] == 0.5
    assert strong.over_subsets["labs alone"].value == pytest.approx(np.mean(aurocs))


def test_opponents_in_a_space_learn_from_clean_cases_alone_or_say_so(cohorts):
    train, test = (cohort.take(~np.isnan(cohort.targets[:, 0])) for cohort in cohorts)
    labels = train.targets[:, 0] > 0.5
    clean = np.arange(len(train)) % 4 < 2
    rng = np.random.default_rng(0)
    spoilt = {  # what a net makes of cases that it has learned by heart, next to what it makes of new ones
        name: np.where(clean[:, None], rng.normal(size=(len(train), 4)), 9.0 * labels[:, None]) for name in train.kinds
    }
    asked = {name: rng.normal(size=(len(test), 4)) for name in test.kinds}
    told = opponents_in([Space(spoilt, asked, clean)], train, labels, test, 0)
    assert list(told) == [LATE, HAIM, LINEAR]
    for one in told.values():
        assert np.isnan(one.inner[~clean]).all()
        assert abs(metrics.auroc(labels[clean], one.inner[clean, -1]) - 0.5) < 0.25
    careless = opponents_in([Space(spoilt, asked, np.zeros(len(train), bool))], train, labels, test, 0)
    assert list(careless) == [f"{name}{NOT_CLEAN}" for name in (LATE, HAIM, LINEAR)]


def test_comparison_finds_cases_by_their_id(cohorts, opinions):
    order = np.random.default_rng(0).permutation(len(opinions.case_ids))
    halves = [opinions.rows(rows) for rows in np.array_split(order, 2)]
    answers = answers_of(cohorts[1], strength=1.0)
    assert compare(answers, Opinions.concat(halves), bootstrap=20) == compare(answers, opinions, bootstrap=20)


def answers_of(test, strength):
    rng = np.random.default_rng(0)
    truth = np.nan_to_num(test.targets) - 0.5
    logits = strength * 2 * truth + rng.normal(size=truth.shape)
    names = tuple(test.kinds)
    scores = Scores(
        test.case_ids,
        test.patient_ids,
        ("severe",),
        names,
        test.targets,
        test.present,
        dict.fromkeys(subsets(names), logits),
    )
    probabilities = {name: 1 / (1 + np.exp(-part)) for name, part in scores.logits.items()}
    return Answers(scores, probabilities, {name: p > 0.5 for name, p in probabilities.items()})


def test_a_line_of_its_own_mends_what_is_left_of_a_case():
    """With a note the logits are right; without it, three times too sure."""
    rng = np.random.default_rng(0)
    n = 2000
    truth = rng.normal(size=(n, 1))
    labels = rng.random(n) < 1 / (1 + np.exp(-truth[:, 0]))
    left = np.tile([0, 1, 2], (n, 1))
    said = Said(truth * [3.0, 1.0, 1.0], truth[:50] * [3.0, 1.0, 1.0], left, left[:50])
    one, by_pattern = calibrated(said, labels), calibrated_by_pattern(said, labels)
    np.testing.assert_allclose(one.outer[:, 0], 3 * one.outer[:, 1] + (one.outer[:, 0] - 3 * one.outer[:, 1])[0])
    np.testing.assert_allclose(by_pattern.outer[:, 0], by_pattern.outer[:, 1], atol=0.02)
    few = np.zeros(n, dtype=bool)
    few[:10] = True
    np.testing.assert_array_equal(calibrated_by_pattern(said, few).outer, calibrated(said, few).outer)


def test_what_a_case_is_left_with_is_told_by_its_own_inputs(cohorts):
    test = cohorts[1]
    left = left_with(test)
    names = subsets(tuple(test.kinds))
    for row in range(20):
        for column, subset in enumerate(names):
            there = [name for name in subset.split("+") if test.has(name)[row]]
            assert left[row, column] == (names.index("+".join(there)) if there else -1)

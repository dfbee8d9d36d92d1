"""Subgroups whose sizes and faults were planted."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from clinimm import metrics
from clinimm.evaluation.answers import Answers
from clinimm.evaluation.subgroups import OTHER, UNKNOWN, group_of, groupings, judge_subgroups
from clinimm.scores import Scores, subsets


def told(n=600, *, poor="B", seed=0):
    """Two inputs; the model reads patients of site `poor` at random and all others well. Site A has half the cases."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.5
    site = np.array(["A", "B", "A", "C"])[np.arange(n) % 4]
    logits = np.where(site == poor, 0.0, 4.0) * (labels - 0.5) + rng.normal(size=n)
    names = ("film", "labs")
    scores = Scores(
        tuple(f"c{i}" for i in range(n)), tuple(f"p{i // 2}" for i in range(n)), ("sick",), names,
        labels[:, None].astype(float), np.ones((n, 2), bool), dict.fromkeys(subsets(names), logits[:, None]),
    )  # fmt: skip
    probabilities = {subset: expit(one) for subset, one in scores.logits.items()}
    flagged = {subset: p >= 0.5 for subset, p in probabilities.items()}
    return Answers(scores, probabilities, flagged, {"site": tuple(site.tolist())})


def test_ages_fall_into_bands_and_other_numbers_into_quarters():
    ages = ["0.5", "17", "17.9", "18", "39", "40", "64.9", "65", "99", ""]
    groups = groupings({"age_years": ages, "weight": [str(i) for i in range(9)] + ["NaN"]})
    assert {name: rows.sum() for name, rows in groups["age_years"].items()} == {
        "0-17": 3, "18-39": 2, "40-64": 2, "65+": 2, UNKNOWN: 1,
    }  # fmt: skip
    assert list(groups["weight"]) == ["0 to 2", "2 to 4", "4 to 6", "6 to 8", UNKNOWN]
    assert sum(groups["weight"].values()).tolist() == [1] * 10


def test_words_are_levels_and_rare_ones_are_told_together():
    column = ["F"] * 30 + ["M"] * 25 + ["X"] * 3 + ["Y"] * 2 + ["unknown", " "]
    groups = groupings({"sex": column, "always": ["same"] * 62, "case": [f"id{i}" for i in range(62)]}, fewest=20)
    assert {name: rows.sum() for name, rows in groups["sex"].items()} == {"F": 30, "M": 25, OTHER: 5, UNKNOWN: 2}
    assert set(groups) == {"sex"}
    assert list(groupings({"sex": ["F"] * 30 + ["M"] * 5}, fewest=20)["sex"]) == ["F", "M"]


def test_codes_of_a_few_numbers_stay_levels():
    groups = groupings({"stage": ["1", "2", "3"] * 20})
    assert list(groups["stage"]) == ["1", "2", "3"]


def test_a_patient_belongs_to_the_group_that_its_value_was_put_in():
    columns = {
        "age": [str(age) for age in range(0, 100, 3)],
        "weight": [str(i * 1.5) for i in range(33)] + [""],
        "sex": ["F"] * 20 + ["M"] * 10 + ["X"] * 2 + ["Y", "?"],
    }
    for name, groups in groupings({name: column[:33] for name, column in columns.items()}, fewest=5).items():
        for place, value in enumerate(columns[name][:33]):
            assert groups[group_of(value, list(groups))][place], (name, value)
    assert group_of("41.7", ["18-39", "40-64", "65+"]) == "40-64"
    assert group_of("39.99", ["18-39", "40-64", "65+"]) == "18-39"
    assert group_of("103", ["40-64", "65+"]) == "65+"
    assert group_of("", ["F", UNKNOWN]) == UNKNOWN
    assert group_of("NaN", ["F", "M"]) is None
    assert group_of("hill", ["harbor", OTHER]) == OTHER
    assert group_of("7", ["40-64"]) is None


def test_a_cell_is_the_metric_on_its_cases_and_every_subset_has_every_group():
    answers = told()
    found = judge_subgroups(answers, bootstrap=50)[0]
    assert [(cell.subset, cell.row.name) for cell in found.cells] == [
        (subset, site) for subset in ("film", "labs", "film+labs") for site in "ABC"
    ]
    rows = np.array(answers.attributes["site"]) == "C"
    cell = found.of("film+labs")[2].row
    labels, p = answers.labels("sick")[rows], answers.probabilities["film+labs"][rows, 0]
    assert (cell.cases, cell.patients, cell.positives) == (150, 150, labels.sum())
    assert cell.estimates["auroc"].value == pytest.approx(metrics.auroc(labels, p))
    assert cell.estimates["ece"].value == pytest.approx(metrics.ece(labels, p))
    assert cell.estimates["auroc"].low < cell.estimates["auroc"].value < cell.estimates["auroc"].high


def test_a_planted_gap_is_found_and_its_interval_is_wider_than_that_of_one_pair():
    gap = next(d for d in judge_subgroups(told(), bootstrap=400)[0].disparities if d.metric == "auroc")
    assert (gap.attribute, gap.worst, gap.pairs) == ("site", "B", 3)
    assert gap.gap.clear
    assert gap.gap.value > 0.35
    one_pair = told()
    two = replace(one_pair, attributes={"site": tuple("A" if s != "B" else "B" for s in one_pair.attributes["site"])})
    single = next(d for d in judge_subgroups(two, bootstrap=400)[0].disparities if d.metric == "auroc")
    assert single.pairs == 1
    assert single.gap.high - single.gap.low < gap.gap.high - gap.gap.low


def test_without_a_planted_gap_hardly_one_is_clear():
    """Of a hundred such cohorts of 400 cases six had a clear gap by AUROC, where five were promised."""
    clear = 0
    for seed in range(10):
        found = judge_subgroups(told(n=200, poor="nowhere", seed=seed), bootstrap=200)[0]
        clear += any(d.gap.clear for d in found.disparities if d.metric == "auroc")
    assert clear <= 2


def test_what_too_few_stand_behind_is_not_given():
    answers = told(n=60)
    labels = answers.scores.targets.copy()
    labels[np.array(answers.attributes["site"]) == "A", 0] = 1
    few = replace(answers, scores=replace(answers.scores, targets=labels))
    a, b = (cell for cell in judge_subgroups(few, bootstrap=20)[0].of("film+labs"))
    assert set(a.row.estimates) == {"brier", "ece", "sensitivity"}
    assert (b.row.name, b.row.cases) == (OTHER, 30)
    assert json.loads(json.dumps(judge_subgroups(few, bootstrap=20)[0].record()))["cells"][0]["too_few"] is False


def test_coverage_is_told_where_the_model_gives_sets():
    answers = told()
    covered = np.random.default_rng(1).random((600, 1)) < np.where(np.arange(600) % 4 == 1, 0.6, 0.95)[:, None]
    with_sets = replace(answers, covered=dict.fromkeys(answers.probabilities, covered))
    found = judge_subgroups(with_sets, bootstrap=200)[0]
    assert found.of("film")[1].row.estimates["coverage"].value == pytest.approx(covered[1::4].mean())
    gap = next(d for d in found.disparities if d.metric == "coverage")
    assert gap.worst == "B"
    assert gap.gap.clear


def test_without_attributes_there_is_no_matrix():
    assert judge_subgroups(replace(told(), attributes={}), bootstrap=20)[0].cells == ()


def test_a_share_of_all_has_an_interval_although_every_draw_is_alike():
    labels = np.ones((60, 1))
    labels[::4] = 0
    answers = told(n=60)
    flagged = dict.fromkeys(answers.flagged, np.ones((60, 1), bool))
    sure = replace(answers, scores=replace(answers.scores, targets=labels), flagged=flagged)
    sure = replace(sure, attributes={"sex": ("F", "F", "M", "M") * 15})
    cell = judge_subgroups(sure, bootstrap=50)[0].of("film+labs")[1].row
    sensitivity = cell.estimates["sensitivity"]
    assert (sensitivity.value, sensitivity.high) == (1, 1)
    assert sensitivity.low == pytest.approx(cell.patients / (cell.patients + 1.959964**2), abs=1e-6)
    gaps = [d for d in judge_subgroups(sure, bootstrap=50)[0].disparities if d.metric == "sensitivity"]
    assert not any(d.gap.clear for d in gaps)

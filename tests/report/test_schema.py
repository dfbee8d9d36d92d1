"""Every record is of the published schema, and the schema is tight enough to refuse what is none."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime

import jsonschema_rs
import pytest

from clinimm.artifact import Provenance
from clinimm.report.comparison import Previous
from clinimm.report.performance import like_this
from clinimm.report.schema import SCHEMA, schema

PUBLISHED = json.loads(schema())


def faults(record) -> list[str]:
    validator = jsonschema_rs.validator_for(PUBLISHED)
    return [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(record)]


def test_the_schema_is_one_and_names_its_version():
    assert jsonschema_rs.meta.is_valid(PUBLISHED)
    assert PUBLISHED["properties"]["schema"] == {"const": SCHEMA} == {"const": PUBLISHED["title"]}


@pytest.mark.parametrize("hidden", [(), ("cxr",), ("note", "labs"), ("cxr", "note", "labs")])
def test_rep_01_records_are_of_the_schema_whatever_is_missing(predictor, complete_case, answer, hidden):
    inputs = {name: given for name, given in complete_case.inputs.items() if name not in hidden}
    early = Previous("a-1", datetime(2026, 1, 1, tzinfo=UTC), "", predictor.predict([complete_case])[0].record())
    record = answer(predictor, replace(complete_case, inputs=inputs), patient_id="p", previous=early)
    assert faults(record) == []


@pytest.mark.slow
def test_rep_01_a_volume_s_record_is_of_the_schema(volume_cohort, answer):
    predictor, cases = volume_cohort
    assert faults(answer(predictor, next(case for case in cases if "ct" in case.inputs))) == []


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("schema",), "clinimm.report/1"),
        (("prediction", "targets", 0, "probability"), 1.5),
        (("prediction", "targets", 0, "threshold"), "0.5"),
        (("inputs", "cxr", "views", 0, "film"), "<svg>"),
        (("inputs", "cxr", "sha256"), "abc"),
        (("tensors", "cxr", "values", "dtype"), "object"),
        (("explanations", 0, "maps", "cxr", "style"), "color: red"),
        (("unknown",), 1),
    ],
)
def test_what_is_no_record_is_refused(predictor, complete_case, answer, path, to):
    record = copy.deepcopy(answer(predictor, complete_case))
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    assert len(faults(record)) == 1


ROW = {"cases": 40, "patients": 30, "positives": 9, "metrics": {"auroc": {"value": 0.8, "interval": [0.7, 0.9]}}}
METRICS = {
    "cases": 60,
    "patients": 50,
    "targets": [
        {"target": "sick", "patterns": [{"name": "cxr", **ROW}], "subsets": [{"name": "cxr", **ROW, "cases": 55}]}
    ],
}
CELLS = [
    {"subset": "cxr", "attribute": "age", "name": "40-64", **ROW},
    {"subset": "cxr", "attribute": "age", "name": "65+", **ROW},
    {"subset": "cxr+labs", "attribute": "age", "name": "65+", **ROW},
    {"subset": "cxr", "attribute": "site", "name": "harbor", **ROW},
    {"subset": "cxr", "attribute": "site", "name": "other", **ROW},
]
EVALUATED = Provenance(metrics=METRICS, subgroups=[{"target": "sick", "cells": CELLS}])


def test_patients_like_this_one_came_with_the_same_inputs_and_are_of_its_groups():
    found = like_this(EVALUATED, ["sick"], ["cxr"], {"age": "64.5", "site": "hill", "sex": "F"})["targets"]["sick"]
    assert (found["pattern"]["cases"], found["subset"]["cases"]) == (40, 55)
    assert [(row["attribute"], row["name"]) for row in found["subgroups"]] == [("age", "40-64"), ("site", "other")]


def test_a_pattern_that_was_never_evaluated_is_not_made_up():
    found = like_this(EVALUATED, ["sick"], ["cxr", "labs"], {"age": "91"})
    assert found["targets"]["sick"]["pattern"] is None
    assert [row["subset"] for row in found["targets"]["sick"]["subgroups"]] == ["cxr+labs"]
    nothing = like_this(Provenance(), ["sick"], ["cxr"], {"age": "91"})
    assert (nothing["known"], nothing["subgroups_known"]) == (False, False)

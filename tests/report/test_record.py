"""What the record says is what was seen, answered and explained; and it can be hashed, replayed and told apart."""

import json
import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from clinimm.report.record import build, digest
from clinimm.types import Check, Measurement, Measurements, Note


def png(text: str) -> Image.Image:
    return Image.open(BytesIO(b64decode(text)))


def test_a_record_is_plain_json_and_says_its_schema(predictor, complete_case, answer):
    record = answer(predictor, complete_case)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["schema"] == "clinimm.report/1"
    assert record["model"]["digest"] == predictor.digest
    assert record["created"] == "2026-01-02T12:00:00+00:00"
    assert record["prediction"] == predictor.predict([complete_case])[0].record()


def test_a_replay_has_the_same_name_and_a_changed_record_another_digest(predictor, complete_case, answer):
    first, second = answer(predictor, complete_case), answer(predictor, complete_case, created=None)
    assert first["report_id"] == second["report_id"]
    assert first["digest"] == digest(first) != second["digest"]
    assert digest(first | {"created": "1999-01-01T00:00:00+00:00"}) != first["digest"]


def test_a_patient_id_is_on_the_record_only_if_it_is_given(predictor, complete_case, answer):
    assert "patient_id" not in answer(predictor, complete_case)["case"]
    assert answer(predictor, complete_case, patient_id="p-1")["case"]["patient_id"] == "p-1"


def test_the_film_is_what_the_model_saw_and_the_map_lies_over_it(predictor, complete_case, answer):
    record = answer(predictor, complete_case)
    values = predictor.preparer.prepare(complete_case).modalities["cxr"].values[0, 0].numpy()
    [view] = record["explanations"][0]["maps"]["cxr"]["views"]
    film, heat = np.asarray(png(view["film"])), np.asarray(png(view["heat"]))
    assert film == pytest.approx((values * 0.25 + 0.5) * 255, abs=0.51)
    assert heat.shape == (*film.shape, 4)
    assert heat[tuple(view["peak"])][3] == heat[..., 3].max() == 230
    assert record["inputs"]["cxr"]["views"][0]["film"] == view["film"]


@pytest.mark.slow
def test_a_volume_is_shown_in_three_planes_through_its_peak(volume_cohort, answer):
    predictor, cases = volume_cohort
    record = answer(predictor, next(case for case in cases if "ct" in case.inputs))
    views = record["explanations"][0]["maps"]["ct"]["views"]
    sizes = [png(view["film"]).size for view in views]
    assert sizes == [png(view["heat"]).size for view in views] == [(20, 24), (20, 12), (24, 12)]
    assert re.fullmatch(r"slice \d+ of 12", views[0]["name"])
    assert {np.asarray(png(view["heat"]))[..., 3].max() for view in views} == {230}


def test_words_sum_to_the_note_s_share_and_say_where_reading_stopped(predictor, complete_case, answer):
    explanation = answer(predictor, complete_case)["explanations"][0]
    words = explanation["maps"]["note"]["words"]
    assert sum(word["score"] or 0 for word in words) == pytest.approx(explanation["net"]["note"], abs=1e-4)
    read = [word["score"] is not None for word in words]
    assert read == sorted(read, reverse=True)
    assert not all(read)  # the note is longer than 24 positions


def test_labs_show_value_unit_range_and_part(predictor, complete_case, answer):
    given = Measurements(
        (Measurement("crp", 8.0, "mg/dL"), Measurement("wbc", 2.0, "10*9/L"), Measurement("ldh", 1.0, ""))
    )
    record = answer(predictor, replace(complete_case, inputs={**complete_case.inputs, "labs": given}))
    crp, wbc, *rest = record["inputs"]["labs"]["analytes"]
    assert (crp["name"], crp["value"], crp["unit"], crp["range"]) == ("crp", 80.0, "mg/L", "high")
    assert (wbc["range"], wbc["reference"]) == ("low", [4.0, 10.0])
    assert {analyte["name"]: analyte["flags"] for analyte in rest if analyte["flags"]} == {"ldh": ["unit_missing"]}
    scores = record["explanations"][0]["maps"]["labs"]["scores"]
    assert {name for name, score in scores.items() if score is not None} == {"crp", "wbc"}


@pytest.mark.parametrize("hidden", ["cxr", "note", "labs"])
def test_what_is_missing_has_no_map_and_counts_for_nothing(predictor, complete_case, answer, hidden):
    inputs = {name: given for name, given in complete_case.inputs.items() if name != hidden}
    record = answer(predictor, replace(complete_case, inputs=inputs))
    explanation = record["explanations"][0]
    assert record["prediction"]["missing"] == [hidden]
    assert hidden not in explanation["maps"]
    assert explanation["shapley"][hidden] == explanation["net"][hidden] == record["prediction"]["weights"][hidden] == 0
    assert record["inputs"][hidden]["sha256"] is None


def test_nothing_usable_is_a_record_too(predictor, complete_case, answer):
    record = answer(predictor, replace(complete_case, inputs={}))
    assert record["explanations"] == []
    assert record["prediction"]["abstained"] == "no_usable_input"


def test_each_input_has_the_hash_of_what_was_handed_in(predictor, complete_case, answer):
    first = answer(predictor, complete_case)["inputs"]
    other = replace(complete_case, inputs={**complete_case.inputs, "note": Note("Clear lungs.")})
    second = answer(predictor, other)["inputs"]
    assert all(len(shown["sha256"]) == 64 for shown in first.values())
    assert [name for name in first if first[name]["sha256"] != second[name]["sha256"]] == ["note"]


def test_an_explanation_of_another_answer_is_not_trusted(predictor, complete_case):
    [prediction] = predictor.predict([complete_case])
    targets = tuple(replace(t, logit=t.logit + 0.5) for t in prediction.targets)
    attributions = predictor.explain(complete_case, "pneumonia")
    record = build(predictor, complete_case, replace(prediction, targets=targets), attributions)
    failed = [check["name"] for check in record["explanations"][0]["checks"] if not check["passed"]]
    assert failed == ["agreement"]
    assert not record["explanations"][0]["trusted"]


def test_a_value_that_is_no_number_is_kept_as_null_and_fails(predictor, complete_case):
    [prediction] = predictor.predict([complete_case])
    [attribution] = predictor.explain(complete_case, "pneumonia")
    broken = replace(
        attribution,
        checks=(Check("completeness", float("nan"), 0.01),),
        maps=attribution.maps | {"cxr": attribution.maps["cxr"] * np.nan},
    )
    record = build(predictor, complete_case, prediction, [broken])
    assert record["explanations"][0]["checks"][0] == {
        "name": "completeness", "value": None, "limit": 0.01, "passed": False,
    }  # fmt: skip
    assert json.dumps(record, allow_nan=False)

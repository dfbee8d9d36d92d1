"""What the record says is what was seen, answered and explained; and it can be hashed, replayed and told apart."""

import json
import re
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from clinimm.report.canonical import canonical, digest
from clinimm.report.comparison import Previous
from clinimm.report.contents import SECTIONS
from clinimm.report.record import build
from clinimm.types import Check, ImageFile, Measurement, Measurements, Note


def png(text: str) -> Image.Image:
    return Image.open(BytesIO(b64decode(text)))


def test_a_record_is_plain_json_and_says_its_schema(predictor, complete_case, answer):
    record = answer(predictor, complete_case)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["schema"] == "clinimm.report/2"
    assert record["model"]["digest"] == predictor.digest
    assert record["created"] == "2026-01-02T12:00:00+00:00"
    assert record["prediction"] == predictor.predict([complete_case])[0].record()


def test_the_bytes_of_a_record_hash_to_its_digest_and_read_back_the_same(predictor, complete_case, answer):
    record = answer(predictor, complete_case)
    data = canonical(record)
    assert sha256(data).hexdigest() == digest(record)
    assert list(json.loads(data)) == list(record) == sorted(record)
    assert canonical(json.loads(data)) == data


def test_a_replay_has_the_same_name_and_a_changed_record_another_digest(predictor, complete_case, answer):
    first, second = answer(predictor, complete_case), answer(predictor, complete_case, created=None)
    assert first["report_id"] == second["report_id"]
    assert digest(first) != digest(second)
    assert digest(first) == digest(answer(predictor, complete_case))


def leaves(value, pointer=""):
    inside = value.items() if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    if not inside:
        yield pointer
    for key, one in inside:
        yield from leaves(one, f"{pointer}/{key}")


def test_seventeen_sections_hold_all_of_a_record_and_nothing_else(predictor, complete_case, answer):
    record = answer(predictor, complete_case)
    assert [section["number"] for section in record["contents"]] == list(range(1, 18))
    found = set()
    for pointer in leaves(record):
        holders = {one for section in SECTIONS for one in section.holds if fnmatchcase(f"{pointer}/", f"{one}/*")}
        assert holders, pointer
        found |= holders
    unseen = {one for section in SECTIONS for one in section.holds} - found
    assert unseen == set()


def test_a_patient_id_is_on_the_record_only_if_it_is_given(predictor, complete_case, answer):
    assert "patient_id" not in answer(predictor, complete_case)["case"]
    assert answer(predictor, complete_case, patient_id="p-1")["case"]["patient_id"] == "p-1"


def test_the_film_is_the_stored_one_and_the_map_lies_on_its_edges(predictor, complete_case, answer):
    record = answer(predictor, complete_case)
    look = predictor.preparer.doors["cxr"].look(complete_case.inputs["cxr"])
    [shown], [view] = record["inputs"]["cxr"]["views"], record["explanations"][0]["maps"]["cxr"]["views"]
    film, heat = np.asarray(png(shown["film"])), np.asarray(png(view["heat"]))
    assert film == pytest.approx(look.whole.numpy() * 255, abs=0.51)
    assert view["film"] is None  # it is with the input, once for all targets
    assert view["size"] == shown["size"] == [look.facts["rows"], look.facts["columns"]]
    geometry = look.geometry
    assert view["box"] == [*geometry.start, *geometry.end]
    assert heat.shape == (*geometry.cells, 4)
    under = [int((at + 0.5) * n / size) for at, n, size in zip(view["peak"], geometry.cells, view["size"], strict=True)]
    assert heat[tuple(under)][3] == heat[..., 3].max() == 230
    assert record["inputs"]["cxr"]["grid"]["axes"] == [1, 2]


def test_a_film_that_is_gone_and_a_map_that_does_not_fit_are_named(predictor, complete_case, tmp_path):
    [prediction] = predictor.predict([complete_case])
    [attribution] = predictor.explain(complete_case, "pneumonia")
    small = replace(attribution, maps=attribution.maps | {"cxr": attribution.maps["cxr"][:, 1:]})
    found = build(predictor, complete_case, prediction, [small])["explanations"][0]["maps"]["cxr"]
    assert found["problem"]["code"] == "map_does_not_fit"
    assert found["problem"]["detail"] == "the map is of 1 x 47 x 40, the input of 1 x 48 x 40"
    gone = ImageFile((tmp_path / "gone.dcm",))
    record = build(
        predictor,
        replace(complete_case, inputs={**complete_case.inputs, "cxr": gone}),
        prediction,
        [attribution],
    )
    assert record["inputs"]["cxr"]["sha256"] is None
    assert record["inputs"]["cxr"]["problem"] == record["explanations"][0]["maps"]["cxr"]["problem"]


@pytest.mark.slow
def test_a_volume_is_shown_in_three_planes_through_its_peak(volume_cohort, answer):
    predictor, cases = volume_cohort
    case = next(case for case in cases if "ct" in case.inputs)
    views = answer(predictor, case)["explanations"][0]["maps"]["ct"]["views"]
    geometry = predictor.preparer.doors["ct"].look(case.inputs["ct"]).geometry
    rows, columns, slices = geometry.stored
    assert [view["size"] for view in views] == [[rows, columns], [slices, columns], [slices, rows]]
    assert re.fullmatch(rf"slice \d+ of {slices}", views[0]["name"])
    assert {np.asarray(png(view["heat"]))[..., 3].max() for view in views} == {230}
    assert [view["letters"] for view in views[1:]] == [["H", "L", "F", "R"], ["H", "P", "F", "A"]]


def test_words_sum_to_the_note_s_share_and_say_where_reading_stopped(predictor, complete_case, answer):
    explanation = answer(predictor, complete_case)["explanations"][0]
    words = explanation["maps"]["note"]["words"]
    assert sum(word["score"] or 0 for word in words) == pytest.approx(explanation["net"]["note"], abs=1e-4)
    sentences = explanation["maps"]["note"]["sentences"]
    assert sum(one["score"] or 0 for one in sentences) == pytest.approx(explanation["net"]["note"], abs=1e-4)
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


def test_an_answer_stands_beside_the_one_before_it(predictor, complete_case, answer):
    inputs = {name: given for name, given in complete_case.inputs.items() if name != "labs"}
    early = predictor.predict([replace(complete_case, inputs=inputs)])[0].record()
    then = datetime(2026, 1, 1, tzinfo=UTC)
    previous = Previous("c-1", then, "modality_added:labs", early | {"artifact": "e" * 64})
    now = answer(predictor, complete_case, previous=previous)
    found = now["comparison"]
    assert (found["name"], found["created"], found["model_changed"]) == ("c-1", "2026-01-01T00:00:00+00:00", True)
    assert found["inputs"] == {"labs": {"before": "absent", "after": "present"}}
    for was, target in zip(early["targets"], now["prediction"]["targets"], strict=True):
        change = found["targets"][target["target"]]
        assert (change["before"], change["after"]) == (was["probability"], target["probability"])
        assert change["delta"] == round(target["probability"] - was["probability"], 6)
        assert change["crossed"] is (was["decision"] is not target["decision"])
    assert answer(predictor, complete_case)["comparison"] is None


def test_a_probability_follows_from_the_line_that_is_on_the_record(predictor, complete_case, answer):
    record = answer(predictor, complete_case)
    assert record["calibration"]["inputs"] == "cxr+note+labs"
    for target in record["prediction"]["targets"]:
        line = record["calibration"]["targets"][target["target"]]
        wanted = 1 / (1 + np.exp(-(line["slope"] * target["logit"] + line["offset"])))
        assert target["probability"] == pytest.approx(wanted, abs=1e-5)
        assert target["threshold"] == line["threshold"]

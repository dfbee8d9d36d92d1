"""What differs between two records is named, the cause before its effects, and no value with it."""

import copy
import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from clinimm.report.binding import tensor_fingerprint
from clinimm.report.differences import STAGES, Difference, differences
from clinimm.types import Note


@pytest.fixture
def record(predictor, complete_case, answer):
    return answer(predictor, complete_case)


def changed(record, *path, to="f" * 64):
    other = copy.deepcopy(record)
    place = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return other


def test_rep_02_a_replay_differs_in_nothing(record, predictor, complete_case, answer):
    assert differences(record, answer(predictor, complete_case, created=None)) == ()


def test_rep_02_another_note_is_the_cause_of_all_that_follows(record, predictor, complete_case, answer):
    other = replace(complete_case, inputs={**complete_case.inputs, "note": Note("Clear lungs, no fever at all.")})
    found = differences(record, answer(predictor, other))
    assert found[0].stage == "input bytes"
    assert "/inputs/note/sha256" in {one.pointer for one in found}
    stages = [one.stage for one in found]
    order = [name for name, _ in STAGES]
    assert stages == sorted(stages, key=order.index)
    assert {"tensors", "answer", "explanation"} <= set(stages)
    assert not {"weights", "config", "code", "packages", "settings"} & set(stages)
    assert not any("Clear" in str(one) for one in found)


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (("case", "case_id"), "case"),
        (("inputs", "cxr", "sha256"), "input bytes"),
        (("model", "files", "weights.safetensors"), "weights"),
        (("model", "config_sha256"), "config"),
        (("model", "files", "calibration.json"), "calibration"),
        (("model", "digest"), "model"),
        (("generator", "code_sha256"), "code"),
        (("generator", "torch"), "packages"),
        (("settings", "machine"), "settings"),
        (("tensors", "cxr", "values", "sha256"), "tensors"),
        (("prediction", "abstained"), "answer"),
        (("explanations", 0, "maps", "cxr", "sha256"), "explanation"),
        (("comparison",), "comparison"),
        (("something_new",), "other"),
    ],
)
def test_each_cause_has_its_name(record, path, stage):
    record["model"]["files"] = {"weights.safetensors": "a" * 64, "calibration.json": "b" * 64}
    pointer = "/" + "/".join(str(key) for key in path)
    assert differences(record, changed(record, *path)) == (Difference(stage, pointer),)


def test_a_list_that_became_empty_and_a_true_that_became_one_differ(record):
    flags = changed(record, "prediction", "flags", to=[])
    assert {one.pointer for one in differences(record, flags)} >= {"/prediction/flags"}
    trusted = changed(record, "explanations", 0, "trusted", to=1)
    assert differences(record, trusted) == (Difference("explanation", "/explanations/0/trusted"),)


def test_a_tensor_s_fingerprint_is_of_its_type_shape_and_little_endian_values():
    values = np.array([[1.5, -2.0, 0.25]], dtype=np.float32)
    wanted = hashlib.sha256(b"<f4 [1, 3]\n" + values.astype("<f4").tobytes()).hexdigest()
    assert tensor_fingerprint(torch.from_numpy(values)) == {"dtype": "<f4", "shape": [1, 3], "sha256": wanted}
    told = {tensor_fingerprint(one)["sha256"] for one in (torch.zeros(4), torch.zeros(2, 2), torch.zeros(4).double())}
    assert len(told) == 3
    across = torch.arange(6.0).reshape(2, 3).T  # not contiguous
    assert tensor_fingerprint(across) == tensor_fingerprint(across.contiguous())


def test_the_tensors_on_the_record_are_those_that_the_model_saw(record, predictor, complete_case):
    batch = predictor.admit(complete_case)[0]
    for name, part in batch.modalities.items():
        assert record["tensors"][name]["values"] == tensor_fingerprint(part.values)
        assert ("mask" in record["tensors"][name]) is (part.mask is not None)

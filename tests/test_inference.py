"""A predictor keeps the three promises: absent means absent, nothing is guessed, the same again."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clinimm import artifact
from clinimm.artifact import seen_patients, verify
from clinimm.config import Config
from clinimm.conformal import Basis
from clinimm.data.cohort import read_cohort
from clinimm.errors import ArtifactError, ConfigError
from clinimm.evaluation.judge import artifacts_in, judge
from clinimm.guard.guards import Guards
from clinimm.inference import Predictor
from clinimm.io.sandbox import Sandbox
from clinimm.pseudonyms import hashed
from clinimm.types import Abstention, Case, ImageFile, Measurement, Measurements, Status


@pytest.fixture(scope="module")
def predictor(tiny_artifact: Path) -> Predictor:
    return Predictor.load(tiny_artifact)


@pytest.fixture(scope="module")
def cases(tiny_cohort: Path, tiny_config: Config) -> list[Case]:
    return read_cohort(tiny_config, tiny_cohort)


def test_every_subset_of_inputs_is_answered_and_what_is_missing_is_named(
    predictor: Predictor, cases: list[Case]
) -> None:
    for case in cases[:12]:
        answer = predictor.predict([case])[0]
        assert answer.used == tuple(case.inputs)
        assert sum(answer.weights.values()) == pytest.approx(1, abs=1e-6)
        for name in set(answer.weights) - set(case.inputs):
            assert answer.weights[name] == 0
            assert f"missing:{name}" in answer.flags
        for target in answer.targets:
            assert target.probability is not None
            assert 0 < target.probability < 1
            assert target.decision is (target.probability >= target.threshold)


def test_nothing_usable_is_abstained_from_with_no_number(predictor: Predictor, tmp_path: Path) -> None:
    rubbish = tmp_path / "film.dcm"
    rubbish.write_bytes(b"no picture at all")
    answer = predictor.predict([Case("c", "p", {"cxr": ImageFile((rubbish,))})])[0]
    assert answer.abstained == "no_usable_input"
    assert all(t.probability is None and t.decision is None and t.abstained for t in answer.targets)
    assert set(answer.weights.values()) == {0.0}
    assert not answer.inputs["cxr"].usable
    assert answer.inputs["cxr"].reason
    assert predictor.explain(Case("c", "p")) == []


def test_a_model_that_gives_no_number_is_abstained_from(tiny_artifact: Path, cases: list[Case]) -> None:
    broken = Predictor.load(tiny_artifact)
    with torch.no_grad():
        for parameter in broken.network.parameters():
            parameter.fill_(float("nan"))
    answer = broken.predict([cases[0]])[0]
    assert answer.abstained == "model_unavailable"
    assert all(t.probability is None for t in answer.targets)


def test_the_same_case_again_is_the_same_answer_to_the_bit(tiny_artifact: Path, cases: list[Case]) -> None:
    first = Predictor.load(tiny_artifact).predict(cases[:4])
    assert first == Predictor.load(tiny_artifact).predict(cases[:4])


def test_who_stands_beside_a_case_does_not_matter(predictor: Predictor, cases: list[Case]) -> None:
    together = predictor.predict(cases[:6])
    assert together == [predictor.predict([case])[0] for case in cases[:6]]


def test_an_explanation_adds_up_and_gives_the_absent_exactly_nothing(predictor: Predictor, cases: list[Case]) -> None:
    case = next(case for case in cases if len(case.inputs) == 2)
    (absent,) = {"cxr", "note", "labs"} - set(case.inputs)
    answer = predictor.predict([case])[0]
    for attribution in predictor.explain(case):
        assert sum(attribution.shapley.values()) == pytest.approx(attribution.logit - attribution.prior_logit, abs=1e-4)
        assert attribution.shapley[absent] == 0
        assert not np.any(attribution.maps[absent])
        served = next(t for t in answer.targets if t.target == attribution.target)
        assert served.logit == pytest.approx(attribution.logit, abs=1e-4)


@pytest.mark.slow
def test_an_explanation_says_what_it_was_tested_for(predictor: Predictor, cases: list[Case]) -> None:
    case = next(case for case in cases if len(case.inputs) == 3)
    [quick], [thorough] = (predictor.explain(case, "pneumonia", thorough=one) for one in (False, True))
    assert {"completeness", "efficiency", "gate"} <= {check.name for check in quick.checks}
    only = {check.name for check in thorough.checks} - {check.name for check in quick.checks}
    assert {"repeat", "sensitivity", "randomized weights"} <= only
    assert {check.name: check.value for check in thorough.checks}["repeat"] == 0
    assert thorough.trusted is (thorough.failed == ())


def test_an_unknown_target_says_what_the_targets_are(predictor: Predictor, cases: list[Case]) -> None:
    with pytest.raises(ConfigError, match="pneumonia"):
        predictor.explain(cases[0], "pneumonis")


def test_any_edit_of_an_artifact_is_found_and_named(tiny_artifact: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for path in tiny_artifact.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        return folder

    weights = copy("weights")
    raw = bytearray((weights / "weights.safetensors").read_bytes())
    raw[-1] ^= 1
    (weights / "weights.safetensors").write_bytes(raw)
    missing, extra = copy("missing"), copy("extra")
    (missing / "calibration.json").unlink()
    (extra / "code.pkl").write_bytes(b"")
    faults = {
        weights: "weights.safetensors was changed",
        missing: "calibration.json is missing",
        extra: "code.pkl is not in the manifest",
    }
    for folder, fault in faults.items():
        with pytest.raises(ArtifactError, match=fault):
            artifact.load(folder, Sandbox())
    with pytest.raises(ArtifactError, match="cannot be read"):
        verify(tmp_path / "nowhere")


def test_a_model_is_never_judged_on_a_patient_it_has_seen(tiny_artifact: Path, cases: list[Case]) -> None:
    seen = seen_patients(tiny_artifact)
    fresh = [case for case in cases if hashed(case.patient_id) not in seen]
    assert 0 < len(fresh) < len(cases)
    found = judge(artifacts_in(tiny_artifact.parent), cases, bootstrap=10)
    assert found.evaluation.cases == len(fresh)
    assert found.left_out == len(cases) - len(fresh)


def test_a_damaged_input_has_a_reason_and_the_others_still_answer(
    predictor: Predictor, cases: list[Case], tmp_path: Path
) -> None:
    case = next(case for case in cases if len(case.inputs) == 3)
    torn = tmp_path / "torn.dcm"
    film = case.inputs["cxr"]
    assert isinstance(film, ImageFile)
    torn.write_bytes(film.paths[0].read_bytes()[:2500])
    answer = predictor.predict([replace(case, inputs=dict(case.inputs) | {"cxr": ImageFile((torn,))})])[0]
    assert answer.inputs["cxr"].status is Status.UNREADABLE
    assert "unreadable:cxr" in answer.flags
    assert answer.abstained is None
    without = {name: given for name, given in case.inputs.items() if name != "cxr"}
    assert answer.targets == predictor.predict([replace(case, inputs=without)])[0].targets


def refusing(predictor: Predictor) -> Predictor:
    """The predictor with a guard that no film passes."""
    guard = predictor.guards.by_name["cxr"]
    thresholds = replace(guard.thresholds, flag=-math.inf, block=-math.inf)
    guards = Guards({**predictor.guards.by_name, "cxr": replace(guard, thresholds=thresholds)})
    return replace(predictor, guards=guards)


def test_a_blocked_film_is_hidden_before_fusion_and_the_rest_answers(predictor: Predictor, cases: list[Case]) -> None:
    case = next(case for case in cases if len(case.inputs) == 3)
    strict = refusing(predictor)
    answer = strict.predict([case])[0]
    assert answer.inputs["cxr"].status is Status.REJECTED
    assert answer.weights["cxr"] == 0
    assert answer.outliers["cxr"].verdict == "block"
    without = {name: given for name, given in case.inputs.items() if name != "cxr"}
    assert answer.targets == predictor.predict([replace(case, inputs=without)])[0].targets
    (first, *_) = strict.explain(case)
    assert first.shapley["cxr"] == 0
    assert not np.any(first.maps["cxr"])


def test_a_blocked_film_alone_is_a_rejected_image(predictor: Predictor, cases: list[Case]) -> None:
    case = next(case for case in cases if "cxr" in case.inputs)
    alone = replace(case, inputs={"cxr": case.inputs["cxr"]})
    answer = refusing(predictor).predict([alone])[0]
    assert answer.abstained is Abstention.IMAGE_REJECTED
    assert all(t.probability is None and t.logit is None for t in answer.targets)
    assert json.loads(json.dumps(answer.record()))["abstained"] == "image_rejected"


def test_a_held_case_gets_neither_answer_nor_explanation(predictor: Predictor, cases: list[Case]) -> None:
    held = replace(cases[0], hold=Abstention.IDENTITY_CONFLICT)
    assert predictor.predict([held])[0].abstained is Abstention.IDENTITY_CONFLICT
    assert predictor.explain(held) == []


def test_values_that_no_living_patient_has_are_told_from_none(predictor: Predictor) -> None:
    labs = next(m for m in predictor.modalities if m.name == "labs")
    analyte = next(a for a in labs.analytes if a.plausible)
    panel = Measurements((Measurement(analyte.name, 1e9, analyte.unit),))
    assert predictor.predict([Case("c", "p", {"labs": panel})])[0].abstained is Abstention.IMPLAUSIBLE_INPUT


def test_inputs_of_a_case_are_compared_and_the_answer_says_what_its_set_stands_on(
    predictor: Predictor, cases: list[Case]
) -> None:
    answers = predictor.predict(cases[:10])
    for answer in answers:
        assert (answer.conflict is not None) == (len(answer.used) > 1)
        for target in answer.targets:
            assert target.coverage == pytest.approx(1 - predictor.config.decision.alpha)
            assert target.conformal_level in set(Basis)
            assert set(target.conformal_set or ()) <= {True, False}

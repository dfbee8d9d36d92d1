"""Every reason for giving no answer is reached, the first that applies is given, and none comes with a number."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from clinimm.calibration import Calibrator
from clinimm.config.decision import Decision as Section
from clinimm.decision import Decider, Rules, Said, Uncertainty
from clinimm.errors import ArtifactError
from clinimm.scores import Scores, subsets
from clinimm.types import Abstention, InputState, Kind, Outlier, Status

NAMES = ("cxr", "note", "labs")
KINDS = {"cxr": Kind.IMAGE, "note": Kind.TEXT, "labs": Kind.TABULAR}
TARGETS = ("ill", "better")
HERE = InputState(Status.PRESENT)
GONE = InputState(Status.ABSENT, "not_provided")
REFUSED = InputState(Status.REJECTED, "wrong_body_part", quality={"sharpness": 0.3, "age_days": 0.0})
NO_PICTURE = InputState(Status.REJECTED, "not_dicom")
LATE = InputState(Status.REJECTED, "after_index_time", quality={"age_days": -1.0})
TORN = InputState(Status.UNREADABLE, "damaged")
IMPOSSIBLE = InputState(Status.REJECTED, "implausible_lab")


@pytest.fixture(scope="module")
def scores() -> Scores:
    rng = np.random.default_rng(0)
    n = 1500
    truth = rng.normal(size=(n, 2)) * 2
    targets = (rng.random((n, 2)) < expit(truth)).astype(float)
    present = rng.random((n, 3)) < 0.8
    present[~present.any(axis=1), 0] = True
    ids = tuple(f"p{i}" for i in range(n))
    logits = {name: truth + rng.normal(size=(n, 2)) / (1 + name.count("+")) for name in subsets(NAMES)}
    return Scores(ids, ids, TARGETS, NAMES, targets, present, logits)


@pytest.fixture(scope="module")
def decider(scores: Scores) -> Decider:
    calibrator = Calibrator.fit(scores, sensitivity=0.9, bootstrap=40)
    return Decider(TARGETS, KINDS, calibrator, Uncertainty.fit(scores, calibrator, alpha=0.1), rules())


def rules(**changes: object) -> Rules:
    section = Section.model_validate(changes).model_dump()
    return Rules(**{name: value for name, value in section.items() if name != "alpha"})


def said(cxr: InputState = HERE, note: InputState = HERE, labs: InputState = HERE, **facts: object) -> Said:
    agree = {name: np.array([1.0, -1.0]) for name in NAMES}
    given = {"logits": np.array([1.2, -1.3]), "singles": agree} | facts
    return Said({"cxr": cxr, "note": note, "labs": labs}, **given)


def test_an_answer_has_a_set_its_coverage_and_what_it_stands_on(decider: Decider) -> None:
    found = decider.decide(said())
    assert found.abstained is None
    assert found.flags == ()
    for target in found.targets:
        assert target.abstained is None
        assert target.coverage == pytest.approx(0.9)
        assert target.conformal_level == "own"
        assert target.conformal_set is not None
    sure = decider.decide(said(logits=np.array([6.0, -6.0]))).targets
    assert [target.conformal_set for target in sure] == [(True,), (False,)]
    unsure = decider.decide(said(labs=GONE, note=GONE, singles={}, logits=np.array([0.0, 0.0]))).targets
    assert [target.conformal_set for target in unsure] == [(False, True), (False, True)]


REACHED = {
    Abstention.IDENTITY_CONFLICT: said(hold=Abstention.IDENTITY_CONFLICT),
    Abstention.NO_USABLE_INPUT: said(TORN, GONE, GONE, singles={}),
    Abstention.IMAGE_REJECTED: said(REFUSED, GONE, GONE, singles={}),
    Abstention.OOD: said(GONE, HERE, GONE, singles={}, outliers={"note": Outlier(100, "flag", ("far",))}),
    Abstention.MODALITY_DISAGREEMENT: said(
        singles={"cxr": np.array([9.0, 9.0]), "note": np.array([9.0, 9.0]), "labs": np.array([-9.0, -9.0])}
    ),
    Abstention.IMPLAUSIBLE_INPUT: said(GONE, GONE, IMPOSSIBLE, singles={}),
    Abstention.MODEL_UNAVAILABLE: said(logits=np.array([1.0, np.nan])),
}


@pytest.mark.parametrize("reason", REACHED, ids=str)
def test_every_reason_is_reached_and_gives_no_number(reason: Abstention, decider: Decider) -> None:
    found = decider.decide(REACHED[reason])
    assert found.abstained is reason
    for target in found.targets:
        assert target.abstained is reason
        assert (target.probability, target.interval, target.decision, target.logit) == (None, None, None, None)
        assert (target.conformal_set, target.coverage, target.conformal_level) == (None, None, None)


@pytest.mark.slow
def test_the_last_reason_is_reached_where_no_label_was_ever_seen(scores: Scores) -> None:
    blind = replace(scores, targets=np.full_like(scores.targets, np.nan))
    half = replace(scores, targets=np.where([True, False], scores.targets, np.nan))
    for known, reason in ((blind, Abstention.LOW_RELIABILITY), (half, None)):
        calibrator = Calibrator.fit(known, sensitivity=0.9, bootstrap=2)
        uncertainty = Uncertainty.fit(known, calibrator, alpha=0.1)
        found = Decider(TARGETS, KINDS, calibrator, uncertainty, rules()).decide(said())
        assert found.abstained is reason
        assert found.targets[1].abstained is Abstention.LOW_RELIABILITY
        assert found.targets[1].probability is None
        answered = Decider(TARGETS, KINDS, calibrator, uncertainty, rules(abstain_uncalibrated=False)).decide(said())
        assert answered.abstained is None
        assert answered.flags == ("calibration:identity",)
    assert found.targets[0].probability is not None
    assert set(Abstention) == {*REACHED, Abstention.LOW_RELIABILITY}


@pytest.mark.parametrize("state", [NO_PICTURE, LATE, TORN])
def test_an_image_that_was_never_looked_at_was_not_rejected_for_what_it_shows(
    state: InputState, decider: Decider
) -> None:
    assert decider.decide(said(state, GONE, GONE, singles={})).abstained is Abstention.NO_USABLE_INPUT


def test_a_target_without_calibration_is_no_model(decider: Decider) -> None:
    other = Calibrator({"ill": decider.calibrator.targets["ill"]})
    assert replace(decider, calibrator=other).decide(said()).abstained is Abstention.MODEL_UNAVAILABLE


def test_the_first_reason_wins(decider: Decider) -> None:
    everything = said(REFUSED, GONE, GONE, singles={}, logits=np.array([np.nan, np.nan]))
    assert decider.decide(everything).abstained is Abstention.IMAGE_REJECTED
    held = replace(everything, hold=Abstention.IDENTITY_CONFLICT)
    assert decider.decide(held).abstained is Abstention.IDENTITY_CONFLICT


def test_a_blocked_image_leaves_the_rest_to_answer_unless_it_is_required(decider: Decider) -> None:
    blocked = said(cxr=REFUSED)
    found = decider.decide(blocked)
    assert found.abstained is None
    assert "rejected:cxr" in found.flags
    strict = replace(decider, rules=rules(required=("cxr",)))
    assert strict.decide(blocked).abstained is Abstention.IMAGE_REJECTED
    assert strict.decide(said(cxr=GONE)).abstained is Abstention.NO_USABLE_INPUT


def test_odd_inputs_are_flagged_and_abstained_from_as_the_rules_say(decider: Decider) -> None:
    odd = {"cxr": Outlier(100, "flag", ("inverted", "noise")), "labs": Outlier(40, "ok")}
    found = decider.decide(said(outliers=odd))
    assert found.abstained is None
    assert found.flags == ("ood:cxr:inverted",)
    assert replace(decider, rules=rules(outlier_abstains="any")).decide(said(outliers=odd)).abstained is Abstention.OOD
    all_odd = said(outliers={name: Outlier(100, "flag") for name in NAMES})
    assert decider.decide(all_odd).abstained is Abstention.OOD
    assert replace(decider, rules=rules(outlier_abstains="never")).decide(all_odd).abstained is None


def test_a_disagreement_is_flagged_before_it_is_abstained_from(decider: Decider) -> None:
    torn = REACHED[Abstention.MODALITY_DISAGREEMENT]
    lenient = replace(decider, rules=rules(conflict_abstain=0)).decide(torn)
    assert lenient.abstained is None
    assert lenient.conflict is not None
    assert "labs" in lenient.conflict.inputs
    assert lenient.flags == (f"conflict:{'+'.join(lenient.conflict.inputs)}",)


def test_only_what_settles_the_question_is_answered_if_the_rules_want_that(decider: Decider) -> None:
    strict = replace(decider, rules=rules(abstain_undecided=True))
    mixed = strict.decide(said(labs=GONE, note=GONE, singles={}, logits=np.array([6.0, 0.0])))
    assert mixed.abstained is None
    assert [target.abstained for target in mixed.targets] == [None, Abstention.LOW_RELIABILITY]
    narrow = replace(decider, rules=rules(widest_interval=1e-6))
    assert narrow.decide(said()).abstained is Abstention.LOW_RELIABILITY


def test_the_record_gives_it_back_to_the_last_bit_and_what_is_none_is_refused(decider: Decider) -> None:
    kept = json.loads(json.dumps(decider.uncertainty.record()))
    assert Uncertainty.from_record(kept) == decider.uncertainty
    for values in (None, [], {}, kept | {"conformal": {}}, kept | {"disagreements": {}}):
        with pytest.raises(ArtifactError):
            Uncertainty.from_record(values)


def test_an_input_that_the_gate_doubts_is_named_and_one_alone_is_no_ground_for_an_answer(decider: Decider) -> None:
    found = decider.decide(said(doubted=("cxr",)))
    assert (found.flags, found.abstained) == (("doubted:cxr",), None)
    alone = said(note=GONE, labs=GONE, doubted=("cxr",))
    assert decider.decide(alone).abstained is Abstention.LOW_RELIABILITY
    assert replace(decider, rules=rules(abstain_doubted=False)).decide(alone).abstained is None


@pytest.mark.slow
def test_what_an_artifact_keeps_knows_its_targets_apart_whatever_they_are_called(scores: Scores) -> None:
    """JSON files are written with their names in order of the alphabet; the targets come in the model's."""
    odd = replace(scores, target_names=("pneumonia", "edema"))
    calibrator = Calibrator.fit(odd, sensitivity=0.9, bootstrap=20)
    fitted = Uncertainty.fit(odd, calibrator, alpha=0.1)
    kept = Uncertainty.from_record(json.loads(json.dumps(fitted.record(), sort_keys=True)))
    whole = calibrator.apply(odd.logits[odd.whole], odd.patterns(odd.whole))
    patterns = odd.patterns(odd.whole)
    assert np.array_equal(kept.conformal.sets(whole, patterns), fitted.conformal.sets(whole, patterns))
    singles = {name: whole[0] * share for name, share in zip(NAMES, (1.0, 0.5, 0.1), strict=True)}
    assert kept.disagreements.judge(singles) == fitted.disagreements.judge(singles)

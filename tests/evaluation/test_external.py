"""A model at another hospital: the mean of the folds, and what becomes of ranking and calibration."""

import json

import numpy as np
import pytest
from scipy.special import expit, logit

from clinimm.evaluation.answers import Answers
from clinimm.evaluation.evaluate import evaluate
from clinimm.evaluation.external import committee_of_folds, external, external_grid, internal_auroc
from clinimm.scores import Scores, subsets


def at_hospital(seed, n=300, shift=0.0, noise=0.0):
    """Answers that are calibrated but for `shift`; `noise` spoils their order."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(1.5 * rng.normal(size=n // 2), 2)
    labels = np.repeat(rng.random(n // 2), 2) < expit(truth)
    said = (truth + noise * rng.normal(size=n) + shift)[:, None]
    names = ("cxr", "labs")
    logits = dict.fromkeys(subsets(names), said)
    present = np.ones((n, 2), bool)
    ids = tuple(f"s{seed}p{i // 2}" for i in range(n))
    scores = Scores(
        tuple(f"s{seed}c{i}" for i in range(n)), ids, ("severe",), names, labels[:, None] * 1.0, present, logits
    )
    p = {subset: expit(one) for subset, one in logits.items()}
    return Answers(scores, p, {subset: one > 0.5 for subset, one in p.items()})


@pytest.fixture(scope="module")
def home():
    return evaluate(at_hospital(1), bootstrap=200).record()


def test_nothing_changes_at_a_hospital_alike(home):
    found = external(at_hospital(2), [home], bootstrap=200)[0]
    assert found.change.low < 0 < found.change.high
    assert found.in_the_large.low < 0 < found.in_the_large.high
    assert found.slope.low < 1 < found.slope.high
    assert found.verdict == (
        f"severe: it orders cases no clearly other way than at home ({found.change.value:+.3f} "
        f"[{found.change.low:+.3f}, {found.change.high:+.3f}] AUROC). On average it promises what is observed."
    )


def test_a_wrong_prevalence_is_mended_by_the_offset_and_a_worse_order_is_not(home):
    shifted = external(at_hospital(3, shift=1.5), [home], bootstrap=200)[0]
    assert shifted.in_the_large.low > 0.1
    assert "promises more than is observed" in shifted.verdict
    assert shifted.offset.low < -1.5 < shifted.offset.high
    assert shifted.brier["offset set here"].value < shifted.brier["as it came"].value - 0.02
    noisy = external(at_hospital(3, noise=5.0), [home], bootstrap=200)[0]
    assert noisy.change.high < 0
    assert noisy.slope.high < 0.6
    assert "it orders cases worse here" in noisy.verdict


def test_the_folds_answer_together_by_their_mean_logit():
    parts = [at_hospital(4, noise=noise) for noise in (0.0, 2.0)]
    together = committee_of_folds(parts, [np.array([0.2]), np.array([0.6])])
    whole = together.scores.whole
    mean = (logit(parts[0].probabilities[whole]) + logit(parts[1].probabilities[whole])) / 2
    np.testing.assert_allclose(together.probabilities[whole], expit(mean))
    threshold = expit((logit(0.2) + logit(0.6)) / 2)
    np.testing.assert_array_equal(together.flagged[whole], expit(mean) >= threshold)
    assert committee_of_folds(parts[:1], [np.array([0.2])]) is parts[0]
    with pytest.raises(ValueError, match="different cases"):
        committee_of_folds([parts[0], at_hospital(5)], [np.array([0.2])] * 2)


def test_home_is_the_mean_of_the_folds_with_a_narrower_interval(home):
    other = evaluate(at_hospital(6), bootstrap=200).record()
    one, both = internal_auroc([home], "severe"), internal_auroc([home, other], "severe")
    values = [record["targets"][0]["subsets"][-1]["metrics"]["auroc"]["value"] for record in (home, other)]
    assert one.value == values[0]
    assert both.value == pytest.approx(np.mean(values))
    assert both.high - both.low < one.high - one.low
    assert internal_auroc([{}], "severe").value is None
    assert internal_auroc([], "severe").value is None


def test_it_can_be_told_without_a_home_and_as_json(home):
    found = external(at_hospital(2), bootstrap=50)
    assert found[0].internal.value is None
    assert found[0].verdict.startswith("severe: it orders cases with an AUROC of 0.")
    record = [one.record() for one in external(at_hospital(2), [home], bootstrap=50)]
    assert json.loads(json.dumps(record)) == record
    assert external_grid(found).rows[0][0] == "severe"

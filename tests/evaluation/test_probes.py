"""Probes of a made-up model on made-up cohorts with planted shortcuts."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from scipy.special import expit

from clinimm.batch import Batch, ModalityBatch, ModelOutput, Tokens
from clinimm.calibration import Calibrator
from clinimm.data.quality import QUALITIES
from clinimm.evaluation.plain import plain_cases
from clinimm.evaluation.probes.ask import Probed, probe
from clinimm.evaluation.probes.changes import (
    ALONE,
    BORDER,
    COVERED,
    HIDDEN,
    REVEALED,
    SWAPPED,
    Change,
    frame,
    known_of,
    picture_changes,
    table_changes,
)
from clinimm.evaluation.probes.findings import AUROC, CHANGE, FOLLOWS, MOVED, findings
from clinimm.evaluation.probes.shortcuts import Sight
from clinimm.evaluation.probes.within import pairs_within, sites_of
from clinimm.scores import Scores, subsets
from clinimm.types import Analyte, Case, InputState, Kind, Modality, Status

MODALITIES = (
    Modality("cxr", Kind.IMAGE, (1, 24, 24)),
    Modality("labs", Kind.TABULAR, (4,), tuple(Analyte(name, "1") for name in "abcd")),
)
STATE = InputState(Status.PRESENT)


def cohort(n=140, seed=0, gaps=0.0, border=0.0, center=0.0, sized=0.0, site=0.0):
    """Two films a patient. Each argument says how strongly the label shows there."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.random(n // 2) < 0.5, 2)
    towards = np.where(labels, 1.0, -1.0)
    pictures = torch.tensor(rng.normal(size=(n, 1, 24, 24)), dtype=torch.float32)
    signs = torch.tensor(towards, dtype=torch.float32)[:, None, None]
    pictures[:, 0, :1] += border * signs
    pictures[:, 0, 8:16, 8:16] += center * signs
    known = torch.tensor(rng.random((n, 4)) < (0.6 + 0.35 * gaps * towards)[:, None])
    known[~known.any(dim=1), 0] = True
    labs = torch.where(known, torch.tensor(rng.normal(size=(n, 4)), dtype=torch.float32), 0.0)
    quality = {kind: torch.zeros(n, len(names)) for kind, names in QUALITIES.items()}
    there = torch.ones(n, dtype=torch.bool)
    parts = {
        "cxr": ModalityBatch(pictures, there, None, quality[Kind.IMAGE], (STATE,) * n),
        "labs": ModalityBatch(labs, there.clone(), known, quality[Kind.TABULAR], (STATE,) * n),
    }
    hospitals = np.where(rng.random(n) < 0.5 + 0.45 * site * towards, "north", "south")
    cases = [Case(f"s{seed}c{i}", f"s{seed}p{i // 2}", attributes={"site": str(hospitals[i])}) for i in range(n)]
    targets = torch.tensor(labels, dtype=torch.float32)[:, None]
    batch = Batch(tuple(case.case_id for case in cases), parts, targets, torch.ones(n, 1, dtype=torch.bool))
    sizes = {
        case.case_id: (6.0 + sized * t + 0.1 * rng.normal(), 6.0, 0.0, 8.0)
        for case, t in zip(cases, towards, strict=True)
    }
    return Sight(cases, batch, plain_cases(cases, batch, MODALITIES)), sizes


class Sums:
    """A model that adds up what it is told to look at; every number is a token."""

    modalities = MODALITIES

    def __init__(self, gaps=0.0, values=0.0, border=0.0, center=0.0):
        self.gaps, self.values = gaps, values
        self.where = torch.zeros(1, 24, 24)
        self.where[:, :1] = border / 24
        self.where[:, 8:16, 8:16] = center / 64

    def tokens(self, batch, present):
        labs, cxr = batch.modalities["labs"], batch.modalities["cxr"]
        known = known_of(labs).float()
        seen = self.gaps * known.sum(1) + self.values * (labs.values * known).sum(1)
        shown = (cxr.values * self.where).flatten(1).sum(1)
        return {"cxr": Tokens.of_all(shown[:, None, None]), "labs": Tokens.of_all(seen[:, None, None])}

    def fuse(self, tokens, present, quality):
        said = torch.stack([tokens[m.name].values[:, 0, 0] for m in MODALITIES], dim=1) * present
        return ModelOutput(said.sum(1, keepdim=True), said[:, :, None], said[:, :1], present.float())


@cache
def calibrator():
    """One that finds logits about right as they are."""
    rng = np.random.default_rng(0)
    logits = 1.5 * rng.normal(size=(2000, 1))
    targets = (rng.random((2000, 1)) < expit(logits)).astype(float)
    ids, names = tuple(str(i) for i in range(2000)), tuple(m.name for m in MODALITIES)
    by_subset = dict.fromkeys(subsets(names), logits)
    scores = Scores(ids, ids, ("severe",), names, targets, np.ones((2000, 2), bool), by_subset)
    return Calibrator.fit(scores, sensitivity=0.9, bootstrap=2)


def probed(model, **planted):
    (train, first), (test, second) = cohort(seed=1, **planted), cohort(seed=2, **planted)
    return probe(model, calibrator(), train, test, target_names=("severe",), sizes={"cxr": {**first, **second}}, seed=0)


def auroc(found, kind, start=""):
    return max(f.value.value for f in found.of(f"{kind} alone") if f.name.startswith(start))


def clear(found, kind):
    return any("shortcut is there" in f.says for f in found.of(f"{kind} alone"))


@pytest.mark.parametrize(
    ("planted", "kind"),
    [({"gaps": 0.8}, "gaps"), ({"border": 1.0}, "border"), ({"sized": 0.3}, "size"), ({"site": 0.8}, "site")],
)
@pytest.mark.slow
def test_a_planted_shortcut_is_found_by_its_probe_and_by_no_other(planted, kind):
    found = findings(probed(Sums(), **planted), bootstrap=100)[0]
    assert auroc(found, kind) > 0.75
    assert clear(found, kind)
    for other in {"gaps", "border", "size", "site"} - {kind}:
        assert auroc(found, other) < 0.65


@pytest.mark.slow
def test_a_model_that_reads_values_does_not_follow_gaps_and_one_that_counts_does():
    reads = findings(probed(Sums(values=1.0), gaps=0.8), bootstrap=100)[0]
    counts = findings(probed(Sums(gaps=1.0), gaps=0.8), bootstrap=100)[0]
    followed = [next(f for f in found.all if f.measure == FOLLOWS).value for found in (reads, counts)]
    assert followed[0].low < 0 < followed[0].high
    assert followed[1].low > 0.7
    closed = [
        {f.measure: f.value.value for f in found.of("mask flip") if f.name == f"labs, {REVEALED}"}
        for found in (reads, counts)
    ]
    assert closed[0][MOVED] == pytest.approx(0, abs=1e-6)  # the median adds nothing to a sum of values
    assert closed[0][CHANGE] == pytest.approx(0, abs=1e-6)
    assert closed[1][MOVED] > 0.5
    assert closed[1][CHANGE] < -0.2  # all that it knew was in the gaps


@pytest.mark.slow
def test_what_lies_on_the_border_does_not_survive_its_cover_and_the_center_does():
    for model, planted, lost in ((Sums(border=2.0), {"border": 1.0}, True), (Sums(center=2.0), {"center": 0.3}, False)):
        found = findings(probed(model, **planted), bootstrap=100)[0]
        value = {f.name: f.value.value for f in found.of("picture cut") if f.measure == AUROC}
        covered, border = value[f"cxr, {COVERED}"], value[f"cxr, {BORDER}"]
        assert (covered < 0.65) == lost
        assert (border > 0.75) == lost


def test_within_a_site_a_model_of_sites_knows_nothing():
    said = probed(Sums(values=1.0), site=0.9)
    knows = np.array([[1.0 if site == "north" else -1.0] for site in said.sites])
    rng = np.random.default_rng(0)
    learned = Probed(**{**said.__dict__, "base": knows + 0.01 * rng.normal(size=knows.shape)})
    found = findings(learned, bootstrap=100)[0].of("within a site")
    assert [f.name for f in found] == ["pairs within any", *sites_of(np.array(said.sites), said.targets[:, 0] > 0.5)]
    assert found[0].value.low < 0.5 < found[0].value.high
    assert "of all pairs 0.8" in found[0].says


def test_pairs_within_groups_by_hand():
    labels = np.array([True, False, True, False, False])
    scores = np.array([0.9, 0.1, 0.2, 0.3, 0.2])
    groups = np.array(["a", "a", "b", "b", "b"], dtype=object)
    share = pairs_within(labels, scores, groups)
    weights = np.array([[1.0] * 5, [2.0, 1.0, 1.0, 0.0, 1.0]])
    np.testing.assert_allclose(share(weights), [1.5 / 3, 2.5 / 3])


@pytest.mark.slow
def test_folds_join_and_all_of_it_is_json():
    one, two = probed(Sums(values=1.0, gaps=0.5), gaps=0.5), probed(Sums(gaps=1.0), gaps=0.5)
    both = Probed.concat([one, two])
    assert len(both.base) == len(one.base) + len(two.base)
    assert set(both.changed) == set(one.changed)
    record = findings(both, bootstrap=20)[0].record()
    assert json.loads(json.dumps(record)) == record
    assert all(f["says"] == "" or f["says"].endswith(".") for f in record["findings"])


def test_changes_touch_what_they_say_and_nothing_else():
    batch = cohort(n=40)[0].batch
    batch.modalities["cxr"].present[:3] = False
    changes = picture_changes(batch, MODALITIES[0], 7.0)
    covered = changes[Change(COVERED, "cxr")].batch.modalities["cxr"].values
    edge = frame(MODALITIES[0], 0.08)
    assert (covered[:, edge] == 7.0).all()
    assert torch.equal(covered[:, ~edge], batch.modalities["cxr"].values[:, ~edge])
    assert not changes[Change(ALONE, "cxr")].rows[:3].any()
    assert not changes[Change(ALONE, "cxr")].batch.modalities["labs"].present.any()
    labs = batch.modalities["labs"]
    tables = table_changes(batch, MODALITIES[1], 0)
    hidden = tables[Change(HIDDEN, "labs", "b")]
    after = hidden.batch.modalities["labs"]
    assert not known_of(after)[:, 1].any()
    assert torch.equal(hidden.rows, known_of(labs)[:, 1])
    assert torch.equal(after.present, known_of(after).any(1))
    revealed = tables[Change(REVEALED, "labs")].batch.modalities["labs"]
    assert known_of(revealed).all()
    assert (revealed.values[~known_of(labs)] == 0).all()
    swapped = known_of(tables[Change(SWAPPED, "labs")].batch.modalities["labs"])
    assert not (swapped & ~known_of(labs)).any()
    completeness = QUALITIES[Kind.TABULAR].index("completeness")
    torch.testing.assert_close(after.quality[:, completeness], known_of(after).float().mean(1))

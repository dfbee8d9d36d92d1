"""How a committee is trained: every patient held out once, and judged by members that never saw it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import MODALITIES, VOCABULARY, random_batch, small_network

from clinimm import artifact
from clinimm.batch import Batch, ModalityBatch
from clinimm.config import Config, parse
from clinimm.data.cohort import read_cohort
from clinimm.inference import Predictor
from clinimm.models.build import EncoderPlan, build_network
from clinimm.models.features import fixed_encoders
from clinimm.models.learner import FeatureLearner
from clinimm.pseudonyms import hashed
from clinimm.scores import Scores
from clinimm.training.committee import Development, Held, best_share, held_out, is_helped, learner_said
from clinimm.training.folds import split
from clinimm.training.learner import Recipe
from clinimm.types import Analyte, InputState, Kind, Modality, Status

PANELS = tuple(
    Modality(name, Kind.TABULAR, (8,), tuple(Analyte(f"{name}{i}", "mg/L") for i in range(8))) for name in ("a", "b")
)


@pytest.mark.parametrize("folds", [0, 2, 5])
def test_every_fold_parts_the_patients(tiny_cohort: Path, tiny_config: Config, folds: int) -> None:
    splits = split(tiny_config, read_cohort(tiny_config, tiny_cohort))
    cases = (*splits.train, *splits.val)
    parts = held_out(splits, folds, seed=3)
    assert len(parts) == max(folds, 1)
    for part in parts:
        assert sorted((*part.learned, *part.held)) == list(range(len(cases)))
        assert not {cases[i].patient_id for i in part.learned} & {cases[i].patient_id for i in part.held}
    if folds:
        assert sorted(i for part in parts for i in part.held) == list(range(len(cases)))


def test_an_artifact_tells_who_was_held_out_from_whom(
    tiny_artifact: Path, tiny_cohort: Path, tiny_config: Config
) -> None:
    splits = split(tiny_config, read_cohort(tiny_config, tiny_cohort))
    told = artifact.held_out_patients(tiny_artifact)
    assert len(told) == tiny_config.committee.folds == len(Predictor.load(tiny_artifact).network.nets)
    seen = {hashed(case.patient_id) for case in (*splits.train, *splits.val)}
    assert frozenset().union(*told) == seen == artifact.seen_patients(tiny_artifact)
    assert not told[0] & told[1]


def noisy(seed: int, noise: float) -> Scores:
    draw = np.random.default_rng(seed)
    targets = (draw.random((300, 1)) < 0.5).astype(float)
    logits = 4 * (targets - 0.5) + noise * draw.normal(size=(300, 1))
    ids = tuple(map(str, range(300)))
    return Scores(ids, ids, ("t",), ("a",), targets, np.ones((300, 1), dtype=bool), {"a": logits})


def test_the_better_of_two_gets_the_larger_share() -> None:
    good, bad = noisy(0, 1.0), noisy(1, 30.0)
    bad = replace(bad, targets=good.targets, logits={"a": 30.0 * np.random.default_rng(2).normal(size=(300, 1))})
    assert best_share(good, bad, "t") == 0.0
    assert best_share(bad, good, "t") == 1.0


def test_narrow_nets_are_heard_only_where_they_clearly_help() -> None:
    trees = noisy(0, 3.0)
    assert is_helped(trees, noisy(0, 1.0), "t")
    assert not is_helped(trees, trees, "t")
    assert not is_helped(trees, noisy(0, 30.0), "t")
    other = 4 * (trees.targets - 0.5) + 2.9 * np.random.default_rng(5).normal(size=(300, 1))
    a_little = replace(trees, logits={"a": other})
    assert not is_helped(trees, a_little, "t")


@pytest.mark.parametrize("together", [False, True])
def test_what_inputs_tell_only_together_is_learned_by_narrow_nets(together: bool) -> None:
    """A label is mostly chance, or the sign of the product of two panels' sums, which trees alone learn badly."""
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(300, 8, generator=draw) for _ in range(2))
    signal = left.sum(1) * right.sum(1) if together else left[:, 0] + 2 * torch.randn(300, generator=draw)
    batch = panels_batch(left, right, (signal > 0).float()[:, None])
    halves = tuple(range(150)), tuple(range(150, 300))
    development = Development(batch, batch.case_ids, ("t",), (Held(*halves), Held(*reversed(halves))))
    plans, qualities = {m.name: EncoderPlan("analytes") for m in PANELS}, {m.name: 2 for m in PANELS}
    net = build_network(PANELS, plans, qualities, width=8, fusion="gate", dropout=0.0, prior=[0.0])
    learner = FeatureLearner(PANELS, fixed_encoders(PANELS, {}), torch.zeros(1))
    trees, with_nets = learner_said([net, net], learner, development, Recipe(), 0)
    assert is_helped(trees, with_nets, "t") == together


def panels_batch(left: torch.Tensor, right: torch.Tensor, targets: torch.Tensor) -> Batch:
    n = len(targets)
    here, quality = torch.ones(n, dtype=torch.bool), torch.zeros(n, 2)
    states = (InputState(Status.PRESENT),) * n
    parts = {
        m.name: ModalityBatch(values, here, torch.ones_like(values, dtype=torch.bool), quality, states)
        for m, values in zip(PANELS, (left, right), strict=True)
    }
    return Batch(tuple(map(str, range(n))), parts, targets, torch.ones_like(targets, dtype=torch.bool))


def test_without_a_learner_the_nets_answer_alone(tiny_config: Config) -> None:
    alone = parse(tiny_config.model_dump(mode="json") | {"committee": {"folds": 0, "learner": False}}, where="here")
    assert (alone.committee.folds, alone.committee.learner) == (0, False)


def test_a_case_held_out_shapes_no_feature_that_another_one_held_out_is_judged_by() -> None:
    """Components fitted on the held-out notes too made the learner look better by .17 AUROC than it was on new ones."""
    batch, changed = random_batch(40, seed=3), random_batch(40, seed=4)
    odd = Batch.cat([changed.rows(torch.tensor([0])), batch.rows(torch.arange(1, 40))])
    first, second = (of_learner(one) for one in (batch, replace(odd, case_ids=batch.case_ids)))
    held = first["cxr+note+labs"][: len(first["cxr+note+labs"]) // 2]
    assert np.array_equal(held[1:], second["cxr+note+labs"][1 : len(held)])
    assert not np.array_equal(held[0], second["cxr+note+labs"][0])


def of_learner(batch: Batch) -> dict[str, np.ndarray]:
    """The logits of a learner of one epoch, which leaves nothing to choose by the held-out cases."""
    vocabularies = {"note": (VOCABULARY.size, VOCABULARY.pad_id, VOCABULARY.special_ids)}
    learner = FeatureLearner(MODALITIES, fixed_encoders(MODALITIES, vocabularies), torch.tensor([-0.4, 0.7]))
    first, last = tuple(range(20)), tuple(range(20, 40))
    development = Development(batch, batch.case_ids, ("a", "b"), (Held(last, first), Held(first, last)))
    nets = [small_network(seed=seed) for seed in (0, 1)]
    recipe = Recipe(nets=1, trees=3, epochs=1, copies=0)
    return dict(learner_said(nets, learner, development, recipe, 0)[1].logits)

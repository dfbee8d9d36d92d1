"""Guards let good inputs in and keep wrong pictures out, or the gate says that they do not."""

import math
from dataclasses import replace

import pytest
import torch

from clinimm.batch import Batch
from clinimm.config import Config
from clinimm.data.cohort import read_cohort
from clinimm.data.doors import fit_preparer
from clinimm.data.prepare import prepare_all
from clinimm.evaluation.limits import Finding
from clinimm.evaluation.openings import Right, false_blocks_hold, wrong_pictures_hold
from clinimm.guard.guards import Guards
from clinimm.guard.pictures import PictureGuard
from clinimm.io.sandbox import Sandbox


@pytest.fixture(scope="module")
def cohort(tiny_cohort, tiny_config: Config) -> tuple[Batch, Guards]:
    """Prepared cases, and guards fitted on them."""
    cases = read_cohort(tiny_config, tiny_cohort)
    with Sandbox() as sandbox:
        preparer = fit_preparer(tiny_config, cases, sandbox)
        batch = prepare_all(preparer, cases)
    return batch, Guards.fit(preparer.modalities, batch, torch.arange(len(batch)) % 3, tiny_config.inputs, cases=cases)


def blocking(batch: Batch, name: str, count: int) -> Batch:
    part = batch.modalities[name]
    rows = part.present.nonzero()[:count, 0]
    present = part.present.clone()
    present[rows] = False
    return replace(batch, modalities={**batch.modalities, name: replace(part, present=present)})


def all_right(batch: Batch) -> Right:
    return {name: torch.ones(len(batch), dtype=torch.bool) for name in batch.modalities}


def all_let_in(batch: Batch, count: int, guards: Guards) -> list[Finding]:
    return false_blocks_hold(batch, blocking(batch, "cxr", count), guards, all_right(batch), 0.02)


@pytest.mark.parametrize(("count", "holds"), [(0, True), (2, True), (9, False)])
def test_usable_inputs_must_be_let_in(cohort: tuple[Batch, Guards], count: int, holds: bool) -> None:
    batch, guards = cohort
    found = {f.told.partition(":")[0]: f for f in all_let_in(batch, count, guards)}
    given = int(batch.modalities["cxr"].present.sum())
    assert found["cxr"].holds is holds
    assert f"{count} of {given} usable" in found["cxr"].told
    assert found["note"].holds


def test_without_guards_nothing_is_asked(cohort: tuple[Batch, Guards], tiny_config: Config) -> None:
    batch = cohort[0]
    assert false_blocks_hold(batch, batch, Guards({}), all_right(batch), 0.02)[0].holds is None
    assert wrong_pictures_hold(Guards({}), batch, tiny_config, all_right(batch), 0.95, seed=0)[0].holds is None


def test_a_guard_that_catches_wrong_pictures_holds_and_one_that_sleeps_does_not(
    cohort: tuple[Batch, Guards], tiny_config: Config
) -> None:
    batch, guards = cohort
    [found] = wrong_pictures_hold(guards, batch, tiny_config, all_right(batch), 0.7, seed=0)
    assert found.holds, found.told
    guard = guards.by_name["cxr"]
    assert isinstance(guard, PictureGuard)
    asleep = replace(guard, thresholds=replace(guard.thresholds, flag=math.inf, block=math.inf))
    [found] = wrong_pictures_hold(Guards({"cxr": asleep}), batch, tiny_config, all_right(batch), 0.7, seed=0)
    assert found.holds is False
    assert "black 0 of" in found.told


def test_what_the_manifest_calls_another_view_is_no_false_block_but_a_wrong_picture(
    cohort: tuple[Batch, Guards], tiny_config: Config
) -> None:
    batch, guards = cohort
    lateral = batch.modalities["cxr"].present.nonzero()[:9, 0]
    right = {**all_right(batch)}
    right["cxr"] = right["cxr"].index_fill(0, lateral, False)
    found = {
        f.told.partition(":")[0]: f for f in false_blocks_hold(batch, blocking(batch, "cxr", 9), guards, right, 0.02)
    }
    assert found["cxr"].holds
    assert found["cxr"].told.startswith("cxr: 0 of ")
    [caught] = wrong_pictures_hold(guards, batch, tiny_config, right, 0.7, seed=0)
    assert caught.holds is False  # they are as good as any: nothing here tells them from frontal ones
    assert " of 9 " in caught.told

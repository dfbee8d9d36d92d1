"""The guards of a model: one for each input that has enough cases, silent on what is absent, kept without a pickle."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clinimm.batch import Batch
from clinimm.config import Config, load
from clinimm.data.cohort import read_cohort
from clinimm.data.doors import fit_preparer
from clinimm.data.prepare import Preparer, prepare_all
from clinimm.errors import ArtifactError, ConfigError
from clinimm.guard.guards import Guards, accepted, flag_of
from clinimm.guard.judgement import Judgement, Verdict
from clinimm.io.sandbox import Sandbox
from clinimm.types import Case


@pytest.fixture(scope="module")
def prepared(tiny_cohort: Path, tiny_config: Config) -> tuple[Preparer, Batch, list[Case]]:
    cases = read_cohort(tiny_config, tiny_cohort)
    with Sandbox() as sandbox:
        preparer = fit_preparer(tiny_config, cases, sandbox)
        return preparer, prepare_all(preparer, cases), cases


@pytest.fixture(scope="module")
def guards(prepared: tuple[Preparer, Batch, list[Case]], tiny_config: Config) -> Guards:
    preparer, batch, cases = prepared
    patients = sorted({case.patient_id for case in cases})
    folds = torch.tensor([patients.index(case.patient_id) % 3 for case in cases])
    return Guards.fit(preparer.modalities, batch, folds, tiny_config.inputs, cases=cases)


def test_each_input_with_enough_cases_is_guarded(guards: Guards, prepared: tuple[Preparer, Batch, list[Case]]) -> None:
    assert set(guards.by_name) == {modality.name for modality in prepared[0].modalities}


def test_an_absent_input_gets_no_verdict_and_says_nothing(
    guards: Guards, prepared: tuple[Preparer, Batch, list[Case]]
) -> None:
    batch = prepared[1]
    verdicts = guards.judge(batch)
    for name, part in batch.modalities.items():
        assert [judgement is not None for judgement in verdicts[name]] == part.present.tolist()
    film = batch.modalities["cxr"]
    nobody = replace(film, present=torch.zeros_like(film.present), values=torch.full_like(film.values, torch.nan))
    assert set(guards.judge(replace(batch, modalities={**batch.modalities, "cxr": nobody}))["cxr"]) == {None}


def test_the_company_of_a_case_does_not_change_its_verdict(
    guards: Guards, prepared: tuple[Preparer, Batch, list[Case]]
) -> None:
    batch = prepared[1].rows(torch.arange(6))
    together = guards.judge(batch)
    for row in range(6):
        alone = guards.judge(batch.rows(torch.tensor([row])))
        for name, (judgement,) in alone.items():
            beside = together[name][row]
            assert (judgement is None) == (beside is None)
            if judgement is not None and beside is not None:
                assert judgement.verdict == beside.verdict
                assert judgement.score == pytest.approx(beside.score, abs=1e-4)


def test_an_inverted_film_is_caught(guards: Guards, prepared: tuple[Preparer, Batch, list[Case]]) -> None:
    batch = prepared[1]
    film = batch.modalities["cxr"]
    inverted = replace(batch, modalities={**batch.modalities, "cxr": replace(film, values=-film.values)})
    judged = [judgement for judgement in guards.judge(inverted)["cxr"] if judgement is not None]
    assert sum(judgement.verdict is not Verdict.OK for judgement in judged) >= 0.95 * len(judged)


def test_they_come_back_from_arrays_and_json_to_the_last_bit(
    guards: Guards, prepared: tuple[Preparer, Batch, list[Case]], tmp_path: Path
) -> None:
    save_file(guards.state(), tmp_path / "guards.safetensors")
    record = json.loads(json.dumps(guards.record(), allow_nan=False))
    back = Guards.restore(load_file(tmp_path / "guards.safetensors"), record, prepared[0].modalities)
    assert back.judge(prepared[1]) == guards.judge(prepared[1])


def test_a_record_without_its_arrays_is_refused(guards: Guards, prepared: tuple[Preparer, Batch, list[Case]]) -> None:
    with pytest.raises(ArtifactError, match="guards cannot be read"):
        Guards.restore({}, guards.record(), prepared[0].modalities)


def test_only_the_accepted_views_are_valid(tiny_config: Config) -> None:
    section = tiny_config.inputs["cxr"]
    watched = section.model_copy(
        update={"guard": section.guard.model_copy(update={"column": "view", "accept": ("AP", "")})}
    )
    cases = [Case(str(i), str(i), attributes={"view": view}) for i, view in enumerate(["AP", "LL", "", "PA"])]
    assert accepted("cxr", watched, cases, 4).tolist() == [True, False, True, False]
    assert accepted("cxr", section, cases, 4).all()
    with pytest.raises(ConfigError, match="has the attribute"):
        accepted("cxr", watched, [Case("a", "a")], 1)


@pytest.mark.parametrize("guard", ["{column='view'}", "{accept=['AP']}", "{false_blocks=0.2, flags=0.1}"])
def test_settings_that_contradict_each_other_are_refused(guard: str) -> None:
    with pytest.raises(ConfigError):
        load(Path(__file__).parents[2] / "configs" / "quickstart.toml", (f"inputs.cxr.guard={guard}",))


def test_the_flag_names_the_input_and_the_likeliest_reason() -> None:
    assert flag_of("cxr", Judgement(9.0, 100.0, Verdict.FLAG, ("inverted", "not_like_training"))) == "ood:cxr:inverted"
    assert flag_of("cxr", Judgement(0.0, 50.0, Verdict.OK)) == ""

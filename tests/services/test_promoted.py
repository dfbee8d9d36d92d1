"""Only promoted artifacts answer, unless the operator says otherwise; what answers says how it was let in."""

import shutil
from pathlib import Path

import pytest
from service_processes import running_api

from clinimm.errors import ArtifactError, ConfigError
from clinimm.registry import Registry, digest_of
from services.artifacts.releases import releases
from services.keeper import environment
from services.settings import Settings, settings


@pytest.fixture
def registry(described_model: Path, tmp_path: Path) -> Registry:
    """One that holds the described model, in the place of an older one."""
    older = shutil.copytree(described_model, tmp_path / "older")
    (older / "manifest.json").write_text((older / "manifest.json").read_text() + "\n")
    found = Registry(tmp_path / "registry")
    for place in (older, described_model):
        found.promote(
            place, digest_of(place), verify=digest_of, evaluation={"cases": 1}, manifest="m" * 64,
            expected=found.current(), by="ann",
        )  # fmt: skip
    return found


def test_the_registrys_current_artifact_answers_and_says_how_it_was_let_in(
    settings: Settings, registry: Registry, described_model: Path
) -> None:
    promoted = settings.model_copy(update={"artifact": None, "allow_unpromoted": False, "registry": registry.directory})
    with running_api(promoted) as client:
        [model] = client.get("/v1/models").json()["models"]
        assert client.get("/readyz").json()["promoted"] is True
    assert model["digest"] == digest_of(described_model)
    entry = registry.history()[-1]
    assert model["promotion"] == {
        "at": entry.at, "previous": entry.previous, "evaluation": entry.evaluation, "manifest": "m" * 64
    }  # fmt: skip


def test_an_artifact_that_was_not_promoted_answers_only_if_allowed_and_says_so(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="not promoted"):
        _ = settings.model_copy(update={"allow_unpromoted": False}).model
    with running_api(settings) as client:
        assert client.get("/v1/models").json()["models"][0]["promotion"] is None
        assert client.get("/readyz").json()["promoted"] is False


def test_an_artifact_by_name_must_stand_in_the_registry(registry: Registry, described_model: Path) -> None:
    named = Settings(artifact=described_model, registry=registry.directory)
    assert named.model == described_model
    registry.roll_back(verify=digest_of)
    with pytest.raises(ConfigError, match="rolled back"):
        _ = named.model
    assert digest_of(Settings(registry=registry.directory).model) != digest_of(described_model)


def test_a_registry_that_was_tampered_with_serves_nothing(registry: Registry) -> None:
    history = registry.directory / "history.jsonl"
    history.write_text(history.read_text().replace("ann", "eve"))
    with pytest.raises(ArtifactError, match="history"):
        _ = Settings(registry=registry.directory).model


def test_a_worker_gets_the_artifact_that_the_api_began_with(
    registry: Registry, described_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(Settings(registry=registry.directory)).items():
        monkeypatch.setenv(name, value)
    assert digest_of(settings().model) == digest_of(described_model)
    registry.promote(
        registry.place(registry.history()[0].digest), registry.history()[0].digest,
        verify=digest_of, evaluation={}, manifest="m" * 64, expected=registry.current(),
    )  # fmt: skip
    assert digest_of(settings().model) == digest_of(described_model)


def number(measure: str, modality: str | None, value: float) -> dict[str, object]:
    return {"measure": measure, "modality": modality, "patients": 9, "value": value, "interval": [0.1, 0.9], "p": None}


def test_what_explanations_were_worth_is_told_of_each_candidate(
    settings: Settings, registry: Registry, described_model: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(described_model, tmp_path / "newer")
    (newer / "manifest.json").write_text((newer / "manifest.json").read_text() + "\n\n")
    numbers = [number("reliable", None, 0.75), number("complete", None, 0.5), number("comprehensiveness", "cxr", 0.25)]
    registry.promote(
        newer, digest_of(newer), verify=digest_of, manifest="m" * 64, expected=registry.current(), by="ann",
        evaluation={"explanations": {"candidate": {"patients": 9, "numbers": numbers}}},
    )  # fmt: skip
    latest, *before = releases(registry.directory)
    assert (latest.entry.digest, latest.patients, latest.fault) == (digest_of(newer), 9, "")
    assert [one.fault for one in before] == ["explanations were not measured"] * 2
    told = settings.model_copy(update={"artifact": None, "allow_unpromoted": False, "registry": registry.directory})
    kept = registry.directory / "evaluations" / f"{latest.entry.evaluation}.json"
    with running_api(told) as client:
        client.post("/login", data={"token": ""})
        page = client.get("/models").text
        for words in ("0.75 (0.10 to 0.90)", "cxr 0.25 (0.10 to 0.90)", digest_of(newer)[:16], "were not measured"):
            assert words in page
        kept.write_text(kept.read_text().replace("0.75", "0.95"))
        assert "the evaluation is not the one that was written" in client.get("/models").text
        kept.unlink()
        assert "the evaluation is gone" in client.get("/models").text
        history = registry.directory / "history.jsonl"
        history.write_text(history.read_text().replace("ann", "bob", 1))
        page = client.get("/models")
        assert (page.status_code, "nothing is told of releases" in page.text) == (200, True)

"""The containers' files say only what the code knows. No engine runs here: they are read, not run."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from services.cli import cli
from services.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text()))


def test_every_setting_is_one_of_ours(compose: dict[str, Any]) -> None:
    named = set(re.findall(r"CLINIMM_[A-Z_]+(?==)", DOCKERFILE))
    named |= {name for service in ("api", "worker") for name in compose["services"][service]["environment"]}
    assert {name.removeprefix("CLINIMM_").lower() for name in named} <= set(Settings.model_fields)


def test_every_command_and_option_is_one_of_ours(compose: dict[str, Any]) -> None:
    group: Any = typer.main.get_command(cli)
    for service in ("api", "worker"):
        name, *words = compose["services"][service]["command"]
        group.commands[name].make_context(name, words)


def test_secrets_come_by_file_and_nothing_may_be_gained(compose: dict[str, Any]) -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    assert not re.search(r"PASSWORD: |TOKEN: ", text)
    assert set(compose["secrets"]) == {"database_password", "clients"}
    for service in ("api", "worker"):
        said = compose["services"][service]
        assert (said["read_only"], said["cap_drop"]) == (True, ["ALL"])
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["api"]["ports"])


def test_what_must_be_there_first_is_waited_for(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert services[other]["healthcheck"]["test"]


def test_image_runs_as_nobody_special_on_pinned_packages() -> None:
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.M) == ["10001:10001"]
    assert "-c requirements.txt" in DOCKERFILE
    for path in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.M):
        for name in path.split():
            assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_everything_the_service_asks_for_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {_name(line) for line in project["dependencies"] + project["optional-dependencies"]["service"]}
    pinned = {_name(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    assert wanted <= pinned


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=]", requirement.strip())[0].lower().replace("_", "-")

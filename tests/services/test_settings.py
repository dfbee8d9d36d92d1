"""What an operator set wrong is told at once, by the names they set it with, before anything starts."""

import pytest
from typer.testing import CliRunner

from clinimm.errors import ConfigError
from services.cli import cli
from services.settings import settings


def test_every_wrong_setting_is_named_and_none_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "secret-1", "TENANT": "secret 2", "LIMITS__IMAGES": "secret-3"}.items():
        monkeypatch.setenv(f"CLINIMM_{name}", value)
    with pytest.raises(ConfigError) as told:
        settings()
    for name in ("CLINIMM_PORT", "CLINIMM_TENANT", "CLINIMM_LIMITS__IMAGES"):
        assert f"  {name}: " in str(told.value)
    assert "secret" not in str(told.value)


def test_limits_that_are_no_json_are_said_to_be_set_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINIMM_LIMITS", "images=3")
    with pytest.raises(ConfigError, match="CLINIMM_LIMITS__IMAGES"):
        settings()


def test_a_command_ends_with_the_fault_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINIMM_QUEUE_LIMIT", "0")
    ended = CliRunner().invoke(cli, ["serve"])
    assert isinstance(ended.exception, ConfigError)
    assert "CLINIMM_QUEUE_LIMIT" in str(ended.exception)

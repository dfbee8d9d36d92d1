"""TOML or plain values in, a frozen config out; every fault told at once."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from clinimm.config.inputs import Section
from clinimm.config.train import Config
from clinimm.errors import ConfigError

S = TypeVar("S", bound=Section)


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The config in a TOML file, after `section.key=value` overrides (TOML values, or bare words for strings).

    Raises ConfigError that lists every fault."""
    return load_as(Config, path, overrides)


def load_as(schema: type[S], path: Path, overrides: Sequence[str] = ()) -> S:
    """`load` for another kind of config."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("cannot be read", where=str(path), mend="give the path of a TOML file") from error
    except ValueError as error:
        raise ConfigError(f"is not TOML: {error}", where=str(path)) from error
    for override in overrides:
        _override(values, override)
    return parse_as(schema, values, where=str(path))


def parse(values: Mapping[str, Any], where: str) -> Config:
    """The config in plain values, as `load` and an artifact hold it. Raises ConfigError that lists every fault."""
    return parse_as(Config, values, where)


def parse_as(schema: type[S], values: Mapping[str, Any], where: str) -> S:
    """`parse` for another kind of config."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(
            f"  {'.'.join(str(part) for part in fault['loc']) or 'config'}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigError(f"{error.error_count()} fault(s)\n{faults}", where=where) from error


def dump(config: Section) -> str:
    """The config as JSON: the form that is hashed and kept in an artifact. Keys keep their order, since that of the
    inputs is the order of the model's modalities."""
    return json.dumps(config.model_dump(mode="json"), indent=2)


def _override(values: dict[str, Any], override: str) -> None:
    path, separator, raw = override.partition("=")
    if not separator:
        raise ConfigError(f"{override!r} has no '='", where="--set", mend="write section.key=value")
    *sections, key = path.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{section!r} is not a section", where=f"--set {path}")
    values[key] = _toml_value(raw.strip())


def _toml_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw

"""Pick from a plain dict, or say what the choices are."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from clinimm.errors import ConfigError

T = TypeVar("T")


def choose(table: Mapping[str, T], name: str, where: str) -> T:
    """`table[name]`. Raises ConfigError naming the choices, and the nearest one, if there is none."""
    if name in table:
        return table[name]
    near = get_close_matches(name, table, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(f"{name!r} is not known", where=where, mend=f"{hint}choose one of {', '.join(sorted(table))}")

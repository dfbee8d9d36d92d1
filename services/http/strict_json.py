"""JSON as RFC 8259 means it, which Python's own reader does not hold: no NaN, no Infinity, no 1e400, no duplicate keys,
no lone surrogates, no integers over 64 bits, and no deeper than asked. Numbers with a point stay decimal-exact."""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.errors import BadRequest, Issue, Refused, TooLarge
from services.faults import FAULTS

Document = TypeVar("Document", bound=BaseModel)

INTEGER_DIGITS = 19


class _Numbers(list[str]):
    """Reads the numbers of one document, noting the codes of what is wrong with them."""

    def integer(self, text: str) -> int:
        if len(text.lstrip("-")) > INTEGER_DIGITS or not -(2**63) <= int(text) < 2**63:
            self.append("number_out_of_range")
            return 0
        return int(text)

    def decimal(self, text: str) -> Decimal:
        if not math.isfinite(float(text)) or len(text) > 64:
            self.append("number_out_of_range")
            return Decimal(0)
        return Decimal(text)

    def constant(self, _: str) -> int:
        self.append("not_a_number")
        return 0

    def mapping(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            self.append("duplicate_key")
        return values


def parse(data: bytes, *, depth: int) -> Any:
    """The value of a JSON document in UTF-8. Raises BadRequest if it is not JSON, TooLarge if it is nested over
    `depth`, and Refused that lists every fault if it is JSON, but cannot be meant."""
    faults = _Numbers()
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_int=faults.integer,
            parse_float=faults.decimal,
            parse_constant=faults.constant,
            object_pairs_hook=faults.mapping,
        )
    except UnicodeDecodeError as error:
        raise BadRequest("bad_encoding", "The JSON is not in UTF-8.") from error
    except RecursionError:  # so deep that nobody counts
        raise _too_deep(depth, None) from None
    except ValueError as error:
        raise BadRequest("bad_json", "The text is not JSON (a byte-order mark is not, either).") from error
    texts, actual = _walked(value)
    if actual > depth:
        raise _too_deep(depth, actual)
    faults.extend(code for text in texts for code in _character_faults(text))
    if faults:
        issues = [Issue("", code, FAULTS[code].said) for code in dict.fromkeys(faults)]
        raise Refused("bad_json_values", "The JSON holds values that cannot be meant.", issues=issues)
    return value


def document(schema: type[Document], data: bytes, *, depth: int, code: str = "bad_document") -> Document:
    """The document of a schema that JSON describes. Raises BadRequest, or Refused that lists every fault."""
    value = parse(data, depth=depth)
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        names = _field_names(schema)
        issues = [Issue(pointer(fault["loc"], names), fault["type"], fault["msg"]) for fault in error.errors()]
        raise Refused(code, "The document breaks its schema.", issues=issues) from None


def pointer(path: Sequence[str | int], names: Collection[str]) -> str:
    """A JSON pointer of the schema's `names` and of indexes; a name that the sender made up is left out."""
    return "".join(f"/{step}" for step in path if isinstance(step, int) or step in names)


@cache
def _field_names(schema: type[BaseModel]) -> frozenset[str]:
    """Of the schema and all that it is made of."""
    parts = [schema.model_json_schema(), *schema.model_json_schema().get("$defs", {}).values()]
    return frozenset(name for part in parts for name in part.get("properties", {}))


def _walked(value: Any) -> tuple[list[str], int]:
    """Every text of a value, keys among them, and how deep it is nested."""
    pending, texts, depth = [(value, 0)], list[str](), 0
    while pending:
        item, level = pending.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict | list):
            depth = max(depth, level + 1)
            children = [*item, *item.values()] if isinstance(item, dict) else item
            pending.extend((child, level + 1) for child in children)
    return texts, depth


def _too_deep(limit: int, actual: int | None) -> TooLarge:
    return TooLarge("json_too_deep", "Arrays and objects are nested too deep.", limit=limit, actual=actual)


def _character_faults(text: str) -> Iterator[str]:
    if "\x00" in text:
        yield "nul_character"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        yield "lone_surrogate"

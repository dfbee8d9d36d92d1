"""A table of text cells from CSV or Parquet: nothing is coerced, and no line is repaired in silence.

CSV is read with the standard library, because polars fills short lines and renames double columns without a word."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import polars

from clinimm.choose import choose
from clinimm.errors import Fault, ManifestError

FIRST_ROW = 2  # row 1 is the header


@dataclass(frozen=True)
class Table:
    """`rows` map column names to cells, "" where empty, by row number; `faults` are those of the table's own shape."""

    columns: tuple[str, ...]
    rows: Mapping[int, Mapping[str, str]]
    faults: tuple[Fault, ...]


def read_table(path: Path) -> Table:
    """The table in a .csv or .parquet file. Raises ManifestError if it cannot be read at all."""
    reader = choose(_READERS, path.suffix.lower(), where=path.name)
    if not path.is_file():
        raise _unreadable(path, "file_missing", "there is no such file", mend="give the path of a CSV or Parquet file")
    return reader(path)


def _read_csv(path: Path) -> Table:
    reader = csv.reader(io.StringIO(_decoded(path), newline=""), strict=True)
    try:
        lines = list(reader)
    except csv.Error:  # its message may quote a cell
        what = f"is not CSV at line {reader.line_num}, or a cell is over {csv.field_size_limit():,} characters"
        raise _unreadable(path, "not_csv", what, mend="check its quotes") from None
    if not lines:
        raise _unreadable(path, "table_empty", "is empty", mend="start with a line of column names")
    columns = tuple(name.strip() for name in lines[0])
    faults = _double_columns(columns)
    rows = {}
    for number, cells in enumerate(lines[1:], FIRST_ROW):
        if len(cells) == len(columns):
            rows[number] = dict(zip(columns, cells, strict=True))
        elif cells:  # a blank line is no row
            faults.append(_ragged(number, len(cells), len(columns)))
    return Table(columns, rows, tuple(faults))


def _decoded(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, "not_utf8", f"is not UTF-8 at line {line}", mend="save it as UTF-8") from None


def _read_parquet(path: Path) -> Table:
    try:
        frame = polars.read_parquet(path)
    except (polars.exceptions.PolarsError, OSError):
        raise _unreadable(path, "not_parquet", "is not Parquet", mend="write it again") from None
    faults: list[Fault] = []
    texts = [_column_text(column, faults) for column in frame]
    columns = tuple(name.strip() for name in frame.columns)
    rows = {
        number: dict(zip(columns, cells, strict=True))
        for number, cells in enumerate(zip(*texts, strict=True), FIRST_ROW)
    }
    return Table(columns, rows, tuple(_double_columns(columns) + faults))


def _column_text(column: polars.Series, faults: list[Fault]) -> list[str]:
    """A column's cells as a CSV would write them."""
    values = column.to_list()
    if any(value is not None and type(value) not in _WRITERS for value in values):
        faults.append(Fault("column_type", "holds neither text, numbers, truth values nor times", None, column.name))
        return [""] * len(values)
    return ["" if value is None else _WRITERS[type(value)](value) for value in values]


_READERS: Mapping[str, Callable[[Path], Table]] = {".csv": _read_csv, ".parquet": _read_parquet}
_WRITERS: Mapping[type, Callable[..., str]] = {
    str: str,
    bool: str,
    int: str,
    float: repr,
    Decimal: str,
    datetime: datetime.isoformat,
    date: date.isoformat,
}


def _double_columns(columns: Sequence[str]) -> list[Fault]:
    return [
        Fault("column_twice", f"{count} columns have this name", 1, name, "rename all but one")
        for name, count in Counter(columns).items()
        if count > 1
    ]


def _ragged(row: int, cells: int, columns: int) -> Fault:
    return Fault("row_length", f"has {cells} cells, the header {columns}", row, None, "check its commas and quotes")


def _unreadable(path: Path, code: str, what: str, mend: str) -> ManifestError:
    return ManifestError([Fault(code, what, mend=mend)], where=path.name)

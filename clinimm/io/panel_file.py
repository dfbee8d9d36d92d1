"""A panel of laboratory values in a CSV file with the columns name, value and unit."""

import csv
from pathlib import Path

from clinimm.errors import Fault, InputError, ManifestError
from clinimm.types import Measurement, Measurements

_COLUMNS = ("name", "value", "unit")
_MAX_BYTES = 1 << 20


def read_panel(path: Path) -> Measurements:
    """The measurements of a file, units as they stand. Raises InputError `panel_missing` or `panel_too_large`, and
    ManifestError that lists every fault by row and column."""
    try:
        raw = path.read_bytes()[: _MAX_BYTES + 1]
    except OSError as error:
        raise InputError("panel_missing", "the panel's file cannot be read", where=path.name) from error
    if len(raw) > _MAX_BYTES:
        raise InputError("panel_too_large", f"the panel is over {_MAX_BYTES:,} bytes", where=path.name)
    rows = csv.DictReader(raw.decode("utf-8-sig", errors="replace").splitlines())
    faults = [
        Fault("column_missing", "is missing", 1, column, "name, value and unit are needed")
        for column in _COLUMNS
        if column not in (rows.fieldnames or ())
    ]
    values = [] if faults else [_measurement(number, row, faults) for number, row in enumerate(rows, start=2)]
    if faults:
        raise ManifestError(faults, where=path.name)
    return Measurements(tuple(value for value in values if value is not None))


def _measurement(number: int, row: dict[str, str | None], faults: list[Fault]) -> Measurement | None:
    name, value, unit = ((row[column] or "").strip() for column in _COLUMNS)
    if not name:
        faults.append(Fault("cell_empty", "is empty", number, "name", "give the analyte's name"))
        return None
    try:
        return Measurement(name, float(value), unit)
    except ValueError:
        faults.append(Fault("not_a_number", "is not a number", number, "value", "leave the row out if it is unknown"))
        return None

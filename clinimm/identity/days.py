"""Days that can be read in one way only."""

import re
from datetime import date

_MONTHS = {
    name: month
    for month, names in enumerate(
        (
            *("jan january januar jänner", "feb february februar", "mar march mär märz mrz", "apr april", "may mai"),
            *("jun june juni", "jul july juli", "aug august", "sep sept september", "oct october okt oktober"),
            *("nov november", "dec december dez dezember"),
        ),
        start=1,
    )
    for name in names.split()
}
_EARLIEST_YEAR = 1880

_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\d{4}|\d{6})?(?!\d)")  # DICOM and HL7, with or without a time
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)")
_DOTTED = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?!\d)")
_SLASHED = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4})(?!\d)")
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)?[\s-]+([^\W\d_]{3,9})\.?,?[\s-]+(\d{4})(?!\d)")
_MONTH_FIRST = re.compile(r"([^\W\d_]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})(?!\d)")


def read_day(text: str) -> date | None:
    """The day that `text` begins with, whatever follows; None where it can be read in two ways ("03/04/1950"), has two
    digits for the year, lies before 1880, or is no day."""
    text = text.strip().casefold()
    if found := _COMPACT.match(text):
        return _day(*found.group(1, 2, 3))
    if found := _ISO.match(text):
        return _day(*found.group(1, 3, 4))
    if found := _DOTTED.match(text):
        return _day(*found.group(3, 2, 1))
    if found := _SLASHED.match(text):
        first, second, year = found.group(1, 3, 4)
        readings = {_day(year, first, second), _day(year, second, first)} - {None}
        return readings.pop() if len(readings) == 1 else None
    if found := _DAY_FIRST.match(text):
        return _day(found.group(3), _MONTHS.get(found.group(2), 0), found.group(1))
    if found := _MONTH_FIRST.match(text):
        return _day(found.group(3), _MONTHS.get(found.group(1), 0), found.group(2))
    return None


def _day(year: str, month: str | int, day: str) -> date | None:
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return found if found.year >= _EARLIEST_YEAR else None

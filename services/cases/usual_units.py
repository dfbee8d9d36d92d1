"""The unit that a sender has always given a value in.

Of many analytes no value tells its unit: 5 may be mg/L or mg/dL of CRP. But a sender does not change its units from one
patient to the next. What it calls by one name and one code is a series; if nearly all of its last values were in one
unit, a value in another is doubted (`clinimm.io.lab_reading.suspected`). A sender that changes for good is believed
again after a tenth of `LAST` values; one that uses two units is never doubted for that."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clinimm.errors import InputError
from clinimm.io import ucum
from clinimm.io.unit_spellings import ALIASES
from services.cases.stored import StoredLab
from services.tables import LabRow

LAST, FEWEST, NEARLY_ALL = 50, 20, 0.9
_AT_ONCE = 100  # series in one statement


def with_usual_units(session: Session, client: str, labs: Sequence[StoredLab]) -> tuple[StoredLab, ...]:
    """The values that a client sends, each with its series and, where it has another unit than usual, the usual one."""
    named = [replace(lab, series=_series(client, lab)) for lab in labs]
    usual = dict(_usual(session, sorted({lab.series for lab in named})))
    return tuple(
        replace(lab, usual_unit=unit) if _meant(unit := usual.get(lab.series, "")) != _meant(lab.unit) else lab
        for lab in named
    )


def _series(client: str, lab: StoredLab) -> str:
    code = lab.original.get("code") or {}
    called = [client, lab.name, code.get("system"), code.get("code"), lab.original.get("specimen")]
    return hashlib.sha256(json.dumps(called).encode()).hexdigest()[:32]


def _usual(session: Session, series: Sequence[str]) -> Iterator[tuple[str, str]]:
    units: dict[str, Counter[ucum.Unit | str]] = {one: Counter() for one in series}
    spelled: dict[ucum.Unit | str, str] = {}
    for start in range(0, len(series), _AT_ONCE):
        each = [_last(one) for one in series[start : start + _AT_ONCE]]
        for name, unit in session.execute(sa.union_all(*each)):
            units[name][_meant(unit)] += 1
            spelled[_meant(unit)] = _spelled(unit)
    for name, counted in units.items():
        for meant, times in counted.most_common(1):
            if counted.total() >= FEWEST and times >= NEARLY_ALL * counted.total():
                yield name, spelled[meant]


def _last(series: str) -> sa.Select[str, str]:
    of_series = sa.select(LabRow.series, LabRow.unit).where(LabRow.series == series)
    newest = of_series.order_by(LabRow.received_at.desc()).limit(LAST).subquery()
    return sa.select(newest.c.series, newest.c.unit)


def _spelled(unit: str) -> str:
    return ALIASES.get(unit.strip(), unit.strip())


@lru_cache(maxsize=4096)
def _meant(unit: str) -> ucum.Unit | str:
    """The unit that all ways to write it share, 10*3/uL and 10*9/L; what is written where that is no unit."""
    try:
        return ucum.parse(_spelled(unit))
    except InputError:
        return _spelled(unit)

# ruff: noqa: RUF001 - the look-alike letters are what laboratories write
"""The closed table of unit spellings that laboratories use and UCUM does not know, or knows as something else.

K/uL would be kelvin by the microliter, pH is not a code. 10E9/L is left out on purpose: it is written for 10*9/L,
and read as a number it is ten times that."""

from collections.abc import Mapping

_MICRO_SIGN, _GREEK_MU = "\u00b5", "\u03bc"

_SPELLINGS: Mapping[str, str] = {
    "mEq/L": "meq/L",
    "µmol/L": "umol/L",
    "µmol": "umol",
    "µg/L": "ug/L",
    "µg/dL": "ug/dL",
    "µg/mL": "ug/mL",
    "µg": "ug",
    "µkat/L": "ukat/L",
    "µL": "uL",
    "/µL": "/uL",
    "K/uL": "10*3/uL",
    "K/µL": "10*3/uL",
    "M/uL": "10*6/uL",
    "M/µL": "10*6/uL",
    "10*3/µL": "10*3/uL",
    "10*6/µL": "10*6/uL",
    "10^3/µL": "10*3/uL",
    "10^6/µL": "10*6/uL",
    "x10^3/uL": "10*3/uL",
    "x10^3/µL": "10*3/uL",
    "x10^6/uL": "10*6/uL",
    "x10^6/µL": "10*6/uL",
    "x10^9/L": "10*9/L",
    "×10^9/L": "10*9/L",
    "x10*9/L": "10*9/L",
    "x10^12/L": "10*12/L",
    "×10^12/L": "10*12/L",
    "x10*12/L": "10*12/L",
    "cells/uL": "{cells}/uL",
    "cells/µL": "{cells}/uL",
    "cells/mm3": "{cells}/mm3",
    "mcg/L": "ug/L",
    "mcg/dL": "ug/dL",
    "mcg/mL": "ug/mL",
    "gm/dL": "g/dL",
    "IU/L": "[IU]/L",
    "IU/mL": "[IU]/mL",
    "mIU/L": "m[IU]/L",
    "mIU/mL": "m[IU]/mL",
    "uIU/mL": "u[IU]/mL",
    "µIU/mL": "u[IU]/mL",
    "mOsm/kg": "mosm/kg",
    "mmHg": "mm[Hg]",
    "mm Hg": "mm[Hg]",
    "cmH2O": "cm[H2O]",
    "°C": "Cel",
    "degC": "Cel",
    "°F": "[degF]",
    "degF": "[degF]",
    "bpm": "{beats}/min",
    "beats/min": "{beats}/min",
    "breaths/min": "{breaths}/min",
    "sec": "s",
    "pct": "%",
    "pH": "[pH]",
}

ALIASES: Mapping[str, str] = {
    **_SPELLINGS,
    **{spelling.replace(_MICRO_SIGN, _GREEK_MU): unit for spelling, unit in _SPELLINGS.items()},
}

"""The table of analytes is closed, consistent in itself, and converts exactly."""

import hashlib
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.errors import ConfigError
from clinimm.io import lab_table as module
from clinimm.io import ucum
from clinimm.io.lab_table import SPECIMENS, Listed, ListedUnit, lab_table, listed, normal
from clinimm.types import Analyte

TABLE = lab_table()
ENTRIES = list(TABLE.analytes.values())
PAIRS = [(entry, a, b) for entry in ENTRIES for a in entry.units for b in entry.units]


def unit(key: str, code: str) -> ListedUnit:
    found = lab_table().analytes[key].unit(code)
    assert found is not None
    return found


def converted(key: str, value: str, source: str, target: str) -> float:
    return float(unit(key, target).reading(unit(key, source).canonical(Fraction(value))))


@settings(derandomize=True, deadline=None, max_examples=2000)
@given(st.sampled_from(PAIRS), st.floats(1e-6, 1e9))
def test_lab_03_every_pair_of_listed_units_goes_there_and_back(
    pair: tuple[Listed, ListedUnit, ListedUnit], value: float
) -> None:
    _, a, b = pair
    there = float(b.reading(a.canonical(Fraction(value))))
    back = float(a.reading(b.canonical(Fraction(there))))
    # Units with a zero of their own lose digits near it, as any difference does.
    assert math.isclose(back, value, rel_tol=1e-9, abs_tol=1e-9 if a.offset != b.offset else 0)


@pytest.mark.parametrize(("entry", "a", "b"), PAIRS, ids=lambda one: getattr(one, "key", getattr(one, "code", "")))
def test_lab_03_factors_are_those_of_ucum_where_the_dimension_is_the_same(
    entry: Listed, a: ListedUnit, b: ListedUnit
) -> None:
    source, target = ucum.parse(a.code), ucum.parse(b.code)
    if source.dimension == target.dimension:
        base = Fraction(0.7) * source.factor + source.offset
        assert b.reading(a.canonical(Fraction(0.7))) == (base - target.offset) / target.factor
    else:
        assert a.source != "UCUM" or b.source != "UCUM"


@pytest.mark.parametrize(
    ("key", "value", "source", "target", "expected"),
    [  # the factors that textbooks print
        ("glucose", "100", "mg/dL", "mmol/L", 5.551),
        ("creatinine", "1", "mg/dL", "umol/L", 88.40),
        ("bilirubin", "1", "mg/dL", "umol/L", 17.10),
        ("urea_nitrogen", "10", "mg/dL", "mmol/L", 3.570),
        ("urea", "10", "mg/dL", "mmol/L", 1.665),
        ("calcium", "10", "mg/dL", "mmol/L", 2.495),
        ("calcium", "5", "meq/L", "mmol/L", 2.5),
        ("magnesium", "2", "mg/dL", "mmol/L", 0.8229),
        ("potassium", "4", "meq/L", "mmol/L", 4.0),
        ("cholesterol", "200", "mg/dL", "mmol/L", 5.173),
        ("triglycerides", "150", "mg/dL", "mmol/L", 1.694),
        ("hemoglobin", "14", "g/dL", "mmol/L", 8.688),
        ("bnp", "1", "pmol/L", "ng/L", 3.464),
        ("ldh", "4", "ukat/L", "U/L", 240.0),
        ("hba1c", "7", "%{NGSP}", "mmol/mol", 53.00),
        ("hba1c", "48", "mmol/mol", "%{NGSP}", 6.543),
        ("free_t4", "1", "ng/dL", "pmol/L", 12.87),
        ("pco2_arterial", "40", "mm[Hg]", "kPa", 5.333),
        ("temperature", "98.6", "[degF]", "Cel", 37.0),
        ("albumin_creatinine_urine", "30", "mg/g", "mg/mmol{creatinine}", 3.394),
    ],
)
def test_known_conversions(key: str, value: str, source: str, target: str, expected: float) -> None:
    assert converted(key, value, source, target) == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_limits_are_nested(entry: Listed) -> None:
    low, middle, high = entry.ordinary
    assert entry.impossible[0] <= entry.critical[0] <= entry.reference[0] < entry.reference[1]
    assert entry.reference[1] <= entry.critical[1] <= entry.impossible[1]
    assert entry.impossible[0] <= low < middle < high <= entry.impossible[1]
    assert entry.window_hours > 0
    assert entry.censored in ("limit", "missing")
    assert entry.specimen in SPECIMENS.values()
    assert entry.spoiled_by <= {"hemolyzed", "lipemic", "clotted"}
    if len({(one.scale, one.offset) for one in entry.units}) > 1:
        assert low > 0  # a unit is judged by the logarithm
        assert entry.is_ordinary(middle)
        assert entry.is_ordinary(low * 1.001)
        assert not entry.is_ordinary(low * 0.99)
        assert not entry.is_ordinary(high * 1.01)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.key)
def test_loinc_codes_have_their_check_digit(entry: Listed) -> None:
    for code in entry.loinc:
        number, _, check = code.partition("-")
        doubled = [int(digit) * (2 if at % 2 == 0 else 1) for at, digit in enumerate(reversed(number))]
        assert (10 - sum(n // 10 + n % 10 for n in doubled) % 10) % 10 == int(check), code


def test_a_code_is_one_analyte() -> None:
    assert len(lab_table().codes) == sum(len(entry.loinc) for entry in ENTRIES)
    assert len(ENTRIES) >= 60


def test_a_name_with_its_specimen_and_unit_is_one_analyte() -> None:
    for name, entries in lab_table().names.items():
        meanings = [(entry.specimen, ucum.parse(one.code)) for entry in entries for one in entry.units]
        assert len(meanings) == len(set(meanings)), name
        assert name == normal(name)


def test_each_listed_unit_is_listed_once_and_parses() -> None:
    for entry in ENTRIES:
        assert entry.units[0].scale == 1
        assert entry.units[0].offset == 0
        parsed = [ucum.parse(one.code) for one in entry.units]
        assert len(parsed) == len(set(parsed)), entry.key
        assert all(one.source for one in entry.units)


def test_lab_14_what_must_not_be_interchanged_is_not() -> None:
    for one, other in [
        ("troponin_i_hs", "troponin_t_hs"), ("troponin_i_hs", "troponin_i"), ("bnp", "nt_probnp"),
        ("ddimer_feu", "ddimer_ddu"), ("ph_arterial", "ph_venous"), ("po2_arterial", "po2_venous"),
        ("pco2_arterial", "pco2_venous"), ("glucose", "glucose_urine"), ("urea", "urea_nitrogen"),
    ]:  # fmt: skip
        assert not set(lab_table().analytes[one].loinc) & set(lab_table().analytes[other].loinc)
    assert not lab_table().analytes["ddimer_feu"].lists("mg/L{DDU}")
    assert not lab_table().analytes["ddimer_feu"].lists("mg/L")


def test_an_entry_is_what_its_lines_say() -> None:
    entry = lab_table().analytes["wbc"]
    assert entry == Listed(
        key="wbc",
        name="Leukocytes",
        loinc=("6690-2", "26464-8"),
        aliases=("leukocytes", "leucocytes", "white blood cells", "white cell count", "white blood cell count", "wcc"),
        specimen="blood",
        units=(
            ListedUnit("10*9/L", Fraction(1), Fraction(0), "UCUM"),
            ListedUnit("/uL", Fraction(1, 1000), Fraction(0), "UCUM"),
        ),
        impossible=(0.0, 600.0),
        critical=(1.0, 50.0),
        reference=(4.0, 11.0),
        ordinary=(0.8, 8.5, 38.0),
        window_hours=48.0,
        censored="limit",
        spoiled_by=frozenset({"clotted"}),
    )
    assert lab_table().names["white blood cells"] == lab_table().names["wbc"] == (entry,)
    assert lab_table().codes["26464-8"] == entry
    assert [one.key for one in lab_table().names["glucose"]] == ["glucose", "glucose_urine", "glucose_csf"]


def test_a_conversion_names_its_source() -> None:
    assert unit("hemoglobin", "mmol/L").source == "molar mass 16114.5 g/mol"
    assert unit("calcium", "meq/L").source == "valence 2"
    assert "NGSP" in unit("hba1c", "%{NGSP}").source


def test_a_unit_that_nothing_converts_is_refused_with_the_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = Path(module.__file__).with_name("analytes.toml").read_text()
    changed = tmp_path / "analytes.toml"
    changed.write_text(shipped.replace('units = ["10*9/L", "/uL"]', 'units = ["10*9/L", "mg/L"]', 1))
    monkeypatch.setattr(module, "_FILE", changed)
    with pytest.raises(ConfigError, match=r"analytes.toml: Leukocytes: nothing says how mg/L converts to 10\*9/L"):
        lab_table()


def test_how_odd_a_value_is_shows_from_both_sides_of_the_median() -> None:
    """0.8, 8.5 and 38 are the 0.5th, 50th and 99.5th percentile, 2.5758 standard deviations of the logarithm apart."""
    wbc = lab_table().analytes["wbc"]
    assert wbc.oddness(8.5) == 0
    assert wbc.oddness(38) == wbc.oddness(0.8) == pytest.approx(2.5758)
    assert wbc.oddness(8.5 * math.sqrt(38 / 8.5)) == pytest.approx(2.5758 / 2)
    assert (wbc.oddness(0), wbc.oddness(-1)) == (math.inf, math.inf)
    assert not wbc.is_ordinary(0)
    low, high = math.log(8.5 / 0.8) / 2.5758, math.log(38 / 8.5) / 2.5758  # standard deviations
    assert wbc.log_likelihood(0.8) == pytest.approx(-(2.5758**2) / 2 - math.log(low))
    assert wbc.log_likelihood(38) == pytest.approx(-(2.5758**2) / 2 - math.log(high))
    assert (wbc.log_likelihood(0), wbc.log_likelihood(-1)) == (-math.inf, -math.inf)


@pytest.mark.parametrize(
    ("key", "specimen", "accepted"),
    [
        ("crp", None, True),
        ("crp", "blood", True),
        ("crp", "venous blood", True),  # any blood is blood
        ("crp", "urine", False),
        ("glucose_urine", "urine", True),
        ("glucose_urine", "blood", False),
        ("ph_arterial", "arterial blood", True),
        ("ph_arterial", "venous blood", False),
        ("ph_arterial", "blood", False),
    ],
)
def test_lab_14_the_specimen_is_part_of_what_a_value_is(key: str, specimen: str | None, accepted: bool) -> None:
    assert lab_table().analytes[key].accepts(specimen) is accepted


def test_only_a_pure_number_may_come_without_a_unit() -> None:
    pure = {entry.key for entry in ENTRIES if entry.is_pure_number()}
    assert "inr" in pure
    assert not pure & {"hematocrit", "crp", "spo2"}  # a percentage may be meant as a fraction


@pytest.mark.parametrize(("name", "plain"), [(" C-Reactive  Protein_", "c reactive protein"), ("Na\t+", "na +")])
def test_spelling_makes_no_other_name(name: str, plain: str) -> None:
    assert normal(name) == plain


def test_the_table_is_versioned_and_hashed() -> None:
    content = Path(module.__file__).with_name("analytes.toml").read_bytes()
    assert lab_table().sha256 == hashlib.sha256(content).hexdigest()
    assert lab_table().version


@pytest.mark.parametrize(
    ("analyte", "key"),
    [
        (Analyte("crp", "mg/L"), "crp"),
        (Analyte("C-Reactive Protein", "mg/dL"), "crp"),
        (Analyte("Hb", "g/dL"), "hemoglobin"),
        (Analyte("wbc", "10*3/uL"), "wbc"),
        (Analyte("neutrophils", "10*9/L"), "neutrophils"),
        (Analyte("neutrophils", "%"), "neutrophils_percent"),
        (Analyte("po2", "mm[Hg]"), "po2_arterial"),
        (Analyte("ddimer", "ug/mL{DDU}"), "ddimer_ddu"),
        (Analyte("ddimer", "mg/L"), None),  # of which the table cannot know what it counts
        (Analyte("hba1c", "%"), None),
        (Analyte("appendix_diameter", "mm"), None),
        (Analyte("crp", "no unit"), None),
    ],
)
def test_a_models_analyte_is_found_by_name_and_unit(analyte: Analyte, key: str | None) -> None:
    assert listed(analyte) is (None if key is None else lab_table().analytes[key])

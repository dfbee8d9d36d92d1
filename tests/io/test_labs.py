"""Units convert exactly or are refused by name; nothing is guessed."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.errors import ConfigError, InputError
from clinimm.io import ucum
from clinimm.io.labs import canonical, check_units
from clinimm.io.unit_spellings import ALIASES
from clinimm.types import Analyte, Measurement

# Units of one quantity each, as laboratories write them.
FAMILIES = (
    ("g/L", "mg/dL", "ug/mL", "ng/mL", "kg/m3", "mg/(10.dL)"),
    ("mmol/L", "umol/L", "mol/m3", "nmol/mL"),
    ("10*9/L", "10*3/uL", "/nL", "{cells}/uL", "/mm3", "10^6/mL"),
    ("kPa", "mm[Hg]", "cm[H2O]", "mbar"),
    ("Cel", "[degF]", "K"),
    ("U/L", "ukat/L", "mU/mL", "umol/min/L"),
    ("%", "1", "[ppm]", "10*-2"),
    ("s", "min", "h", "d", "ms"),
    ("kg", "g", "[lb_av]"),
)
PAIRS = [(a, b) for family in FAMILIES for a in family for b in family]


def one(value: float, unit: str, analyte: Analyte) -> tuple[float, tuple[str, ...]]:
    panel = canonical([Measurement(analyte.name, value, unit)], [analyte])
    return panel.values[0], panel.flags


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (98.6, "[degF]", "Cel", 37.0),
        (37.0, "Cel", "K", 310.15),
        (4.5, "10*3/uL", "10*9/L", 4.5),
        (4500.0, "/uL", "10*9/L", 4.5),
        (0.5, "mg/L", "ng/mL", 500.0),
        (1.0, "ukat/L", "U/L", 60.0),
        (13.3322, "kPa", "mm[Hg]", 100.0),
        (10.0, "cm[H2O]", "Pa", 980.665),
        (95.0, "%", "1", 0.95),
        (12.0, "g/dL", "g/L", 120.0),
        (2.0, "mg/dL/(10.h)", "mg/dL/h", 0.2),
    ],
)
def test_units_convert_to_the_last_digit(value, unit, target, expected):
    assert one(value, unit, Analyte("x", target)) == (expected, ())


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.sampled_from(PAIRS), st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-12))
def test_every_pair_of_units_goes_there_and_back(pair, value):
    source, target = pair
    there, _ = one(value, source, Analyte("x", target))
    back, flags = one(there, target, Analyte("x", source))
    # Around a zero of their own, temperatures near it lose digits, as any difference does.
    near = ucum.parse(source).offset != ucum.parse(target).offset
    assert math.isclose(back, value, rel_tol=1e-9, abs_tol=1e-9 if near else 0)
    assert flags == ()


@pytest.mark.parametrize("unit", ["mg/L", "10*9/L", "Cel", "mm[Hg]"])
def test_a_value_in_its_own_unit_keeps_every_bit(unit):
    assert one(0.1 + 0.2, unit, Analyte("x", unit)) == (0.1 + 0.2, ())


def test_a_unit_is_never_guessed():
    value, flags = one(4.0, "", Analyte("potassium", "mmol/L"))
    assert math.isnan(value)
    assert flags == ("unit_missing:potassium",)
    assert one(7.0, "", Analyte("score", "1")) == (7.0, ())
    assert one(95.0, "", Analyte("spo2", "%"))[1] == ("unit_missing:spo2",)


@pytest.mark.parametrize(
    ("unit", "target"),
    [
        ("mmol/L", "U/L"),
        ("%", "mmol/mol"),  # HbA1c: another scale, not another prefix
        ("mmol/L", "mg/dL"),  # needs a molar mass
        ("mmol/L", "meq/L"),  # needs a valence: UCUM alone would call them equal
        ("[IU]/L", "U/L"),
        ("[IU]/mL", "/mL"),
        ("ug/L{DDU}", "ug/L{FEU}"),
        ("ug/L", "ug/L{FEU}"),
        ("mosm/kg", "mmol/kg"),
        ("g", "g/L"),
    ],
)
def test_another_quantity_is_refused(unit, target):
    value, flags = one(5.0, unit, Analyte("x", target))
    assert math.isnan(value)
    assert flags == ("unit_incompatible:x",)


def test_annotations_that_mean_nothing_are_passed_over():
    assert one(4500.0, "{cells}/uL", Analyte("wbc", "10*9{WBC}/L")) == (4.5, ())
    assert one(500.0, "ng/mL{FEU}", Analyte("ddimer", "mg/L{FEU}")) == (0.5, ())


@pytest.mark.parametrize(
    ("spelling", "unit"),
    [
        ("mEq/L", "meq/L"),
        ("K/uL", "10*3/uL"),
        ("\u00b5mol/L", "umol/L"),
        ("\u03bcmol/L", "umol/L"),
        ("x10^9/L", "10*9/L"),
        ("mmHg", "mm[Hg]"),
    ],
)
def test_every_use_of_another_spelling_is_flagged(spelling, unit):
    assert one(3.0, spelling, Analyte("x", unit)) == (3.0, ("unit_alias:x",))


def test_every_alias_is_ucum_and_none_hides_a_code():
    for spelling, unit in ALIASES.items():
        assert ucum.parse(unit)
        if spelling != "K/uL":  # kelvin by the microliter is nobody's laboratory value
            assert_unknown(spelling, but_for={"10^3/uL"})


def assert_unknown(spelling: str, but_for: set[str]) -> None:
    if spelling not in but_for:
        with pytest.raises(InputError) as refused:
            ucum.parse(spelling)
        assert refused.value.code == "unit_unknown"
        assert "write it as on ucum.org" in str(refused.value)


@pytest.mark.parametrize(
    "unit",
    ["mg/dl/", "MG/DL", "10E9/L", "mg per L", "(mg", "mg)", "mg//L", ".mg", "Cel/h", "mCel", "10*999/L", "m" * 65,
     "mg{", "m\u0661", "2 mg", "kmin", "[what]", "mg..L", "0", "-1", "\n"],
)  # fmt: skip
def test_what_is_not_ucum_is_refused_by_name(unit):
    assert one(1.0, unit, Analyte("x", "mg/dL"))[1] == (
        ("unit_missing:x",) if not unit.strip() else ("unit_unknown:x",)
    )


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text("mgLdu[]{}()/.*^%1029-+Hg ", max_size=20))
def test_any_text_is_a_unit_or_refused(text):
    flags = one(1.0, text, Analyte("x", "10*3"))[1]
    assert set(flags) <= {f"{code}:x" for code in ("unit_unknown", "unit_missing", "unit_incompatible", "unit_alias")}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_only_finite_values_are_used(value):
    assert one(value, "mg/L", Analyte("crp", "mg/L"))[1] == ("not_a_number:crp",)


@pytest.mark.parametrize("value", [True, "5", None, 10**400, 1 + 2j])
def test_only_numbers_are_used(value):
    measurement = Measurement("crp", 1.0, "mg/L")
    object.__setattr__(measurement, "value", value)  # what an unchecked caller could hand over
    assert canonical([measurement], [Analyte("crp", "mg/L")]).flags == ("not_a_number:crp",)


def test_a_value_that_was_settled_before_is_not_doubted_again() -> None:
    analytes = [Analyte("creatinine", "umol/L")]
    told = [canonical([Measurement("creatinine", 10.2, "umol/L", done)], analytes) for done in (False, True)]
    assert [panel.flags for panel in told] == [("suspected_unit_error:creatinine",), ()]
    assert told[1].values[0] == 10.2


def test_a_conversion_out_of_range_is_refused():
    assert one(1e308, "Yg", Analyte("x", "yg"))[1] == ("not_a_number:x",)
    assert one(1e308, "mg/dL", Analyte("crp", "mg/L"))[1] == ("not_a_number:crp",)
    assert one(-1e308, "mg/dL", Analyte("crp", "mg/L"))[1] == ("not_a_number:crp",)


def test_a_value_outside_its_limits_is_refused_and_one_on_them_used():
    potassium = Analyte("potassium", "mmol/L", plausible=(1.5, 10.0))
    value, flags = one(45.0, "mmol/L", potassium)
    assert math.isnan(value)
    assert flags == ("implausible_lab:potassium",)
    assert one(10.0, "meq/L", potassium) == (10.0, ())


def test_limits_hold_after_conversion():
    assert one(98.6, "[degF]", Analyte("temperature", "Cel", plausible=(25.0, 45.0))) == (37.0, ())
    assert one(98.6, "Cel", Analyte("temperature", "Cel", plausible=(25.0, 45.0)))[1] == (
        "suspected_unit_error:temperature",
    )
    assert one(98.6, "Cel", Analyte("bath", "Cel", plausible=(25.0, 45.0)))[1] == ("implausible_lab:bath",)


def test_two_values_of_one_analyte_cancel_and_two_spellings_of_one_value_do_not():
    crp = Analyte("crp", "mg/L")
    apart = canonical([Measurement("crp", 5.0, "mg/L"), Measurement("crp", 6.0, "mg/L")], [crp])
    alike = canonical([Measurement("crp", 5.0, "mg/L"), Measurement("crp", 0.5, "mg/dL")], [crp])
    assert math.isnan(apart.values[0])
    assert apart.flags == ("conflicting_lab:crp",)
    assert (alike.values[0], alike.flags) == (5.0, ())


def test_an_unknown_analyte_is_named_and_shifts_no_column():
    analytes = [Analyte("a", "1"), Analyte("b", "1")]
    panel = canonical([Measurement("c", 9.0, "1"), Measurement("b", 2.0, "1")], analytes)
    assert math.isnan(panel.values[0])
    assert panel.values[1] == 2.0
    assert panel.flags == ("unused_input:c",)


@pytest.mark.parametrize(("unit", "column"), [("10*9/L", 0), ("%", 1)])
def test_of_two_analytes_of_one_name_the_unit_decides(unit, column):
    analytes = [Analyte("neutrophils", "10*9/L"), Analyte("neutrophils_percent", "%")]
    panel = canonical([Measurement("neutrophils", 60.0, unit)], analytes)
    assert [math.isnan(value) for value in panel.values] == [column != 0, column != 1]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.permutations([("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)]))
def test_the_order_of_measurements_does_not_matter(reported):
    analytes = [Analyte(name, "mg/L") for name in "abc"]
    panel = canonical([Measurement(name, value, "mg/L") for name, value in reported], analytes)
    assert panel.values.tolist() == [1.0, 2.0, 3.0]
    assert panel.flags == ("unused_input:d",)


def test_a_declared_unit_that_is_not_ucum_is_a_config_error():
    wrong = [Analyte("crp", "mg per liter"), Analyte("wbc", "K per uL")]
    with pytest.raises(ConfigError) as refused:
        check_units([*wrong, Analyte("ldh", "U/L")], where="inputs.labs")
    told = str(refused.value)
    assert "not a UCUM unit: crp in 'mg per liter', wbc in 'K per uL'" in told
    assert "ldh" not in told
    assert "inputs.labs" in told
    assert "10*9/L" in told  # how to mend it
    check_units([Analyte("ldh", "U/L")])
    with pytest.raises(ConfigError):
        canonical([Measurement("crp", 1.0, "mg/L")], [Analyte("crp", "mg per liter")])


@pytest.mark.parametrize(
    ("prefixed", "plain", "times"), [("dag", "g", 10), ("dg", "g", Fraction(1, 10)), ("hPa", "Pa", 100)]
)
def test_a_prefix_of_two_letters_is_no_other_one(prefixed, plain, times):
    assert ucum.parse(prefixed).factor == ucum.parse(plain).factor * times


def test_what_is_counted_apart_has_the_size_of_what_it_is_written_beside():
    assert ucum.parse("mg/L{FEU}").factor == ucum.parse("mg/L").factor
    assert ucum.parse("mmol/mol").factor == Fraction(1, 1000)


def test_products_are_taken_from_the_left():
    assert ucum.parse("g/L.s") == ucum.parse("g.s/L")
    assert ucum.parse("m2").factor == ucum.parse("m.m").factor == Fraction(1)
    assert ucum.parse("/min") == ucum.parse("{beats}/min")

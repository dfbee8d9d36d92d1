"""Each value that laboratories sent is judged by the rules that are told, in whatever order it came."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinimm.io.lab_judgement import JudgedLab, LabItem, judge
from clinimm.io.lab_reading import read
from clinimm.io.labs import canonical
from clinimm.types import Analyte, Measurement

INDEX = datetime(2026, 1, 17, 10, tzinfo=UTC)
ANALYTES = (
    Analyte("crp", "mg/L", plausible=(0, 700)),
    Analyte("potassium", "mmol/L", plausible=(1.5, 10)),
    Analyte("glucose", "mmol/L"),
    Analyte("hemoglobin", "g/L"),
    Analyte("creatinine", "umol/L"),
    Analyte("wbc", "10*9/L"),
    Analyte("hs_tni", "ng/L"),
    Analyte("ph", "[pH]"),
    Analyte("hba1c", "mmol/mol"),
    Analyte("ldh", "U/L"),
    Analyte("ddimer_feu", "mg/L{FEU}"),
    Analyte("appendix_diameter", "mm"),
)


def lab(name: str = "crp", value: str | None = "12", unit: str = "mg/L", **more: Any) -> LabItem:
    more.setdefault("collected_at", INDEX - timedelta(hours=2))
    return LabItem(name=name, value=None if value is None else Decimal(value), unit=unit, **more)


def judged(*items: LabItem, image_time: datetime | None = None, index_time: datetime | None = INDEX) -> list[JudgedLab]:
    return list(judge(items, ANALYTES, index_time=index_time, image_time=image_time, now=INDEX + timedelta(hours=1)))


def told(*items: LabItem, **more: Any) -> list[tuple[str, str, bool]]:
    return [(one.outcome, one.code, one.used) for one in judged(*items, **more)]


def only(item: LabItem, **more: Any) -> JudgedLab:
    (one,) = judged(item, **more)
    return one


USED = ("accepted", "", True)


def test_a_sound_value_is_used_in_the_models_unit() -> None:
    assert only(lab(value="1.25", unit="mg/dL")) == JudgedLab("crp", "accepted", "", (), 12.5, "mg/L", True)
    assert only(lab("Hgb", "14.0", "g/dL")).value == 140.0
    assert only(lab("glucose", "99", "mg/dL")).value == pytest.approx(5.4952, abs=1e-4)


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (lab(unit=""), "unit_missing"),  # LAB-02
        (lab(unit=" "), "unit_missing"),
        (lab(unit="mg per liter"), "unit_unknown"),  # LAB-04
        (lab(unit="10E9/L"), "unit_unknown"),
        (lab("ldh", "4", "mmol/L"), "unit_incompatible"),  # LAB-05
        (lab("hba1c", "7", "%"), "unit_incompatible"),
        (lab(unit="kg/L"), "unit_incompatible"),  # of the right dimension, but no laboratory's
        (lab("d-dimer", "0.4", "mg/L"), "unit_incompatible"),  # FEU or DDU is not told
        (lab("potassium", "45", "mmol/L"), "implausible_lab"),  # LAB-06
        (lab(value="800"), "implausible_lab"),  # by the model's own limits
        (lab("appendix_diameter", "8", "mg/L"), "unit_incompatible"),
        (lab("glucose", "5.5", "mg/dL"), "suspected_unit_error"),  # LAB-07
        (lab("hb", "140", "g/dL"), "suspected_unit_error"),
        (lab("creatinine", "88", "mg/dL"), "suspected_unit_error"),
        (lab("creatinine", "1.1", "umol/L"), "suspected_unit_error"),
        (lab("wbc", "7.5", "/uL"), "suspected_unit_error"),
        (lab(value="NaN"), "not_a_number"),
        (lab(value="sNaN"), "not_a_number"),
        (lab(value="1e999999"), "not_a_number"),
        (lab(value="-Infinity"), "not_a_number"),
        (lab(value=None), "value_missing"),
        (lab(specimen="moon dust"), "specimen_unknown"),
    ],
)
def test_what_cannot_be_believed_is_quarantined_by_name(item: LabItem, code: str) -> None:
    one = only(item)
    assert (one.outcome, one.code, one.used, one.value) == ("quarantined", code, False, None)


@pytest.mark.parametrize(("spelling", "value"), [("K/uL", "7.2"), ("x10^9/L", "7.2"), ("cells/\u00b5L", "7200")])
def test_lab_04_each_use_of_another_spelling_is_recorded(spelling: str, value: str) -> None:
    one = only(lab("wbc", value, spelling))
    assert (one.used, one.flags, one.value) == (True, ("unit_alias",), 7.2)


def test_lab_06_a_critical_value_is_used_and_flagged() -> None:
    one = only(lab("potassium", "7.2", "mmol/L"))
    assert (one.used, one.value, one.flags) == (True, 7.2, ("critical_lab",))


@pytest.mark.parametrize(
    ("value", "unit", "limits", "code"),
    [
        ("4.5", "mg/L", ("0", "0.5"), "suspected_unit_error"),  # an ordinary value: only the sender's limit tells
        ("4.5", "mg/L", ("0", "5"), ""),
        ("60", "mg/dL", ("0", "0.5"), ""),  # odd in its unit, yet the sender's limit fits it
        ("60", "mg/dL", (None, None), "suspected_unit_error"),
        ("60", "mg/dL", (None, "77"), "suspected_unit_error"),  # a limit that fits no unit tells nothing
        ("4.5", "mg/L", (None, "NaN"), ""),
        ("60", "mg/dL", ("1", None), "suspected_unit_error"),  # ours has no lower limit that it could fit
    ],
)
def test_lab_07_the_senders_reference_limits_tell_its_unit(
    value: str, unit: str, limits: tuple[str | None, str | None], code: str
) -> None:
    low, high = (None if end is None else Decimal(end) for end in limits)
    assert only(lab(value=value, unit=unit, limits=(low, high))).code == code


@pytest.mark.parametrize(
    ("item", "limits", "code"),
    [
        (lab("creatinine", "10.2", "umol/L"), (None, None), "suspected_unit_error"),
        (lab("creatinine", "10.2", "umol/L"), ("48", None), ""),  # the lower limit alone tells it, too
        (lab("creatinine", "10.2", "umol/L"), ("0.55", None), "suspected_unit_error"),
        (lab("creatinine", "10.2", "umol/L"), ("48", "1.2"), "suspected_unit_error"),  # the upper one comes first
        (lab("creatinine", "10.2", "umol/L"), ("48", "9000"), ""),  # where it fits no unit, the lower one
        (lab("d-dimer", "0.4", "ug/L{FEU}"), (None, None), "suspected_unit_error"),
        (lab("d-dimer", "0.4", "ug/L{FEU}"), (None, "500"), ""),  # less than one in the canonical unit
        (lab("d-dimer", "0.4", "ug/L{FEU}"), (None, "0"), "suspected_unit_error"),
    ],
)
def test_lab_07_either_limit_of_the_sender_tells_its_unit(
    item: LabItem, limits: tuple[str | None, str | None], code: str
) -> None:
    low, high = (None if end is None else Decimal(end) for end in limits)
    assert only(replace(item, limits=(low, high))).code == code


def test_lab_07_a_limit_that_is_zero_in_the_stated_unit_fits_another() -> None:
    """32 [degF] are 0 Cel, which has no logarithm; 32 Cel are near what bounds a temperature."""
    temperature = Analyte("temperature", "Cel")
    assert read(Fraction("98.6"), "[degF]", temperature, limits=(None, Decimal(32))).code == "suspected_unit_error"


@pytest.mark.parametrize(
    ("item", "outcome", "value"),
    [
        (lab(comparator="<", value="5"), USED, 5.0),
        (lab(comparator="<", value="0.02", unit="mg/dL"), USED, 0.2),
        (lab(comparator=">", value="500"), USED, 500.0),
        (lab(comparator="<", value="500"), ("accepted", "censored", False), 500.0),  # says nothing
        (lab("hs-tni", "2", "ng/L", comparator="<="), USED, 2.0),
        (lab("hs-tni", "2", "ng/L", comparator=">"), USED, 2.0),
        (lab("hba1c", "20", "mmol/mol", comparator="<"), ("accepted", "censored", False), 20.0),  # "missing"
        (lab("appendix_diameter", "6", "mm", comparator="<"), ("accepted", "censored", False), 6.0),
    ],
)
def test_lab_08_a_limit_is_never_taken_for_a_value_in_silence(item: LabItem, outcome: Any, value: float) -> None:
    one = only(item)
    assert (one.outcome, one.code, one.used) == outcome
    assert (one.value, one.unit) == (value, {analyte.name: analyte.unit for analyte in ANALYTES}[str(one.analyte)])
    assert "censored" in one.flags


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (lab("creatinine", "10.2", "umol/L"), "<"),  # odd, being little
        (lab("crp", "60", "mg/dL"), ">"),  # odd, being much
    ],
)
def test_lab_08_that_a_limit_is_extreme_is_no_sign_of_another_unit(item: LabItem, expected: str) -> None:
    codes = {comparator: only(replace(item, comparator=comparator)).code for comparator in ("", "<", "<=", ">=", ">")}
    doubted = {one for one, code in codes.items() if code == "suspected_unit_error"}
    assert doubted == {"", "<", "<=", ">=", ">"} - {expected, expected + "="}


def test_lab_08_a_limit_and_a_value_of_one_time_conflict() -> None:
    assert told(lab(value="5"), lab(value="5", comparator="<")) == [("quarantined", "conflicting_lab", False)] * 2


def test_lab_09_a_correction_supersedes_whatever_its_order() -> None:
    first = lab(source_id="a", issued_at=INDEX)
    fixed = lab(value="21", source_id="a", status="corrected", issued_at=INDEX + timedelta(minutes=1))
    again = lab(value="22", source_id="a", status="corrected", issued_at=INDEX + timedelta(minutes=2))
    gone = ("superseded", "superseded", False)
    assert told(first, fixed) == [gone, USED]
    assert told(again, first, fixed) == [USED, gone, gone]
    unordered = replace(again, issued_at=None)
    assert told(first, fixed, unordered) == [gone, *[("quarantined", "conflicting_lab", False)] * 2]
    assert told(first, replace(fixed, unit="")) == [gone, ("quarantined", "unit_missing", False)]


@pytest.mark.parametrize(("status", "code"), [("cancelled", "cancelled"), ("entered-in-error", "entered_in_error")])
def test_lab_09_a_cancellation_withdraws_every_value_of_its_source(status: Any, code: str) -> None:
    items = [lab(source_id="a"), lab(value=None, source_id="a", status=status), lab(value="9", source_id="b")]
    found = judged(*items)
    assert [(one.outcome, one.code, one.value) for one in found[:2]] == [("withdrawn", code, None)] * 2
    assert found[2].used


def test_lab_09_a_preliminary_value_is_used_only_where_no_final_one_is() -> None:
    early = lab(value="9", status="preliminary", source_id="a")
    assert only(early).flags == ("preliminary",)
    assert told(early, lab(source_id="a")) == [("superseded", "superseded", False), USED]
    older = lab(source_id="b", collected_at=INDEX - timedelta(hours=9))
    assert told(early, older) == [("superseded", "superseded", False), USED]


def test_lab_10_a_value_sent_twice_is_no_other_value() -> None:
    twice = [lab(source_id="a"), lab(source_id="a", value="1.2", unit="mg/dL")]
    assert sorted(told(*twice)) == [("accepted", "", True), ("accepted", "duplicate", False)]


def test_lab_10_two_values_of_one_source_are_both_left_out() -> None:
    apart = [lab(source_id="a"), lab(source_id="a", value="13"), lab(source_id="b", value="7")]
    assert told(*apart) == [*[("quarantined", "conflicting_lab", False)] * 2, USED]
    moved = lab(source_id="a", collected_at=INDEX - timedelta(hours=3))
    assert told(lab(source_id="a"), moved) == [("quarantined", "conflicting_lab", False)] * 2


@pytest.mark.parametrize("source", ["a", None])
def test_lab_10_which_of_two_copies_stands_does_not_hang_on_their_order(source: str | None) -> None:
    copies = [lab(source_id=source), lab("c-reactive protein", "1.2", "mg/dL", source_id=source)]
    assert judged(*copies) == judged(*copies[::-1])[::-1]


def test_lab_10_a_doubt_about_one_copy_is_a_doubt_about_both() -> None:
    copies = [lab("potassium", "5", "mmol/L", source_id="a"), lab("k", "5.0", "meq/L", source_id="a")]
    copies[1] = replace(copies[1], comment_codes=("haemolysed",))
    assert told(*copies) == [("accepted", "duplicate", False), ("quarantined", "unreliable_sample", False)]
    other = [replace(copies[0], comment_codes=("haemolysed",)), replace(copies[1], comment_codes=())]
    assert told(*other) == [("quarantined", "unreliable_sample", False), ("accepted", "duplicate", False)]


@pytest.mark.parametrize("names", [("crp", "c-reactive protein"), ("c-reactive protein", "crp")])
def test_lab_10_of_two_copies_the_dated_one_stands(names: tuple[str, str]) -> None:
    undated, dated = lab(names[0], source_id="a", collected_at=None), lab(names[1], source_id="a")
    assert told(undated, dated) == [("accepted", "duplicate", False), USED]


@pytest.mark.parametrize(("unit", "analyte"), [("10*9/L", "neutrophils"), ("%", "neutrophils_percent")])
def test_lab_14_of_two_analytes_of_one_name_the_unit_decides(unit: str, analyte: str) -> None:
    both = (Analyte("neutrophils", "10*9/L"), Analyte("neutrophils_percent", "%"))
    for analytes in (both, both[::-1]):
        (one,) = judge([lab("neutrophils", "60", unit)], analytes, index_time=None, image_time=None, now=INDEX)
        assert one.analyte == analyte


@pytest.mark.parametrize(("value", "measurable"), [("1e-250", False), ("1e-249", True), ("1e250", False)])
def test_lab_12_a_value_beyond_all_measures_is_no_number(value: str, measurable: bool) -> None:
    assert (only(lab(value=value)).code != "not_a_number") is measurable


@pytest.mark.parametrize(
    ("ago", "code"),
    [
        (timedelta(hours=-1, minutes=-6), "clock_skew"),
        (timedelta(hours=-1, minutes=-4), "after_index_time"),
        (timedelta(seconds=-1), "after_index_time"),
        (timedelta(0), ""),
        (timedelta(hours=48), ""),
        (timedelta(hours=48, seconds=1), "stale"),
    ],
)
def test_lab_11_a_value_is_of_its_time(ago: timedelta, code: str) -> None:
    one = only(lab(collected_at=INDEX - ago))
    assert (one.code, one.used) == (code, not code)
    assert (one.value is not None) == (code in ("", "stale"))


def test_lab_11_age_is_counted_to_the_image() -> None:
    image_time = INDEX - timedelta(hours=40)
    assert only(lab(collected_at=INDEX - timedelta(hours=60)), image_time=image_time).used
    assert only(lab(collected_at=INDEX - timedelta(hours=89)), image_time=image_time).code == "stale"
    naive = lab(collected_at=datetime(2026, 1, 17, 9))  # noqa: DTZ001
    assert only(naive).code == "time_zone"
    assert only(lab(collected_at=None)).flags == ("age_unknown",)
    assert only(lab(), index_time=None).used


def test_lab_11_the_latest_in_the_window_is_used_and_the_others_are_listed() -> None:
    times = [INDEX - timedelta(hours=hours) for hours in (5, 1, 90)]
    items = [lab(value=str(n), collected_at=time) for n, time in enumerate([*times, None])]
    found = judged(*items)
    assert [(one.code, one.used) for one in found] == [
        ("superseded", False), ("", True), ("stale", False), ("superseded", False)
    ]  # fmt: skip
    assert told(lab(value="3"), lab(value="4")) == [("quarantined", "conflicting_lab", False)] * 2
    assert sorted(told(lab(value="3"), lab(value="3", name="c-reactive protein"))) == [
        USED, ("accepted", "duplicate", False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "item",
    [
        lab("cortisone"),
        lab("", code="99999-9"),
        lab("crp", code="2350-7"),  # the code says glucose in urine
        lab("crp", code="14937-7", system="http://loinc.org"),
        lab("glucose", "9", "mmol/L", specimen="urine"),  # LAB-14
        lab("ph", "7.3", "[pH]", specimen="venous blood"),
        lab("ph", "7.3", "[pH]", code="2746-6"),
        lab("hs-tnt", "20", "ng/L"),
        lab("troponin t", "20", "ng/L"),
        lab("", code="X7", system="urn:local"),
    ],
)
def test_lab_13_what_the_model_does_not_use_shifts_nothing(item: LabItem) -> None:
    assert only(item) == JudgedLab(None, "accepted", "unused_input")


@pytest.mark.parametrize(
    "item",
    [
        lab("", code="1988-5"),
        lab("a name of its own", code="1988-5", system="http://loinc.org"),
        lab("a name of its own", code="1988-5", system=" HTTP://LOINC.org/ "),
        lab("crp", code="CRPX", system="urn:local"),
        lab("crp", code="CRP"),
        lab(" C_reactive  Protein", specimen="Serum"),
    ],
)
def test_an_analyte_is_known_by_its_code_else_by_its_name(item: LabItem) -> None:
    one = only(item)
    assert (one.analyte, one.used) == ("crp", True)


@pytest.mark.parametrize(
    ("name", "value", "unit", "comment", "code"),
    [
        ("potassium", "6", "mmol/L", "haemolysed", "unreliable_sample"),
        ("ldh", "600", "U/L", "HEM", "unreliable_sample"),
        ("crp", "6", "mg/L", "haemolysed", ""),
        ("hb", "120", "g/L", "lipaemic", "unreliable_sample"),
        ("crp", "6", "mg/L", "insufficient", "unreliable_sample"),
        ("appendix_diameter", "6", "mm", "insufficient", "unreliable_sample"),
        ("potassium", "6", "mmol/L", "seen by the physician", ""),
    ],
)
def test_lab_15_a_spoiled_sample_tells_nothing_of_what_it_spoils(
    name: str, value: str, unit: str, comment: str, code: str
) -> None:
    one = only(lab(name, value, unit, comment_codes=(comment,)))
    assert (one.code, one.used) == (code, not code)


def test_a_coded_value_is_kept_and_no_number_is_made_of_it() -> None:
    one = only(lab(value=None, coded="positive"))
    assert (one.outcome, one.code, one.used, one.value) == ("accepted", "coded_value", False, None)


TIMES = st.sampled_from([None, *(INDEX + timedelta(hours=hours) for hours in (-60, -5, -1, 2))])
# Facts, not items: a LabItem made while drawing would be checked by beartype, which draws at random itself.
ITEMS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["crp", "potassium", "K+", "appendix_diameter", "nothing"]),
        "source_id": st.sampled_from([None, "a", "b"]),
        "value": st.sampled_from([None, Decimal("4.1"), Decimal("4.10"), Decimal("5"), Decimal("45"), Decimal("NaN")]),
        "comparator": st.sampled_from(["", "", "<"]),
        "coded": st.sampled_from([None, None, "positive"]),
        "unit": st.sampled_from(["mg/L", "mmol/L", "mmol/L", "meq/L", "mm", ""]),
        "collected_at": TIMES,
        "issued_at": TIMES,
        "status": st.sampled_from(["preliminary", "final", "final", "corrected", "cancelled"]),
        "comment_codes": st.sampled_from([(), (), ("haemolysed",)]),
    }
)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.lists(ITEMS, max_size=7, unique_by=repr), st.data())
def test_the_order_in_which_items_come_does_not_matter(facts: list[dict[str, Any]], data: st.DataObject) -> None:
    items = [LabItem(**one) for one in facts]
    order = data.draw(st.permutations(range(len(items))))
    straight = judged(*items)
    assert judged(*(items[at] for at in order)) == [straight[at] for at in order]
    used = [one.analyte for one in straight if one.used]
    assert len(used) == len(set(used))
    assert all(one.value is not None and not one.code for one in straight if one.used)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(ITEMS, max_size=5, unique_by=repr))
def test_what_is_sent_twice_changes_no_value(facts: list[dict[str, Any]]) -> None:
    items = [LabItem(**one) for one in facts]
    once = {(one.analyte, one.value) for one in judged(*items) if one.used}
    twice = {(one.analyte, one.value) for one in judged(*items, *items) if one.used}
    assert once == twice


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.sampled_from(ANALYTES), st.floats(1e-3, 1e5),
    st.sampled_from(["mg/L", "mg/dL", "mmol/L", "g/dL", "umol/L", "10*9/L", "/uL", "ng/mL", "U/L", "mm", "K/uL", ""]),
)  # fmt: skip
def test_training_and_serving_judge_a_value_alike(analyte: Analyte, value: float, unit: str) -> None:
    panel = canonical([Measurement(analyte.name, value, unit)], [analyte])
    exact = Decimal(value)
    (one,) = judge(
        [LabItem(analyte.name, value=exact, unit=unit)], [analyte], index_time=None, image_time=None, now=INDEX
    )
    if one.used:
        assert panel.values[0] == one.value
    else:
        assert f"{one.code}:{analyte.name}" in panel.flags

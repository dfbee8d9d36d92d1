"""A cohort check counts what is there, and tells when missingness alone gives the label away."""

import io
import json
import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from clinimm.data.check import check_cohort
from clinimm.data.check_tables import headline, tables
from clinimm.types import Analyte, Case, InputState, Kind, Measurement, Measurements, Modality, Note, Status

MODALITIES = (
    Modality("note", Kind.TEXT, (32,)),
    Modality("labs", Kind.TABULAR, (2,), (Analyte("crp", "mg/L", (0.0, 700.0)), Analyte("[pH]", "[pH]"))),
)
ABSENT = InputState(Status.ABSENT, "not_provided")


def case(n: int, *, note: bool, crp: float | None = None, unit: str = "mg/L", severe: bool | None = None) -> Case:
    inputs = {"note": Note("cough", flags=("note_characters_lost",))} if note else {}
    if crp is not None:
        inputs["labs"] = Measurements((Measurement("crp", crp, unit),))
    absent = {name: ABSENT for name in ("note", "labs") if name not in inputs}
    return Case(f"c{n}", f"p{n // 2}", inputs, {"severe": severe}, absent=absent)


def many(p_note_if_severe: float, p_note_if_not: float, n: int = 300) -> list[Case]:
    rng = random.Random(0)
    return [
        case(n, note=rng.random() < (p_note_if_severe if severe else p_note_if_not), crp=1.0, severe=severe)
        for n in range(n)
        for severe in [rng.random() < 0.5]
    ]


def test_everything_is_counted():
    cases = [
        case(0, note=True, crp=5.0, severe=True),
        case(1, note=True, severe=False),
        case(2, note=False, crp=50.0, unit="mg/dL"),
        case(3, note=False, crp=4.0, unit="mmol/L"),
        case(4, note=False, crp=9999.0),
    ]
    check = check_cohort(cases, MODALITIES, ["severe"])
    assert (check.cases, check.patients, check.cases_per_patient) == (5, 3, {1: 1, 2: 2})
    note, labs = check.inputs
    assert (note.present, note.reasons, note.flags) == (2, {"not_provided": 3}, {"note_characters_lost": 2})
    assert labs.present == 4
    assert check.patterns == {"labs": 3, "note+labs": 1, "note": 1}
    crp, ph = check.analytes
    assert (crp.known, crp.median) == (2, 252.5)
    assert crp.faults == {"unit_incompatible": 1, "implausible_lab": 1}
    assert (ph.known, ph.median) == (0, None)
    (severe,) = check.targets
    assert (severe.known, severe.positive, severe.mask_auroc.value) == (2, 1, None)
    assert check.warnings == ()


def test_what_its_time_forbids_to_use_is_counted_by_why():
    noon = datetime(2026, 1, 17, 12)  # noqa: DTZ001
    ages = [1, 30, 200, -1, None]
    cases = [
        replace(
            case(n, note=True),
            index_time=noon,
            inputs={"note": Note("cough", None if hours is None else noon - timedelta(hours=hours))},
        )
        for n, hours in enumerate(ages)
    ]
    note, _ = check_cohort(cases, MODALITIES, [], max_age_hours={"note": 24}).inputs
    assert (note.present, note.refused, note.undated) == (5, {"stale": 2, "after_index_time": 1}, 1)
    note, _ = check_cohort(cases, MODALITIES, []).inputs
    assert note.refused == {"after_index_time": 1}


def test_a_case_with_no_input_is_a_pattern_of_its_own():
    check = check_cohort([case(0, note=False), case(1, note=True)], MODALITIES, ["severe"])
    assert check.patterns == {"nothing": 1, "note": 1}


def test_a_label_that_missingness_tells_is_warned_of():
    check = check_cohort(many(0.9, 0.3), MODALITIES, ["severe"])
    told = check.targets[0].mask_auroc
    assert told.low > 0.65
    assert told.value == pytest.approx(0.8, abs=0.06)
    (warning,) = check.warnings
    assert "severe by itself" in warning


def test_missingness_at_random_is_not_warned_of():
    check = check_cohort(many(0.5, 0.5), MODALITIES, ["severe"])
    assert check.targets[0].mask_auroc.low < 0.5
    assert check.warnings == ()


def test_a_mask_that_never_varies_is_exactly_chance():
    check = check_cohort(many(1.0, 1.0), MODALITIES, ["severe"])
    assert check.targets[0].mask_auroc.value == 0.5


def test_an_order_of_cases_gives_the_same_answer():
    cases = many(0.9, 0.3)
    shuffled = random.Random(1).sample(cases, len(cases))
    first, second = (check_cohort(given, MODALITIES, ["severe"]).targets[0].mask_auroc for given in (cases, shuffled))
    assert first.value == pytest.approx(second.value, abs=1e-9)


def test_the_record_is_json_and_the_tables_say_it():
    check = check_cohort(many(0.9, 0.3), MODALITIES, ["severe"])
    assert json.loads(json.dumps(check.record()))["targets"][0]["known"] == 300
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(headline(check))
    for table in tables(check):
        console.print(table)
    text = console.export_text()
    assert "300 cases of 150 patients" in text
    assert "[pH]" in text

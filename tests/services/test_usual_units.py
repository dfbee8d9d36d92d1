"""A unit that a sender never gave such values in is doubted; one that it always gave, or gives for good, is not."""

from typing import Any

import httpx
from service_requests import case, post

from services.cases.usual_units import FEWEST, LAST, NEARLY_ALL


def lab(value: float, unit: str, name: str = "crp", **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "collected_at": "2026-01-17T08:00:00+00:00"} | more


def sent(api: httpx.Client, number: int, *labs: dict[str, Any]) -> list[str]:
    """What became of each value of a new case, as a code; "" for one that is used."""
    told = case(f"order-{number}", patient={"id": f"p-{number}"}, note=None, labs=list(labs))
    answer = post(api, told)
    assert answer.status_code == 202, answer.text
    return [part["code"] for part in answer.json()["parts"]]


def test_value_in_a_unit_that_its_sender_never_used_is_doubted(either_api: httpx.Client) -> None:
    for number in range(FEWEST):
        assert sent(either_api, number, lab(40 + number, "mg/L")) == [""]
    assert sent(either_api, 100, lab(4, "mg/dL")) == ["suspected_unit_error"]
    assert sent(either_api, 101, lab(40, "mg/L")) == [""]
    assert sent(either_api, 102, lab(4, "mg/dL", reference_range={"high": 0.5})) == [""]  # its own limits say so
    assert sent(either_api, 103, lab(4, "mg/dL", "C-reactive protein")) == [""]  # of that name none was sent yet
    dry = either_api.post("/v1/cases:validate", json=case("dry", note=None, labs=[lab(4, "mg/dL")]))
    assert dry.json()["parts"][0]["code"] == "suspected_unit_error"


def test_few_values_make_no_habit_and_two_units_none(api: httpx.Client) -> None:
    for number in range(FEWEST - 1):
        assert sent(api, number, lab(40, "mg/L")) == [""]
    assert sent(api, 50, lab(4, "mg/dL")) == [""]
    for number in range(100, 100 + FEWEST):
        assert sent(api, number, lab(4, "mg/L" if number % 4 else "mg/dL", "CRP")) != ["suspected_unit_error"]


def test_equal_units_are_one_however_they_are_written(api: httpx.Client) -> None:
    for number in range(FEWEST):
        assert sent(api, number, lab(40, "mg/L" if number % 2 else "ug/mL")) == [""]
    assert sent(api, 50, lab(4, "mg/dL")) == ["suspected_unit_error"]
    assert [sent(api, 51 + number, lab(40, unit)) for number, unit in enumerate(("ug/mL", "mg/L"))] == [[""], [""]]


def test_sender_that_changes_for_good_is_believed_again(api: httpx.Client) -> None:
    for number in range(LAST):
        assert sent(api, number, lab(40, "mg/L")) == [""]
    told = [sent(api, number, lab(4, "mg/dL"))[0] for number in range(100, 110)]
    doubted = round((1 - NEARLY_ALL) * LAST) + 1
    assert told == ["suspected_unit_error"] * doubted + [""] * (10 - doubted)

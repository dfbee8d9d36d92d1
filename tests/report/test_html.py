"""The page: self-contained, inert whatever it is given, honest about what failed and what was missing."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from clinimm.errors import ConfigError
from clinimm.report.html import content_security_policy, render, signed
from clinimm.report.record import build
from clinimm.types import Measurement, Measurements, Note

ATTACK = "<script>alert(1)</script><img src=x onerror=\"alert(2)\"> \"'></mark> {{ 7*7 }} =cmd|' /C calc'!A0"


class Page(HTMLParser):
    """Every tag with its attributes, and the text that a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def all_of(page: Page, tag: str) -> list[dict[str, str | None]]:
    return [attributes for name, attributes in page.tags if name == tag]


@pytest.fixture(scope="module")
def record(predictor, complete_case):
    [prediction] = predictor.predict([complete_case])
    return build(predictor, complete_case, prediction, predictor.explain(complete_case))


def test_the_page_loads_nothing_and_runs_nothing(record):
    page = Page(render(record))
    assert not all_of(page, "script") + all_of(page, "link") + all_of(page, "iframe") + all_of(page, "form")
    assert all(image["src"].startswith("data:image/png;base64,") for image in all_of(page, "img"))
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert not [attributes for _, attributes in page.tags if "style" in attributes]
    assert "://" not in render(record)


def test_the_policy_lets_in_the_page_s_own_style_alone(record):
    text = render(record)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    policy = next(meta["content"] for meta in all_of(Page(text), "meta") if "http-equiv" in meta)
    assert policy == content_security_policy(style)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_injected_markup_is_shown_as_text(predictor, complete_case, answer):
    given = {
        "note": Note(ATTACK),
        "labs": Measurements((Measurement("crp", 3.0, ATTACK), Measurement("wbc", 4.0, "10*9/L"))),
    }
    case = replace(complete_case, case_id=ATTACK, inputs={**complete_case.inputs, **given})
    page = Page(render(answer(predictor, case, patient_id=ATTACK)))
    assert not all_of(page, "script")
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert page.text.count("<script>alert(1)</script>") >= 3  # case, patient and note
    assert "{{ 7*7 }}" in page.text


def test_every_figure_has_words_for_those_who_cannot_see_it(record):
    page = Page(render(record))
    assert [attributes["lang"] for attributes in all_of(page, "html")] == ["en"]
    assert all("alt" in image for image in all_of(page, "img"))
    assert any("Heat map over cxr" in image["alt"] for image in all_of(page, "img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") == "true" for svg in all_of(page, "svg"))
    assert all(header.get("scope") in ("col", "row") for header in all_of(page, "th"))


def test_the_page_names_model_case_and_use_and_no_patient(record, complete_case):
    page = Page(render(record))
    for words in (record["case"]["case_id"], record["model"]["digest"], record["digest"], "Not for diagnosis"):
        assert words in page.text
    assert "neither a localization of disease nor its cause" in page.text
    assert complete_case.patient_id + " " not in page.text.replace(complete_case.case_id, "")
    assert "Patient" not in page.text


def test_every_target_input_check_and_subset_is_on_the_page(record):
    text = Page(render(record)).text
    for answer in record["prediction"]["targets"]:
        assert f"Why: {answer['target'].replace('_', ' ')}" in text
    for subset in record["explanations"][0]["subsets"]:
        assert subset.replace("+", " + ") in text
    for name in ("completeness", "efficiency", "agreement"):
        assert name in text
    assert text.count("pass") >= 9


def test_a_failed_check_stamps_the_picture(record):
    spoiled = json.loads(json.dumps(record))
    spoiled["explanations"][0] |= {"trusted": False}
    spoiled["explanations"][0]["checks"][0] |= {"passed": False, "value": None}
    assert 'class="doubtful"' not in render(record)
    page = render(spoiled)
    assert page.count('class="doubtful"') == 1
    assert "Not reliable" in Page(page).text
    assert "Do not read anything into its pictures" in Page(page).text


def test_what_is_missing_is_named_with_its_reason(predictor, complete_case, answer):
    inputs = {name: given for name, given in complete_case.inputs.items() if name == "note"}
    text = Page(render(answer(predictor, replace(complete_case, inputs=inputs)))).text
    assert "not provided" in text
    assert text.count("missing") >= 12  # two inputs, ten analytes
    assert "not used" in text


def test_what_was_measured_of_each_input_is_on_the_page(record):
    text = Page(render(record)).text
    measured = {name: state["quality"] for name, state in record["prediction"]["inputs"].items()}
    assert {"cxr", "note", "labs"} == {name for name, quality in measured.items() if quality}
    assert f"sharpness {measured['cxr']['sharpness']:.3g}" in text
    assert "duplicates" not in text  # zeros are left out


def test_an_abstention_is_a_page_too(predictor, complete_case, answer):
    text = Page(render(answer(predictor, replace(complete_case, inputs={})))).text
    assert "No answer" in text
    assert "no usable input" in text


@pytest.mark.slow
def test_a_volume_s_page_shows_three_planes(volume_cohort, answer):
    predictor, cases = volume_cohort
    page = Page(render(answer(predictor, next(case for case in cases if "ct" in case.inputs))))
    assert sum("Heat map over ct" in image["alt"] for image in all_of(page, "img")) == 3


def test_a_record_of_another_schema_is_refused(record):
    with pytest.raises(ConfigError, match=r"clinimm\.report/1"):
        render(record | {"schema": "clinimm.report/9"})


def test_numbers_are_signed_with_a_true_minus():
    assert [signed(value) for value in (0.844, -0.5, -0.001, None)] == [
        "+0.84",
        "\N{MINUS SIGN}0.50",
        "0.00",
        "\N{EN DASH}",
    ]

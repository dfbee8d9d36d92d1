"""The page: self-contained, inert whatever it is given, honest about what failed and what was missing."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from clinimm.errors import ConfigError
from clinimm.report.canonical import canonical, digest, parsed
from clinimm.report.formats import segments, signed, visible
from clinimm.report.html import content_security_policy, render, sections
from clinimm.report.record import build
from clinimm.types import ImageFile, Measurement, Measurements, Note

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
    assert not all_of(page, "img")
    assert all(image["href"].startswith("data:image/png;base64,") for image in all_of(page, "image"))
    assert all(link["href"].startswith("#") for link in all_of(page, "a"))
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert not [attributes for _, attributes in page.tags if "style" in attributes]
    assert "://" not in render(record)


def test_smoothing_is_told_of_a_record_that_has_it_and_of_no_earlier_one(record):
    assert record["explanations"][0]["smoothing"] == 0.04
    assert "by a Gaussian of 4.0 % of each side" in render(record)
    earlier = parsed(canonical(record))
    for explanation in earlier["explanations"]:
        del explanation["smoothing"]
    assert "Gaussian" not in render(earlier)


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
    assert all(svg.get("aria-label") or svg.get("aria-hidden") == "true" for svg in all_of(page, "svg"))
    assert any("Heat map over cxr" in svg.get("aria-label", "") for svg in all_of(page, "svg"))
    assert all(header.get("scope") in ("col", "row") for header in all_of(page, "th"))
    assert all_of(page, "main")
    assert all_of(page, "nav") == [{"aria-label": "Sections"}]


def test_seventeen_sections_are_numbered_headed_and_linked(record):
    page = Page(render(record))
    names = [section["id"] for section in all_of(page, "section")]
    assert len(names) == len(set(names)) == 17
    assert [link["href"] for link in all_of(page, "a")][1:] == [f"#{name}" for name in names]
    assert [title["id"] for title in all_of(page, "h2")] == [f"{name}-title" for name in names]
    for section in record["contents"]:
        assert f"{section['number']}. {section['title']}" in page.text
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.2."""
    digits = color.lstrip("#")
    digits = "".join(2 * one for one in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_sections_for_another_page_are_those_of_the_page(record):
    page = render(record)
    drawn = list(sections(record))
    assert [section for section, _ in drawn] == record["contents"]
    assert all(str(body) in page for _, body in drawn)


def test_text_stands_out_by_day_and_by_night(record):
    style = re.search(r"<style>(.*?)</style>", render(record), re.DOTALL).group(1)
    day, night = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", part)) for part in style.split("prefers-color")[:2])
    for colors in (day, day | night):
        for ink in ("ink", "soft", "up", "down", "bad", "good"):
            assert contrast(colors[ink], colors["page"]) >= 4.5, ink
        assert contrast(colors["bad"], colors["bad-page"]) >= 4.5
    shades = re.findall(r"mark\.(?:up|down)\d \{ background: (#[0-9a-f]{6})", style)
    assert len(shades) == 16
    assert min(contrast("#16191d", shade) for shade in shades) >= 4.5


def test_the_heat_map_s_opacity_is_chosen_without_a_script(record):
    page = Page(render(record))
    chosen = [box for box in all_of(page, "input") if box["type"] == "radio"]
    groups = {box["name"] for box in chosen}
    assert len(groups) == len(record["explanations"])
    style = re.search(r"<style>(.*?)</style>", render(record), re.DOTALL).group(1)
    for box in chosen:
        assert ("checked" in box) == (box["value"] == "100")
        assert box["value"] == "100" or f'input[value="{box["value"]}"]:checked) .heat' in style


def test_the_page_names_model_case_and_use_and_no_patient(record, complete_case):
    page = Page(render(record))
    for words in (record["case"]["case_id"], record["model"]["digest"], digest(record), "Not for diagnosis"):
        assert words in page.text
    assert "neither a localization of disease nor its cause" in page.text
    assert complete_case.patient_id + " " not in page.text.replace(complete_case.case_id, "")
    assert "Patient" not in page.text


def test_every_target_input_check_and_subset_is_on_the_page(record):
    text = Page(render(record)).text
    for answer in record["prediction"]["targets"]:
        assert f"cxr, {answer['target'].replace('_', ' ')}" in text
    for subset in record["explanations"][0]["subsets"]:
        assert subset.replace("+", " + ") in text
    for name in ("completeness", "efficiency", "agreement", "deletion", "insertion", "infidelity", "methods"):
        assert name in text
    told = sum(len(explanation["checks"]) for explanation in record["explanations"])
    assert (
        sum(
            "pass" in one.get("class", "") or "fail" in one.get("class", "")
            for one in all_of(Page(render(record)), "td")
        )
        == told
    )


def test_sentences_are_listed_by_what_they_are_worth(record):
    text = Page(render(record)).text
    assert text.count("Sentences by what they are worth") == sum(
        bool(e["maps"]["note"]["sentences"]) for e in record["explanations"]
    )


def test_the_page_is_the_same_drawn_from_the_stored_bytes_and_carries_their_hash(record):
    page = render(record)
    assert render(parsed(canonical(record))) == page
    [carried] = [meta["content"] for meta in all_of(Page(page), "meta") if meta.get("name") == "clinimm-record"]
    assert carried == digest(record)


def test_a_failed_check_is_stamped_over_every_picture_by_name(record):
    spoiled = json.loads(json.dumps(record))
    spoiled["explanations"][0] |= {"trusted": False}
    spoiled["explanations"][0]["checks"][0] |= {"passed": False, "value": None}
    assert "NOT RELIABLE" not in render(record)
    page = render(spoiled)
    assert page.count('class="stamped"') == len(spoiled["explanations"][0]["maps"]["cxr"]["views"]) == 1
    text = Page(page).text
    assert text.count("NOT RELIABLE: completeness") == 5  # reliability, weights, film, note and labs
    assert "Do not read anything into its pictures" in text


def test_what_cannot_be_drawn_says_so_on_the_page(predictor, complete_case, tmp_path):
    [prediction] = predictor.predict([complete_case])
    [attribution] = predictor.explain(complete_case, "pneumonia")
    maps = {name: values[..., :-1] for name, values in attribution.maps.items()}
    text = Page(render(build(predictor, complete_case, prediction, [replace(attribution, maps=maps)]))).text
    assert text.count("This map cannot be drawn: map does not fit") == 3
    gone = replace(complete_case, inputs={**complete_case.inputs, "cxr": ImageFile((tmp_path / "gone.dcm",))})
    text = Page(render(build(predictor, gone, prediction, [attribution]))).text
    assert "It cannot be shown:" in text


def test_what_steers_text_unseen_is_shown_and_does_not_steer():
    assert visible("a\u202eb\u2066c\u200d\x00d\n\t") == "a[U+202E]b[U+2066]c[U+200D][U+0000]d\n\t"
    assert visible("עברית عربي 中文 é") == "עברית عربي 中文 é"


def test_marks_that_reverse_text_are_inert_in_a_note_and_a_name(predictor, complete_case, answer):
    turned = "fever \u202eesrever\u202c \u2067more\u2069 עברית"
    case = replace(complete_case, case_id=turned, inputs={**complete_case.inputs, "note": Note(turned)})
    page = render(answer(predictor, case))
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)
    assert page.count("[U+202E]") >= 3  # title, heading, note
    assert 'class="note" dir="auto"' in page


def test_a_note_of_ten_thousand_words_is_a_small_page(predictor, complete_case, answer):
    long = " ".join(f"word{i % 97}" for i in range(10_000))
    page = render(answer(predictor, replace(complete_case, inputs={"note": Note(long)})))
    assert page.count("<mark") < 200  # what the model reads, of one target
    assert page.count("word96") >= 100
    assert len(page) < 300_000


def test_segments_are_the_note_from_end_to_end():
    text = "one two, three four"
    words = [{"start": 0, "end": 3, "score": 2.0}, {"start": 4, "end": 7, "score": 0.0}]
    words += [{"start": 9, "end": 14, "score": None}, {"start": 15, "end": 19, "score": None}]
    assert list(segments(text, words)) == [("one", "up8", 2.0), (" two, ", "", None), ("three four", "unread", None)]
    assert list(segments(text, [])) == [(text, "", None)]


def test_a_record_of_the_first_schema_is_still_a_page():
    old = json.loads((Path(__file__).parents[1] / "golden" / "report-1.json").read_text(encoding="utf-8"))
    page = render(old)
    text = Page(page).text
    assert digest(old) == old["digest"]
    assert old["digest"] in text
    assert len(all_of(Page(page), "section")) == 17
    assert any("Heat map over cxr" in svg.get("aria-label", "") for svg in all_of(Page(page), "svg"))
    assert "holds no evaluation" in text
    assert "The hashes of the model's files are not on this record" in text


def test_what_is_missing_is_named_with_its_reason(predictor, complete_case, answer):
    inputs = {name: given for name, given in complete_case.inputs.items() if name == "note"}
    text = Page(render(answer(predictor, replace(complete_case, inputs=inputs)))).text
    assert "not provided" in text
    assert text.count("missing") >= 12  # two inputs, ten analytes
    assert "it has no part in the answer" in text


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
    labels = [svg.get("aria-label", "") for svg in all_of(page, "svg")]
    assert sum("Heat map over ct" in label for label in labels) == 3
    assert sum("layers from feet to head; strongest at slice" in label for label in labels) == 1


def test_a_record_of_another_schema_is_refused(record):
    with pytest.raises(ConfigError, match=r"clinimm\.report/2"):
        render(record | {"schema": "clinimm.report/9"})


def test_numbers_are_signed_with_a_true_minus():
    assert [signed(value) for value in (0.844, -0.5, -0.001, None)] == [
        "+0.84",
        "\N{MINUS SIGN}0.50",
        "0.00",
        "\N{EN DASH}",
    ]

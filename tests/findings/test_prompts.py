"""Prompts: MedCLIP's sizes, expansion in a fixed order, drawing, sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinimm.errors import ConfigError
from clinimm.findings.prompts import MEDCLIP_PROMPTS, draw, expand, speaks_of_sides
from clinimm.findings.reader import FindingReader

SIZES = {"Atelectasis": 210, "Cardiomegaly": 15, "Consolidation": 192, "Edema": 18, "Pleural Effusion": 54}


def test_medclip_prompts_have_the_sizes_of_the_original() -> None:
    assert {name: len(expand(*entry)) for name, entry in MEDCLIP_PROMPTS.items()} == SIZES


@pytest.mark.parametrize("name", SIZES)
def test_the_reader_finds_in_every_medclip_prompt_its_class(name: str) -> None:
    reader = FindingReader()
    assert [prompt for prompt in expand(*MEDCLIP_PROMPTS[name]) if name not in reader.read(prompt)] == []


def test_templates_expand_in_a_fixed_order_without_stray_spaces() -> None:
    words = {"how": ["", "mild"], "where": ["left", "right"]}
    found = expand(["{how} edema on the {where}", "edema"], words)
    assert found == (
        "edema on the left",
        "edema on the right",
        "mild edema on the left",
        "mild edema on the right",
        "edema",
    )


def test_a_placeholder_used_twice_gets_one_word() -> None:
    assert expand(["{a} and {a}"], {"a": ["x", "y"]}) == ("x and x", "y and y")


def test_every_unknown_placeholder_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        expand(["{how} {lobe}", "{where", "{how.__class__}", "{how!r}", "{}"], {"how": ["mild"], "lobes": ["upper"]})
    for part in ("{lobe} has no words", "'{where' has unpaired", "{how.__class__}", "{how!r}", "{} has no words"):
        assert part in str(error.value)
    assert "{how} has no words" not in str(error.value)
    with pytest.raises(ConfigError):
        expand(["{a}"], {"a": []})


@given(st.lists(st.sampled_from("abcdefgh")), st.integers(1, 12), st.integers(0, 99))
def test_drawing_repeats_nothing_and_follows_its_seed(prompts: list[str], n: int, seed: int) -> None:
    drawn = draw(prompts, n, seed)
    assert len(drawn) == len(set(drawn)) == min(n, len(set(prompts)))
    assert set(drawn) <= set(prompts)
    assert draw(prompts, n, seed) == drawn


def test_seeds_differ_and_nothing_is_not_drawn() -> None:
    prompts = expand(*MEDCLIP_PROMPTS["Atelectasis"])
    assert draw(prompts, 10, 0) != draw(prompts, 10, 1)
    with pytest.raises(ConfigError):
        draw(prompts, 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "Left base.",
        "in the right lung",
        "right-sided effusion",
        "RLL opacity",
        "mass in LUL.",
        "lingular",
        "L lung",
        "RUZ",
    ],
)
def test_sides_are_noticed(text: str) -> None:
    assert speaks_of_sides(["edema", text])


@pytest.mark.parametrize("text", ["bilateral", "bright", "Lung", "all lobes", "small", "", "leftover"])
def test_other_words_are_no_sides(text: str) -> None:
    assert not speaks_of_sides([text])

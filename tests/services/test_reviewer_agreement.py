"""What is measured of readers: first words only, both of two, and nothing that would tell a blind reader."""

from typing import Any

import pytest

from services.auth import Client, Role
from services.reviews.agreement import ALL, WHOLE, measured
from services.reviews.store import Reading

SYSTEM = Client("feed", Role.SYSTEM)


def said(verdict: str = "accept", stands: str = "true", target: str = "pneumonia") -> dict[str, Any]:
    return {"target": target, "verdict": verdict, "model": "true", "stands": stands}


def reading(
    number: int, client: str, *findings: dict[str, Any], verdict: str = "signed_off", latest: bool = True
) -> Reading:
    return Reading(f"case-{number}-1", client, verdict, findings, f"p-{number}", latest)


def rows(found: list[Any], place: int = 0) -> dict[str, Any]:
    return {row.name: row for row in found[place].rows}


def test_nothing_read_is_nothing_measured() -> None:
    found = measured([], SYSTEM)
    assert (found.results, found.twice, found.pairs, found.overrides) == (0, 0, [], [])


def test_one_reader_agrees_with_nobody_and_is_set_against_the_model() -> None:
    found = measured([reading(1, "ann", said()), reading(2, "ann", said("modify", "false"))], SYSTEM)
    assert (found.results, found.twice, found.pairs) == (2, 0, [])
    [override] = found.overrides
    assert {word: one.value for word, one in override.shares.items()} == {"accept": 0.5, "reject": 0, "modify": 0.5}
    assert override.turned == {("true", "false"): 1}


def test_pairs_are_measured_by_target_over_all_and_by_the_verdict_on_the_whole() -> None:
    words = []
    for number in range(6):
        disagree = number < 2
        words.append(reading(number, "ann", said(), said(target="edema", stands="false")))
        other = said("reject", "none") if disagree else said()
        words.append(
            reading(number, "ben", other, said(target="edema"), verdict="rejected" if disagree else "signed_off")
        )
    found = measured(words, SYSTEM)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("", ""), ("ann", "ben")]
    by_name = rows(found.pairs, 1)
    assert list(by_name) == ["edema", "pneumonia", ALL, WHOLE]
    assert {name: row.measured.observed.value for name, row in by_name.items()} == pytest.approx(
        {"edema": 0, "pneumonia": 4 / 6, ALL: 4 / 12, WHOLE: 4 / 6}
    )
    assert by_name["pneumonia"].measured.bias == pytest.approx(2 / 6)
    assert by_name[ALL].measured.n == 12
    assert by_name[ALL].results == by_name[WHOLE].results == 6


def test_only_the_first_word_of_each_reader_counts() -> None:
    words = [
        reading(1, "ann", said()),
        reading(1, "ben", said("modify", "false")),
        reading(1, "ben", said()),  # after seeing ann's
    ]
    found = measured(words, SYSTEM)
    assert rows(found.pairs)["pneumonia"].measured.observed.value == 0
    assert found.overrides[0].readings == 2


def test_targets_that_one_of_them_left_out_are_not_guessed() -> None:
    found = measured([reading(1, "ann", said()), reading(1, "ben"), reading(2, "ann"), reading(2, "ben")], SYSTEM)
    assert [row.name for row in found.pairs[0].rows] == [WHOLE]
    assert found.pairs[0].rows[0].results == 2


@pytest.mark.parametrize(
    ("viewer", "latest", "count", "seen"),
    [
        (Client("cat", Role.CLINICIAN), True, 4, False),
        (Client("cat", Role.AUDITOR), True, 1, False),
        (Client("cat", Role.CLINICIAN), True, 5, True),
        (Client("cat", Role.CLINICIAN), False, 1, True),
        (Client("ann", Role.CLINICIAN), True, 1, True),
        (SYSTEM, True, 1, True),
    ],
)
def test_few_answers_are_not_measured_for_who_may_yet_review_one(
    viewer: Client, latest: bool, count: int, seen: bool
) -> None:
    words = [
        reading(number, name, said(target="edema"), latest=latest) for number in range(count) for name in ("ann", "ben")
    ]
    found = measured(words, viewer)
    assert {row.measured is not None for pair in found.pairs for row in pair.rows} == {seen}
    assert [row.shares is not None for row in found.overrides] == [seen]

"""What a seal hangs on."""

from typing import Any

import pytest

from services.audit.seals import seal

ROW: dict[str, Any] = {"name": "crp", "value": "4.5"}


@pytest.mark.parametrize("blank", ["", None, [], {}])
def test_column_that_a_later_version_adds_and_leaves_blank_changes_no_seal(blank: Any) -> None:
    assert seal(b"k", "labs/0", [ROW | {"added": blank}]) == seal(b"k", "labs/0", [ROW])


@pytest.mark.parametrize("said", [0, False, " ", [0], "crp"])
def test_whatever_a_column_says_changes_the_seal(said: Any) -> None:
    seals = {
        seal(b"k", "labs/0", [row]) for row in (ROW, ROW | {"added": said}, ROW | {"value": said}, {**ROW, "name": ""})
    }
    assert len(seals) == 4
    assert seal(b"k", "labs/1", [ROW]) != seal(b"k", "labs/0", [ROW]) != seal(b"l", "labs/0", [ROW])

"""Tests of reading and judging laboratory values."""

import pytest

from clinimm.io import lab_table, ucum


@pytest.fixture(autouse=True)
def nothing_read_before() -> None:
    """Each test reads units and tables itself: what another one left in a cache proves nothing."""
    for cached in (ucum.parse, lab_table.listed, lab_table.lab_table):
        cached.cache_clear()

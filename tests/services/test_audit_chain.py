"""Whatever is done to the events is found, and named by their numbers."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinimm.errors import ConfigError
from services.audit.chain import FIELDS, GENESIS, canonical, link
from services.audit.heads import KEY, PUBLIC, Head, Signer, forged, read_heads, read_key
from services.audit.verify import Finding, judged

Row = dict[str, Any]
START = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def event(seq: int, mark: str = "") -> Row:
    return {
        "seq": seq,
        "time": START + timedelta(seconds=seq),
        "monotonic_ns": seq * 1_000_000_000,
        "actor": "local",
        "role": "client",
        "source": "127.0.0.1",
        "action": "case.created",
        "outcome": "done",
        "object_id": f"case-{seq}{mark}",
        "case_id": None if seq % 3 else f"case-{seq}",
        "patient": "",
        "request_id": "",
        "facts": {"version": seq, "parts": ["notes/0"]},
    }


def chained(events: list[Row], before: str = GENESIS) -> list[Row]:
    rows = []
    for one in events:
        before = link(before, one)
        rows.append({**one, "hash": before})
    return rows


def written(count: int) -> list[Row]:
    return chained([event(seq) for seq in range(1, count + 1)])


def heads_of(rows: list[Row], every: int) -> list[Head]:
    return [Head(row["seq"], row["hash"], "") for row in rows if row["seq"] % every == 0]


def told(rows: list[Row], heads: list[Head] | None = None) -> list[str]:
    return [str(finding) for finding in judged(rows, heads or []).findings]


def renumbered(rows: list[Row]) -> list[Row]:
    return [{**row, "seq": place} for place, row in enumerate(rows, start=1)]


@given(count=st.integers(0, 40), every=st.integers(1, 10))
def test_what_nobody_touched_is_whole(count: int, every: int) -> None:
    rows = written(count)
    verdict = judged(rows, heads_of(rows, every))
    assert verdict.findings == ()
    assert (verdict.seq, verdict.hash) == (count, rows[-1]["hash"] if rows else GENESIS)


@given(count=st.integers(0, 20), older=st.integers(0, 20), every=st.integers(1, 10))
def test_a_chain_that_was_begun_in_the_older_way_is_whole(count: int, older: int, every: int) -> None:
    """As migration 0004 and the first version of the chain wrote it."""
    rows, before = list[Row](), GENESIS
    for seq in range(1, older + 1):
        before = hashlib.sha256(before.encode() + b"\n" + canonical(event(seq))).hexdigest()
        rows.append({**event(seq), "hash": before})
    rows += chained([event(seq) for seq in range(older + 1, older + count + 1)], before)
    assert judged(rows, heads_of(rows, every)).findings == ()
    for place in range(max(0, older - 2), min(len(rows), older + 2)):
        changed = [{**row, "actor": "another"} if row["seq"] == place + 1 else row for row in rows]
        assert told(changed) == [f"event_changed\t{place + 1}"]


@given(data=st.data(), count=st.integers(2, 30))
def test_one_changed_field_of_one_event_is_named(data: st.DataObject, count: int) -> None:
    rows, place = written(count), data.draw(st.integers(0, count - 1))
    name = data.draw(st.sampled_from([name for name in FIELDS if name != "seq"]))
    other = {"time": START - timedelta(microseconds=1), "facts": {"version": 0}, "monotonic_ns": 1}
    value = other.get(name, "another")
    rows[place] = {**rows[place], name: value}
    assert told(rows) == [f"event_changed\t{place + 1}"]


@given(data=st.data(), count=st.integers(2, 30))
def test_one_flipped_bit_of_a_hash_is_named(data: st.DataObject, count: int) -> None:
    rows, place = written(count), data.draw(st.integers(0, count - 2))
    digit = data.draw(st.integers(0, 63))
    old = rows[place]["hash"]
    rows[place] = {**rows[place], "hash": f"{old[:digit]}{int(old[digit], 16) ^ 1:x}{old[digit + 1 :]}"}
    assert told(rows) == [f"hash_changed\t{place + 1}"]


@given(data=st.data(), count=st.integers(3, 30))
def test_events_taken_out_are_named_even_where_the_others_got_their_numbers(data: st.DataObject, count: int) -> None:
    rows, place = written(count), data.draw(st.integers(0, count - 3))
    gone = data.draw(st.integers(1, count - place - 2))
    left = rows[:place] + rows[place + gone :]
    name = f"events_deleted\t{place + 1}" + (f"-{place + gone}" if gone > 1 else "")
    assert told(left) == [name]
    assert told(renumbered(left), heads_of(rows, 1)[-1:]) == [name]


@given(data=st.data(), count=st.integers(3, 30), with_hashes=st.booleans())
def test_two_that_took_each_others_place_are_named(data: st.DataObject, count: int, with_hashes: bool) -> None:
    rows, place = written(count), data.draw(st.integers(0, count - 2))
    first, second = rows[place], rows[place + 1]
    rows[place : place + 2] = [{**second, "seq": place + 1}, {**first, "seq": place + 2}]
    if not with_hashes:
        rows[place]["hash"], rows[place + 1]["hash"] = first["hash"], second["hash"]
    assert told(rows) == [f"events_swapped\t{place + 1}-{place + 2}"]


@given(data=st.data(), count=st.integers(2, 30))
def test_one_put_in_is_named(data: st.DataObject, count: int) -> None:
    rows, place = written(count), data.draw(st.integers(0, count - 1))
    foreign = {**event(place + 1, "-forged"), "hash": link(GENESIS, event(99))}
    assert told(renumbered([*rows[:place], foreign, *rows[place:]]), heads_of(rows, 1)[-1:]) == [
        f"event_inserted\t{place + 1}"
    ]


@given(data=st.data(), count=st.integers(3, 30))
def test_a_suffix_that_was_chained_anew_differs_from_what_was_signed(data: st.DataObject, count: int) -> None:
    rows, place = written(count), data.draw(st.integers(1, count - 1))
    before = rows[place - 1]["hash"]
    anew = rows[:place] + chained([event(seq, "-forged") for seq in range(place + 1, count + 1)], before)
    assert told(anew) == []  # by the chain alone it is whole
    heads = [Head(place, before, ""), Head(count, rows[-1]["hash"], "")]
    first, last = place + 1, count
    assert told(anew, heads) == [f"chain_rewritten\t{first}" + (f"-{last}" if last > first else "")]


@given(data=st.data(), count=st.integers(2, 30))
def test_a_tail_that_was_cut_off_is_missed_by_what_was_signed(data: st.DataObject, count: int) -> None:
    rows, left = written(count), data.draw(st.integers(0, count - 1))
    heads = heads_of(rows, 1)
    assert told(rows[:left], heads) == [f"tail_cut\t{left + 1}" + (f"-{count}" if count > left + 1 else "")]


def test_events_have_one_form_whatever_zone_their_time_came_in() -> None:
    here, there = event(1), event(1) | {"time": datetime.fromisoformat("2026-03-29T03:30:01+02:00")}
    assert canonical(here) == canonical(there)
    assert json.loads(canonical(there))["time"] == "2026-03-29T01:30:01.000000+00:00"


def test_heads_are_signed_once_by_a_key_that_stays_private(tmp_path: Path) -> None:
    signer = Signer(tmp_path / "heads")
    assert (tmp_path / "heads" / KEY).stat().st_mode & 0o077 == 0
    first = signer.sign(3, "ab" * 32, START)
    assert first is not None
    assert Signer(tmp_path / "heads").sign(3, "ab" * 32, START) is None
    with (tmp_path / "heads" / "heads.jsonl").open("a") as file:
        file.write('{"seq": 4, "ha')  # as a crash leaves it
    assert read_heads(tmp_path / "heads" / "heads.jsonl") == [first]
    second = signer.sign(5, "cd" * 32, START)
    key, heads = read_key(tmp_path / "heads" / PUBLIC), read_heads(tmp_path / "heads" / "heads.jsonl")
    assert heads == [first, second]
    assert forged(heads, key) == []
    assert forged([replace(first, seq=2), second, replace(first, signature="no")], key) == [1, 3]  # type: ignore[list-item]
    assert forged(heads, read_key(_other_key(tmp_path))) == [1, 2]


def _other_key(folder: Path) -> Path:
    Signer(folder / "other")
    return folder / "other" / PUBLIC


@pytest.mark.parametrize("read", [read_heads, read_key])
def test_a_file_that_is_something_else_is_refused_by_name(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "it").write_text("something else\n")
    for place in (tmp_path / "it", tmp_path / "absent"):
        with pytest.raises(ConfigError, match=place.name):
            read(place)


def test_findings_are_told_by_number() -> None:
    assert str(Finding("event_changed", 4, 4)) == "event_changed\t4"

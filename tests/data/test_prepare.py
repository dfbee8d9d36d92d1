"""From case to batch: what cannot be used is absent with a reason, and order, grouping and padding do not matter."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread

from clinimm.batch import Batch
from clinimm.config import Config
from clinimm.data.cohort import read_cohort
from clinimm.data.doors import fit_preparer, recorded_preparer
from clinimm.data.picture import onto_grid, place
from clinimm.data.prepare import Preparer, prepare_all
from clinimm.data.quality import QUALITIES
from clinimm.io.sandbox import Sandbox
from clinimm.types import Case, ImageFile, Measurement, Measurements, Note, Status


@pytest.fixture(scope="module")
def cases(tiny_cohort: Path, tiny_config: Config) -> list[Case]:
    return read_cohort(tiny_config, tiny_cohort)


@pytest.fixture(scope="module")
def preparer(cases: list[Case], tiny_config: Config) -> Preparer:
    return fit_preparer(tiny_config, cases, Sandbox())


def whole(cases: list[Case]) -> Case:
    """A case that has all three inputs."""
    return next(case for case in cases if len(case.inputs) == 3)


def test_a_preparer_comes_back_from_its_record(cases: list[Case], preparer: Preparer, tiny_config: Config) -> None:
    again = recorded_preparer(tiny_config, preparer.record(), Sandbox())
    first, second = preparer.prepare(whole(cases)), again.prepare(whole(cases))
    assert all(
        torch.equal(part.values, second.modalities[name].values)
        and torch.equal(part.quality, second.modalities[name].quality)
        for name, part in first.modalities.items()
    )


def test_a_batch_is_its_cases_in_order_on_any_number_of_threads(cases: list[Case], preparer: Preparer) -> None:
    one, three = (prepare_all(preparer, cases[:8], workers=n) for n in (1, 3))
    alone = Batch.cat([preparer.prepare(case) for case in cases[:8]])
    assert one.case_ids == three.case_ids == alone.case_ids == tuple(case.case_id for case in cases[:8])
    for name, part in one.modalities.items():
        assert torch.equal(part.values, three.modalities[name].values)
        assert torch.equal(part.values, alone.modalities[name].values)


def test_an_absent_input_is_named_and_blank(cases: list[Case], preparer: Preparer) -> None:
    case = replace(whole(cases), inputs={})
    batch = preparer.prepare(case)
    assert not batch.present.any()
    assert {part.states[0].reason for part in batch.modalities.values()} == {"not_provided"}


def test_a_damaged_film_takes_nothing_else_with_it(cases: list[Case], preparer: Preparer, tmp_path: Path) -> None:
    case = whole(cases)
    film = case.inputs["cxr"]
    assert isinstance(film, ImageFile)
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(film.paths[0].read_bytes()[:3000])
    batch = preparer.prepare(replace(case, inputs=dict(case.inputs) | {"cxr": ImageFile((broken,))}))
    assert batch.present.tolist() == [[False, True, True]]
    assert batch.modalities["cxr"].states[0].status is Status.UNREADABLE
    assert batch.modalities["cxr"].states[0].reason


def test_an_input_from_after_the_question_is_refused(cases: list[Case], preparer: Preparer) -> None:
    case = whole(cases)
    assert case.index_time is not None
    note = case.inputs["note"]
    assert isinstance(note, Note)
    late = replace(note, acquired_at=case.index_time + timedelta(minutes=1))
    state = preparer.prepare(replace(case, inputs=dict(case.inputs) | {"note": late})).modalities["note"].states[0]
    assert (state.status, state.reason) == (Status.REJECTED, "after_index_time")


def retold(film: ImageFile, path: Path, at: datetime) -> ImageFile:
    """The film with another time in its header, and none stated beside it."""
    made = dcmread(film.paths[0])
    made.AcquisitionDate = made.ContentDate = made.SeriesDate = made.StudyDate = at.strftime("%Y%m%d")
    made.AcquisitionTime = made.ContentTime = made.SeriesTime = made.StudyTime = at.strftime("%H%M%S")
    made.save_as(path)
    return ImageFile((path,))


@pytest.mark.parametrize(("minutes", "reason", "flags"), [(1, "after_index_time", ()), (-90, "", ())])
def test_a_film_that_only_its_header_dates_is_held_to_the_same_clock(
    cases: list[Case], preparer: Preparer, tmp_path: Path, minutes: int, reason: str, flags: tuple[str, ...]
) -> None:
    case, film = whole(cases), whole(cases).inputs["cxr"]
    assert case.index_time is not None
    assert isinstance(film, ImageFile)
    dated = retold(film, tmp_path / "film.dcm", case.index_time + timedelta(minutes=minutes))
    part = preparer.prepare(replace(case, inputs={"cxr": dated})).modalities["cxr"]
    (state,) = part.states
    assert (state.reason, state.flags) == (reason, flags)
    if reason:
        assert state.status is Status.REJECTED
        assert not part.values.any()
        assert not part.quality.any()
    else:
        assert state.quality["age_days"] == pytest.approx(90 / 24 / 60, abs=1e-3)


@pytest.mark.parametrize(
    ("hours", "status", "flags"),
    [
        (-1, Status.PRESENT, ("time_zone_unknown",)),
        (-40, Status.PRESENT, ()),
        (40, Status.REJECTED, ()),
        (-500, Status.STALE, ()),
    ],
)
def test_a_header_without_zone_is_held_to_a_question_with_one(
    cases: list[Case], preparer: Preparer, tmp_path: Path, hours: int, status: Status, flags: tuple[str, ...]
) -> None:
    case, film = whole(cases), whole(cases).inputs["cxr"]
    assert case.index_time is not None
    assert isinstance(film, ImageFile)
    dated = retold(film, tmp_path / "film.dcm", case.index_time + timedelta(hours=hours))
    asked = replace(case, index_time=case.index_time.replace(tzinfo=UTC), inputs={"cxr": dated})
    (state,) = replace(preparer, max_age_hours={"cxr": 168.0}).prepare(asked).modalities["cxr"].states
    assert (state.status, state.flags) == (status, flags)


def test_a_header_that_contradicts_the_stated_time_is_named(
    cases: list[Case], preparer: Preparer, tmp_path: Path
) -> None:
    case, film = whole(cases), whole(cases).inputs["cxr"]
    assert case.index_time is not None
    assert isinstance(film, ImageFile)
    dated = retold(film, tmp_path / "film.dcm", case.index_time + timedelta(days=2))
    stated = replace(dated, acquired_at=case.index_time - timedelta(hours=1))
    (state,) = preparer.prepare(replace(case, inputs={"cxr": stated})).modalities["cxr"].states
    assert (state.status, state.flags) == (Status.PRESENT, ("acquired_later_than_stated",))


def test_a_stale_input_is_not_used_and_says_how_old_it_is(cases: list[Case], preparer: Preparer) -> None:
    case = whole(cases)
    assert case.index_time is not None
    strict = replace(preparer, max_age_hours={"labs": 48.0})
    old = replace(case.inputs["labs"], acquired_at=case.index_time - timedelta(days=3))
    batch = strict.prepare(replace(case, inputs=dict(case.inputs) | {"labs": old}))
    part = batch.modalities["labs"]
    (state,) = part.states
    assert batch.present.tolist() == [[True, True, False]]
    assert (state.status, state.reason, state.quality) == (Status.STALE, "stale", {"age_days": 3.0})
    assert state.detail == "3 days old, at most 48 hours are allowed"
    assert not part.values.any()
    assert not part.quality.any()


def test_the_limits_of_age_are_the_configs(tiny_config: Config, cases: list[Case]) -> None:
    inputs = dict(tiny_config.inputs)
    inputs["note"] = inputs["note"].model_copy(update={"max_age_hours": 6.0})
    config = tiny_config.model_copy(update={"inputs": inputs})
    fitted = fit_preparer(config, cases, Sandbox())
    assert fitted.max_age_hours == {"cxr": None, "note": 6.0, "labs": None}
    assert recorded_preparer(config, fitted.record(), Sandbox()).max_age_hours == fitted.max_age_hours


def test_nothing_is_learned_from_what_may_not_be_used(tiny_config: Config, cases: list[Case]) -> None:
    def moved(case: Case) -> Case:
        shift = {name: replace(one, acquired_at=case.index_time + timedelta(1)) for name, one in case.inputs.items()}
        return replace(case, inputs={name: shift[name] for name in case.inputs})

    late = [moved(case) for case in cases if case.index_time is not None][: len(cases) // 2]
    kept = cases[len(cases) // 2 :]
    with_late, without = (fit_preparer(tiny_config, chosen, Sandbox()) for chosen in ([*late, *kept], kept))
    assert with_late.record() == without.record()


def test_what_was_measured_is_told_of_what_is_used(cases: list[Case], preparer: Preparer) -> None:
    batch = preparer.prepare(whole(cases))
    for modality in preparer.modalities:
        part = batch.modalities[modality.name]
        names = QUALITIES[modality.kind]
        assert tuple(part.states[0].quality) == names
        assert part.quality[0].tolist() == pytest.approx(list(part.states[0].quality.values()), abs=1e-6)
        assert part.quality[0, -1] == 0


@pytest.mark.parametrize(("shade", "shape"), [(0, (40, 40)), (128, (40, 30)), (255, (1, 1))])
def test_a_picture_of_one_color_is_measured_and_rejected(
    preparer: Preparer, tmp_path: Path, shade: int, shape: tuple[int, int]
) -> None:
    path = tmp_path / "blank.png"
    Image.new("L", shape, shade).save(path)
    batch = preparer.prepare(Case("c", "p", {"cxr": ImageFile((path,))}))
    (state,) = batch.modalities["cxr"].states
    assert (state.status, state.reason) == (Status.REJECTED, "blank")
    assert state.quality["contrast"] == 0
    assert state.quality["brightness"] == pytest.approx(shade / 255, abs=1e-3)
    assert not batch.modalities["cxr"].values.any()
    assert not batch.modalities["cxr"].quality.any()


def test_a_note_in_other_words_than_the_training_notes_is_flagged(preparer: Preparer) -> None:
    foreign = "Der Patient wurde mit Fieber und Husten seit vier Tagen aufgenommen, die Lunge ist beidseits belüftet."
    (state,) = preparer.prepare(Case("c", "p", {"note": Note(foreign)})).modalities["note"].states
    assert state.flags == ("note_language",)
    assert state.quality["unknown"] > 0.5 > state.quality["language"]


def test_times_with_and_without_offset_are_not_compared_by_guess(cases: list[Case], preparer: Preparer) -> None:
    case = whole(cases)
    labs = replace(case.inputs["labs"], acquired_at=datetime.fromisoformat("2020-01-01T00:00:00+00:00"))
    state = preparer.prepare(replace(case, inputs=dict(case.inputs) | {"labs": labs})).modalities["labs"].states[0]
    assert (state.status, state.reason) == (Status.REJECTED, "time_zone")


def test_implausible_values_are_left_out_and_flagged(cases: list[Case], preparer: Preparer) -> None:
    values = (Measurement("potassium", 45.0, "mmol/L"), Measurement("crp", 3.0, "mg/L"))
    batch = preparer.prepare(replace(whole(cases), inputs={"labs": Measurements(values)}))
    part = batch.modalities["labs"]
    assert part.states[0].flags == ("implausible_lab:potassium",)
    assert part.mask is not None
    assert int(part.mask.sum()) == 1
    alone = replace(whole(cases), inputs={"labs": Measurements(values[:1])})
    assert preparer.prepare(alone).modalities["labs"].states[0].reason == "implausible_lab"


def test_the_training_median_is_zero_and_units_do_not_matter(cases: list[Case], preparer: Preparer) -> None:
    door = preparer.doors["labs"]
    center = float(door.center[0])  # type: ignore[union-attr]
    milligrams = Measurements((Measurement("crp", center, "mg/L"),))
    deciliters = Measurements((Measurement("crp", center / 10, "mg/dL"),))
    for panel in (milligrams, deciliters):
        seen = preparer.prepare(Case("c", "p", {"labs": panel})).modalities["labs"]
        assert abs(float(seen.values[0, 0])) < 1e-6


def test_a_long_note_is_cut_and_says_how_much(preparer: Preparer) -> None:
    text = "productive cough with fever since monday " * 40
    part = preparer.prepare(Case("c", "p", {"note": Note(text)})).modalities["note"]
    (flag,) = part.states[0].flags
    assert flag.startswith("note_truncated:")
    assert part.mask is not None
    assert part.mask.all()
    assert len(preparer.words("note", text)) == part.values.shape[1]


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_words_point_into_any_text(preparer: Preparer, text: str) -> None:
    spans = preparer.words("note", text)
    assert len(spans) == 48
    assert all(0 <= start <= end <= len(text) for start, end in spans)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.integers(2, 90), st.integers(2, 90), st.integers(4, 40), st.integers(4, 40))
def test_a_picture_keeps_its_proportion_and_stands_in_the_middle(h: int, w: int, rows: int, columns: int) -> None:
    placed = place((h, w), (rows, columns))
    grid = onto_grid(torch.ones(h, w), placed)
    assert grid.shape == (1, rows, columns)
    filled = grid[0] > 0.5
    top, left = (int(filled.any(axis).int().argmax()) for axis in (1, 0))
    assert (top, left) == placed.offset
    assert filled.any(1).sum() == rows or filled.any(0).sum() == columns


def test_a_marked_corner_lands_where_the_placement_says() -> None:
    film = torch.zeros(100, 60)
    film[20:24, 40:44] = 1
    placed = place(film.shape, (50, 50), crop=(0.5, 0.1, 1.0, 0.9))
    grid = onto_grid(film, placed)[0]
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    for found, center, axis in ((row, 22, 0), (column, 42, 1)):
        wanted = (center - placed.start[axis]) * placed.scale[axis] + placed.offset[axis]
        assert abs(found + 0.5 - wanted) <= 1


def test_a_volume_fills_its_slices() -> None:
    volume = torch.rand(40, 30, 7)
    grid = onto_grid(volume, place(volume.shape, (16, 16, 12)))
    assert grid.shape == (1, 16, 16, 12)
    assert (grid.amax(dim=(0, 1, 2)) > 0).all()

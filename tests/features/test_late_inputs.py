"""Labs that come an hour after the film cost no second look at it, and change no bit of the answer."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from clinimm.config import Config
from clinimm.data.cohort import read_cohort
from clinimm.data.picture_door import PictureDoor
from clinimm.data.seen import Seen
from clinimm.data.synthetic import write_cohort
from clinimm.features.found import from_bytes, to_bytes
from clinimm.features.shelf import Shelf, content_of
from clinimm.features.store import Features
from clinimm.inference import Answer, Predictor
from clinimm.io.sandbox import Sandbox
from clinimm.io.sandbox_process import Confinement
from clinimm.io.scan_types import Limits
from clinimm.types import Case, ImageFile, Input, Kind, Measurements, Modality, Note

NAMES = ("cxr", "note", "labs")
SUBSETS = [chosen for n in range(4) for chosen in combinations(NAMES, n)]


@pytest.fixture(scope="module")
def plain(tiny_artifact: Path) -> Predictor:
    """The predictor that keeps nothing."""
    return Predictor.load(tiny_artifact, sandbox=Sandbox(processes=1))


@pytest.fixture(scope="module")
def cases(tiny_cohort: Path, tiny_config: Config) -> list[Case]:
    """Cases with all three inputs, their films known by their bytes."""
    whole = [case for case in read_cohort(tiny_config, tiny_cohort) if len(case.inputs) == 3]
    return [replace(case, inputs={name: known(one) for name, one in case.inputs.items()}) for case in whole[:3]]


def known(given: Input) -> Input:
    if not isinstance(given, ImageFile):
        return given
    return replace(given, digests=tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in given.paths))


def keeping(predictor: Predictor, folder: Path) -> Predictor:
    """The same predictor, with a shelf in `folder`."""
    shelf = Shelf.of(Features(folder), predictor.digest, predictor.device)
    return replace(predictor, preparer=replace(predictor.preparer, shelf=shelf))


def only(case: Case, names: Sequence[str]) -> Case:
    return replace(case, inputs={name: given for name, given in case.inputs.items() if name in names})


def reads(predictor: Predictor) -> int:
    """How many pictures the predictor's sandbox was asked to decode."""
    door = predictor.preparer.doors["cxr"]
    assert isinstance(door, PictureDoor)
    return sum(child.reads for child in door.sandbox._children)


@pytest.fixture
def encodings(plain: Predictor) -> Iterator[Counter[str]]:
    """How often an encoder of each input ran, of any member of the committee."""
    counted: Counter[str] = Counter()
    hooks = []
    for member, _ in plain.network.members():
        for name, encoder in member.named_encoders():
            hooks.append(encoder.register_forward_hook(lambda *_, name=name: counted.update([name])))
    yield counted
    for hook in hooks:
        hook.remove()


def assert_same(one: Answer, other: Answer) -> None:
    """To the last bit."""
    assert one.prediction == other.prediction
    assert (one.point is None) == (other.point is None)
    if one.point is not None and other.point is not None:
        assert one.point.tobytes() == other.point.tobytes()


def test_a_film_is_decoded_and_encoded_once_however_many_inputs_come_later(
    plain: Predictor, cases: list[Case], encodings: Counter[str], tmp_path: Path
) -> None:
    case, members = cases[0], len(plain.network.members())
    predictor = keeping(plain, tmp_path)
    before = reads(plain)
    predictor.answer(only(case, ["cxr"]))
    assert (reads(plain) - before, encodings["cxr"]) == (1, members)
    encodings.clear()
    predictor.answer(only(case, ["cxr", "note"]))
    assert (encodings["cxr"], encodings["note"]) == (0, members)
    encodings.clear()
    predictor.answer(case)
    keeping(plain, tmp_path).answer(case)
    assert (encodings["cxr"], encodings["note"], encodings["labs"]) == (0, 0, 2 * members)
    assert reads(plain) - before == 1


def test_encoders_of_absent_inputs_run_once_for_all_cases(
    plain: Predictor, cases: list[Case], encodings: Counter[str]
) -> None:
    predictor, members = replace(plain), len(plain.network.members())
    for case in cases:
        predictor.answer(only(case, ["labs"]))
    assert encodings == {"cxr": members, "note": members, "labs": len(cases) * members}


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(SUBSETS)), min_size=1, max_size=6))
def test_no_bit_of_an_answer_depends_on_what_is_kept(
    plain: Predictor,
    cases: list[Case],
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[int, tuple[str, ...]]],
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    for number, names in asked:  # each on what the ones before have left
        case = only(cases[number], names)
        expected = replace(plain).answer(case)
        assert_same(keeping(plain, folder).answer(case), expected)
        assert_same(keeping(plain, folder).answer(case), expected)


def test_damage_to_anything_kept_changes_no_answer_and_is_mended(
    plain: Predictor, cases: list[Case], tmp_path: Path
) -> None:
    predictor, expected = keeping(plain, tmp_path), plain.answer(cases[0])
    predictor.answer(cases[0])
    sound = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(sound) == 4  # film and note, each as it was seen and as it was encoded
    for number, (path, data) in enumerate(sound.items()):
        path.write_bytes(data[: len(data) // 2] if number % 2 else data[:-1] + bytes([data[-1] ^ 1]))
    assert_same(predictor.answer(cases[0]), expected)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == sound


@pytest.mark.slow
def test_an_explanation_reads_no_film_twice_and_is_the_same(
    plain: Predictor, cases: list[Case], tmp_path: Path
) -> None:
    predictor, target = keeping(plain, tmp_path), plain.config.target_names[0]
    predictor.answer(cases[0])
    before = reads(plain)
    (kept,) = predictor.explain(cases[0], target)
    assert reads(plain) == before
    (fresh,) = plain.explain(cases[0], target)
    assert kept.shapley == fresh.shapley
    assert all(np.array_equal(kept.maps[name], fresh.maps[name]) for name in NAMES)


def test_age_is_judged_anew_whenever_it_is_asked(plain: Predictor, cases: list[Case], tmp_path: Path) -> None:
    aging = replace(plain, preparer=replace(plain.preparer, max_age_hours={"cxr": 24.0, "note": 24.0}))
    predictor, taken = keeping(aging, tmp_path), datetime(2030, 1, 1, tzinfo=UTC)
    inputs = {name: replace(cases[0].inputs[name], acquired_at=taken) for name in ("cxr", "note")}
    found = []
    for hours in (1, 2, 30, -1, 3):
        case = replace(cases[0], inputs=inputs, index_time=taken + timedelta(hours=hours))
        answer = predictor.answer(case)
        assert_same(answer, aging.answer(case))
        found.append(answer.prediction.inputs["cxr"])
    assert [one.status.value for one in found] == ["present", "present", "stale", "rejected", "present"]
    assert found[0].quality["age_days"] < found[1].quality["age_days"] < found[4].quality["age_days"]


def test_a_film_of_one_color_is_looked_at_once_and_refused_every_time(plain: Predictor, tmp_path: Path) -> None:
    film = tmp_path / "black.png"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(film)
    case, predictor = Case("c", "p", {"cxr": known(ImageFile((film,)))}), keeping(plain, tmp_path / "kept")
    expected, before = plain.answer(case), reads(plain)
    assert expected.prediction.inputs["cxr"].reason == "blank"
    for _ in range(2):
        assert_same(predictor.answer(case), expected)
    assert reads(plain) - before == 1


def test_a_film_that_could_not_be_read_is_tried_again(plain: Predictor, cases: list[Case], tmp_path: Path) -> None:
    case, film = only(cases[0], ["cxr"]), cases[0].inputs["cxr"]
    assert isinstance(film, ImageFile)
    moved = replace(case, inputs={"cxr": replace(film, paths=(tmp_path / "late.dcm",))})
    predictor = keeping(plain, tmp_path / "kept")
    assert predictor.answer(moved).prediction.inputs["cxr"].reason == "unreadable_file"
    (tmp_path / "late.dcm").write_bytes(film.paths[0].read_bytes())
    assert_same(predictor.answer(moved), plain.answer(case))


def test_a_film_that_was_too_much_for_one_worker_is_not_refused_for_all(
    plain: Predictor, cases: list[Case], tmp_path: Path
) -> None:
    case, door = only(cases[0], ["cxr"]), plain.preparer.doors["cxr"]
    assert isinstance(door, PictureDoor)
    with Sandbox(Confinement(limits=Limits(voxels=10))) as narrow:
        doors = dict(plain.preparer.doors) | {"cxr": replace(door, sandbox=narrow)}
        poor = keeping(replace(plain, preparer=replace(plain.preparer, doors=doors)), tmp_path)
        assert not poor.answer(case).prediction.inputs["cxr"].usable
    assert_same(keeping(plain, tmp_path).answer(case), plain.answer(case))


def test_what_nobody_vouches_for_is_not_kept(plain: Predictor, cases: list[Case], tmp_path: Path) -> None:
    film = cases[0].inputs["cxr"]
    assert isinstance(film, ImageFile)
    keeping(plain, tmp_path).answer(replace(cases[0], inputs={"cxr": replace(film, digests=())}))
    keeping(plain, tmp_path).answer(only(cases[0], ["labs"]))
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_loaded_with_features_finds_what_it_left(
    tiny_artifact: Path, plain: Predictor, cases: list[Case], tmp_path: Path
) -> None:
    keeping(plain, tmp_path).answer(cases[0])
    with Sandbox(processes=1) as sandbox:
        loaded = Predictor.load(tiny_artifact, sandbox=sandbox, features=Features(tmp_path))
        assert_same(loaded.answer(cases[0]), plain.answer(cases[0]))
        assert sandbox.pids == ()


def test_another_artifact_finds_nothing(plain: Predictor, cases: list[Case], tmp_path: Path) -> None:
    keeping(plain, tmp_path).answer(cases[0])
    before = reads(plain)
    keeping(replace(plain, digest="another"), tmp_path).answer(cases[0])
    assert reads(plain) - before == 1
    assert len(list(tmp_path.iterdir())) == 8


def test_an_input_is_what_it_holds_and_not_when_it_came(tmp_path: Path) -> None:
    film, note = ImageFile((tmp_path / "a", tmp_path / "b"), digests=("1", "2")), Note("cough", flags=("mended",))
    later = datetime(2030, 1, 1, tzinfo=UTC)
    assert content_of(film) == content_of(replace(film, acquired_at=later, paths=(tmp_path / "c", tmp_path / "d")))
    assert content_of(note) == content_of(replace(note, acquired_at=later))
    others = [
        film, replace(film, digests=("2", "1")), replace(film, digests=("12", "")), replace(film, crop=(0, 0, 1, 0.5)),
        note, Note("cough"), Note("coughmended"), Note("fever", flags=("mended",)),
    ]  # fmt: skip
    assert len({content_of(one) for one in others}) == len(others)
    assert content_of(replace(film, digests=())) is content_of(Measurements(())) is None
    with pytest.raises(ValueError, match="1 digests of 2 paths"):
        replace(film, digests=("1",))


@pytest.mark.parametrize(("image", "shape"), [("cr", (1, 32, 32)), ("ct", (1, 24, 24, 16))])
def test_pictures_lie_in_memory_as_they_will_when_read_again(
    image: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    write_cohort(tmp_path, n=1, image=image, rate=0.0)
    (first, *_) = sorted(tmp_path.rglob("*.dcm"))
    with Sandbox(processes=1) as sandbox:
        door = PictureDoor(Modality("scan", Kind.IMAGE, shape), sandbox)
        seen = door.see(ImageFile((first if image == "cr" else first.parent,)))
    found = from_bytes(to_bytes(seen.found(), "name"), "name")
    assert found is not None
    again = Seen.of(found)
    assert again.values.stride() == seen.values.stride()
    assert torch.equal(again.values, seen.values)
    assert torch.equal(again.quality, seen.quality)
    assert (again.flags, again.acquired_at, again.mask) == (seen.flags, seen.acquired_at, None)

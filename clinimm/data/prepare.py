"""From a case on disk to a batch of one: the same Preparer serves training, the command line and the service.

What cannot be used becomes absent with a named reason; nothing is guessed and nothing stops the other inputs."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import torch

from clinimm.batch import Batch, ModalityBatch
from clinimm.data.note_door import NoteDoor
from clinimm.data.panel_door import PanelDoor
from clinimm.data.picture_door import PictureDoor
from clinimm.data.quality import age_of
from clinimm.data.seen import Seen
from clinimm.errors import DamagedInput, InputError
from clinimm.types import Case, ImageFile, Input, InputState, Measurements, Modality, Note, Status

AnyDoor = PictureDoor | NoteDoor | PanelDoor


@dataclass(frozen=True)
class Preparer:
    """One door per modality, in the config's order, and the names of the targets."""

    doors: Mapping[str, AnyDoor]
    targets: tuple[str, ...]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return tuple(door.modality for door in self.doors.values())

    def prepare(self, case: Case) -> Batch:
        """The case as a batch of one. Reads its files; an input that cannot be used is absent, its state says why."""
        parts = {name: self._part(door, name, case) for name, door in self.doors.items()}
        known = [case.targets.get(target) for target in self.targets]
        return Batch(
            case_ids=(case.case_id,),
            modalities=parts,
            targets=torch.tensor([[float(label or False) for label in known]]),
            target_mask=torch.tensor([[label is not None for label in known]]),
        )

    def words(self, name: str, text: str) -> list[tuple[int, int]]:
        """(start, end) in `text` of the characters behind each position of the note `name`; (0, 0) where none are."""
        door = self.doors[name]
        if not isinstance(door, NoteDoor):
            raise TypeError(f"{name} is not a note")
        return door.words(text)

    def record(self) -> dict[str, Any]:
        """All that was fitted, as JSON types, by modality."""
        return {name: door.record() for name, door in self.doors.items()}

    def _part(self, door: AnyDoor, name: str, case: Case) -> ModalityBatch:
        given = case.inputs.get(name)
        if given is None:
            absent = case.absent.get(name, InputState(Status.ABSENT, "not_provided"))
            return _batch_of_one(door.blank(), absent)
        try:
            seen = _look(door, given, case)
        except DamagedInput as error:
            return _batch_of_one(door.blank(), InputState(Status.UNREADABLE, error.code, error.what))
        except InputError as error:
            return _batch_of_one(door.blank(), InputState(Status.REJECTED, error.code, error.what))
        return _batch_of_one(seen, InputState(Status.PRESENT, flags=seen.flags))


def _look(door: AnyDoor, given: Input, case: Case) -> Seen:
    _check_time(given.acquired_at, case.index_time)
    age = age_of(given.acquired_at, case.index_time)
    match door, given:
        case PictureDoor(), ImageFile():
            return door.see(given, age)
        case NoteDoor(), Note():
            return door.see(given, age)
        case PanelDoor(), Measurements():
            return door.see(given, age)
    raise InputError("wrong_kind", f"{type(given).__name__} where the model takes {door.modality.kind}")


def _check_time(acquired_at: datetime | None, index_time: datetime | None) -> None:
    if acquired_at is None or index_time is None:
        return
    if (acquired_at.tzinfo is None) != (index_time.tzinfo is None):
        raise InputError("time_zone", "one of acquisition and index time has an offset, the other none")
    if acquired_at > index_time:
        raise InputError("after_index_time", "acquired after the time the question is about")


def _batch_of_one(seen: Seen, state: InputState) -> ModalityBatch:
    return ModalityBatch(
        values=seen.values[None],
        present=torch.tensor([state.usable]),
        mask=None if seen.mask is None else seen.mask[None],
        quality=seen.quality[None],
        states=(state,),
    )


def prepare_all(
    preparer: Preparer, cases: Sequence[Case], *, workers: int = 1, on_done: Callable[[int], None] | None = None
) -> Batch:
    """All the cases in one batch, in their order, on so many threads; `on_done` hears how many are done."""
    items: list[Batch] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for item in pool.map(preparer.prepare, cases):
            items.append(item)
            if on_done is not None:
                on_done(len(items))
    return Batch.cat(items)

"""From a case on disk to a batch of one: the same Preparer serves training, the command line and the service.

What cannot be used becomes absent with a named reason; nothing is guessed and nothing stops the other inputs."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from clinimm.batch import Batch, ModalityBatch
from clinimm.data.clock import LATE, Age, Clock
from clinimm.data.note_door import NoteDoor
from clinimm.data.panel_door import PanelDoor
from clinimm.data.picture_door import PictureDoor
from clinimm.data.quality import QUALITIES
from clinimm.data.quality.age import AGE, age_quality
from clinimm.data.quality.moved import Looks
from clinimm.data.seen import Seen
from clinimm.errors import DamagedInput, InputError
from clinimm.features.shelf import Shelf
from clinimm.types import Case, ImageFile, Input, InputState, Measurements, Modality, Note, Status

AnyDoor = PictureDoor | NoteDoor | PanelDoor


@dataclass(frozen=True)
class Preparer:
    """One door per modality, in the config's order, the names of the targets, and the hours that an input may be old:
    None, or no entry, for any age. With a `shelf`, an input that lies there is not looked at again."""

    doors: Mapping[str, AnyDoor]
    targets: tuple[str, ...]
    max_age_hours: Mapping[str, float | None] = field(default_factory=dict)
    shelf: Shelf | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        return tuple(door.modality for door in self.doors.values())

    @property
    def looks(self) -> dict[str, Looks]:
        """How good a picture on the model's grid looks, for each modality of pictures."""
        return {name: door.looks for name, door in self.doors.items() if isinstance(door, PictureDoor)}

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
            return _unseen(door, case.absent.get(name, InputState(Status.ABSENT, "not_provided")))
        clock = Clock(case.index_time, self.max_age_hours.get(name))
        stated = clock.stated(given.acquired_at)
        if stated.refused is not None:
            return _unseen(door, _aged(stated.refused, stated))
        try:
            seen = self._see(door, name, given)
        except InputError as error:
            return _unseen(door, _refusal(error))
        told = clock.told(seen.acquired_at)
        if given.acquired_at is None:
            return _judged(door, seen, told)
        contradicted = ("acquired_later_than_stated",) * (told.refused == LATE)
        return _judged(door, seen, replace(stated, flags=stated.flags + contradicted))

    def _see(self, door: AnyDoor, name: str, given: Input) -> Seen:
        """What the door sees, its age not yet judged. Raises InputError."""
        if self.shelf is None:
            return _look(door, given)
        return Seen.of(self.shelf.find_or_make("seen", name, given, lambda: _look(door, given).found()))


def _look(door: AnyDoor, given: Input) -> Seen:
    match door, given:
        case PictureDoor(), ImageFile():
            return door.see(given)
        case NoteDoor(), Note():
            return door.see(given)
        case PanelDoor(), Measurements():
            return door.see(given)
    raise InputError("wrong_kind", f"{type(given).__name__} where the model takes {door.modality.kind}")


def _judged(door: AnyDoor, seen: Seen, age: Age) -> ModalityBatch:
    """What was seen, if neither its age nor its quality forbids its use."""
    if age.refused is not None:
        return _unseen(door, _aged(age.refused, age))
    quality = torch.cat([seen.quality, age_quality(age.days)])
    measured = dict(zip(QUALITIES[door.modality.kind], (round(q, 6) for q in quality.tolist()), strict=True))
    flags = seen.flags + age.flags
    if seen.refused is not None:
        return _unseen(door, replace(_refusal(seen.refused), flags=flags, quality=measured))
    state = InputState(Status.PRESENT, flags=flags, quality=measured)
    return _batch_of_one(replace(seen, quality=quality), state)


def _refusal(error: InputError) -> InputState:
    status = Status.UNREADABLE if isinstance(error, DamagedInput) else Status.REJECTED
    return InputState(status, error.code, error.what)


def _aged(state: InputState, age: Age) -> InputState:
    """The state with the age that was found, where one was."""
    return state if age.days is None else replace(state, quality={AGE[0]: round(age.days, 6)})


def _unseen(door: AnyDoor, state: InputState) -> ModalityBatch:
    """Exactly zero where nothing is used, whatever was there."""
    blank = door.blank()
    return _batch_of_one(replace(blank, quality=torch.cat([blank.quality, torch.zeros(len(AGE))])), state)


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

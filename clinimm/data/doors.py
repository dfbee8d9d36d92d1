"""Preparers from a config: fitted on training cases, or from the record that an artifact keeps."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinimm.config import Config, ImageInput, TextInput
from clinimm.data.clock import Clock
from clinimm.data.note_door import NoteDoor
from clinimm.data.panel_door import PanelDoor
from clinimm.data.picture_door import PictureDoor
from clinimm.data.prepare import AnyDoor, Preparer
from clinimm.io.labs import check_units
from clinimm.io.sandbox import Sandbox
from clinimm.types import Case, Input, Measurements, Modality, Note


def fit_preparer(config: Config, cases: Sequence[Case], sandbox: Sandbox) -> Preparer:
    """A preparer fitted on the training cases alone. Raises ConfigError, or TrainingError if an input has no case."""
    doors = {m.name: _fit(config, m, cases, sandbox) for m in config.modalities()}
    return Preparer(doors, config.target_names, max_ages(config))


def recorded_preparer(config: Config, record: Mapping[str, Any], sandbox: Sandbox) -> Preparer:
    """The preparer whose `record()` this is."""
    doors = {m.name: _recorded(config, m, record[m.name], sandbox) for m in config.modalities()}
    return Preparer(doors, config.target_names, max_ages(config))


def max_ages(config: Config) -> dict[str, float | None]:
    """The hours that each input may be old."""
    return {name: section.max_age_hours for name, section in config.inputs.items()}


def _timely(case: Case, name: str, max_age_hours: float | None) -> Input | None:
    """The input, unless a stated time forbids its use: what may not be used is not learned from either."""
    given = case.inputs.get(name)
    clock = Clock(case.index_time, max_age_hours)
    return None if given is None or clock.stated(given.acquired_at).refused else given


def _fit(config: Config, modality: Modality, cases: Sequence[Case], sandbox: Sandbox) -> AnyDoor:
    section = config.inputs[modality.name]
    given = [_timely(case, modality.name, section.max_age_hours) for case in cases]
    if isinstance(section, ImageInput):
        return PictureDoor(modality, sandbox, section.window, section.mean, section.std)
    if isinstance(section, TextInput):
        notes = [note.text for note in given if isinstance(note, Note)]
        pretrained = section.encoder.pretrained
        if config.backbone is not None and section.encoder.name == "backbone":
            pretrained = config.backbone.path
        return NoteDoor.fit(modality, notes, section.vocabulary, pretrained)
    check_units(modality.analytes, f"inputs.{modality.name}.analytes")
    return PanelDoor.fit(modality, [panel for panel in given if isinstance(panel, Measurements)])


def _recorded(config: Config, modality: Modality, record: dict[str, Any], sandbox: Sandbox) -> AnyDoor:
    section = config.inputs[modality.name]
    if isinstance(section, ImageInput):
        return PictureDoor(modality, sandbox, section.window, section.mean, section.std)
    if isinstance(section, TextInput):
        return NoteDoor.from_record(modality, record)
    return PanelDoor.from_record(modality, record)

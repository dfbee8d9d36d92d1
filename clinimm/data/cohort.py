"""The cohort that a config names: its manifest, read with the config's columns."""

from dataclasses import replace
from pathlib import Path

from clinimm.config import Config, ImageInput, InputSection, TextInput
from clinimm.io.labs import check_units
from clinimm.io.manifest import AnalyteColumn, Columns, ImageColumn, InputColumns, LabColumns, NoteColumn, read_manifest
from clinimm.types import Case


def read_cohort(config: Config, data_dir: Path, manifest: Path | None = None, *, labelled: bool = True) -> list[Case]:
    """The cases of the config's manifest in `data_dir`, or of `manifest`. Files they name lie under `data_dir`.

    Without `labelled`, columns that only training and evaluation need (targets, split, fold, attributes) may be
    missing, and the targets then are unknown. Raises ManifestError, ConfigError."""
    for modality in config.modalities():
        check_units(modality.analytes, where=f"inputs.{modality.name}")
    columns = columns_of(config)
    if not labelled:
        columns = replace(columns, optional=frozenset((*columns.targets.values(), *columns.kept)))
    return read_manifest(manifest or data_dir / config.data.manifest, columns, root=data_dir)


def columns_of(config: Config) -> Columns:
    """The columns that a config names."""
    data = config.data
    return Columns(
        case_id=data.case_id,
        patient_id=data.patient_id,
        index_time=data.index_time,
        inputs={name: _input_columns(section) for name, section in config.inputs.items()},
        targets={target.name: target.source for target in config.targets},
        attributes=data.attributes,
        split=data.split_column,
        fold=data.fold_column,
    )


def _input_columns(section: InputSection) -> InputColumns:
    if isinstance(section, ImageInput):
        return ImageColumn(section.column, section.time_column, section.crop_columns)
    if isinstance(section, TextInput):
        return NoteColumn(section.column, section.time_column, section.files)
    analytes = tuple(AnalyteColumn(a.name, a.unit, a.source) for a in section.analytes)
    return LabColumns(analytes, section.time_column)

"""A manifest: one row per case, in CSV or Parquet, read into Cases; every fault of it told at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from clinimm.errors import Fault, InputError, ManifestError, ResourceLimit
from clinimm.io.row import Row
from clinimm.io.table import Table, read_table
from clinimm.io.text import clean_note, read_note
from clinimm.types import Case, ImageFile, Input, InputState, Measurement, Measurements, Note, Status

SPLITS = ("train", "val", "test")
_NOT_PROVIDED = InputState(Status.ABSENT, "not_provided")


@dataclass(frozen=True)
class ImageColumn:
    """`crop` names the columns of the left, top, right and bottom of a box, as fractions of the picture."""

    column: str
    time: str | None = None
    crop: tuple[str, str, str, str] | None = None


@dataclass(frozen=True)
class NoteColumn:
    """The column holds the note, or with `files` the path of its file."""

    column: str
    time: str | None = None
    files: bool = False


@dataclass(frozen=True)
class AnalyteColumn:
    analyte: str
    unit: str
    column: str


@dataclass(frozen=True)
class LabColumns:
    analytes: tuple[AnalyteColumn, ...]
    time: str | None = None


InputColumns = ImageColumn | NoteColumn | LabColumns


@dataclass(frozen=True)
class Columns:
    """Which column means what. `inputs` and `targets` are by the model's names. `attributes`, `split` and `fold` are
    kept as text under their column's name. A column in `optional` may be missing from the file."""

    case_id: str = "case_id"
    patient_id: str = "patient_id"
    index_time: str | None = None
    inputs: Mapping[str, InputColumns] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    split: str | None = None
    fold: str | None = None
    optional: frozenset[str] = frozenset()

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns that become attributes of a case."""
        return (*self.attributes, *(column for column in (self.split, self.fold) if column))

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that is named, once."""
        inputs = (column for source in self.inputs.values() for column in _columns_of(source))
        times = (self.index_time,) if self.index_time else ()
        return tuple(
            dict.fromkeys((self.case_id, self.patient_id, *times, *inputs, *self.targets.values(), *self.kept))
        )


def read_manifest(path: Path, columns: Columns, root: Path | None = None) -> list[Case]:
    """The cases of a manifest, in its order. Files lie under `root`, by default the manifest's folder, and are named
    relative to the manifest where that lies there too, else relative to `root`. Raises ManifestError with every fault:
    row and column, never what a cell holds."""
    table = read_table(path)
    faults = [fault for fault in table.faults if fault.column is None or fault.column in columns.named]
    faults += _missing_columns(table, columns)
    rows = [Row(number, cells, faults) for number, cells in table.rows.items()]
    folder, top = path.parent, (root or path.parent).resolve()
    reader = _Reader(columns, folder if folder.resolve().is_relative_to(top) else top, top)
    cases = [reader.case(row) for row in rows]
    _check_identity(rows, columns)
    if not rows and not faults:
        faults.append(Fault("table_empty", "has no cases", mend="add a row for each case"))
    if faults:
        raise ManifestError(sorted(faults, key=lambda fault: fault.row or 0), where=path.name)
    return cases


@dataclass(frozen=True)
class _Reader:
    columns: Columns
    folder: Path
    root: Path

    def case(self, row: Row) -> Case:
        columns = self.columns
        inputs: dict[str, Input] = {}
        absent: dict[str, InputState] = {}
        index_time = row.time(columns.index_time)
        for name, source in columns.inputs.items():
            found = self._input(row, source)
            if isinstance(found, InputState):
                absent[name] = found
            else:
                inputs[name] = found
                _check_time(row, source.time, found.acquired_at, index_time)
        return Case(
            case_id=row.needed(columns.case_id),
            patient_id=row.needed(columns.patient_id),
            inputs=inputs,
            targets={name: row.truth(column) for name, column in columns.targets.items()},
            index_time=index_time,
            absent=absent,
            attributes={column: row.text(column) for column in columns.kept},
        )

    def _input(self, row: Row, source: InputColumns) -> Input | InputState:
        acquired_at = row.time(source.time)
        if isinstance(source, ImageColumn):
            return self._image(row, source, acquired_at)
        if isinstance(source, NoteColumn):
            return self._note(row, source, acquired_at)
        return _measurements(row, source, acquired_at)

    def _image(self, row: Row, source: ImageColumn, acquired_at: datetime | None) -> ImageFile | InputState:
        crop = row.box(source.crop) if source.crop else None
        paths = row.files(source.column, self.folder, self.root)
        return ImageFile(paths, acquired_at, crop) if paths else _NOT_PROVIDED

    def _note(self, row: Row, source: NoteColumn, acquired_at: datetime | None) -> Note | InputState:
        if not row.text(source.column):
            return _NOT_PROVIDED
        try:
            if not source.files:
                return clean_note(row.cells[source.column], acquired_at)
            path = row.file(source.column, self.folder, self.root)
            return read_note(path, acquired_at) if path else _NOT_PROVIDED
        except InputError as error:
            return _refused(error)


def _measurements(row: Row, source: LabColumns, acquired_at: datetime | None) -> Measurements | InputState:
    values = tuple(
        Measurement(analyte.analyte, value, analyte.unit)
        for analyte in source.analytes
        if (value := row.number_in(analyte.column)) is not None
    )
    return Measurements(values, acquired_at) if values else _NOT_PROVIDED


def _refused(error: InputError) -> InputState:
    """A note that cannot be used spoils its case's input, not the manifest: so does a damaged film."""
    if error.code == "note_empty":
        return InputState(Status.ABSENT, error.code, error.what)
    status = Status.REJECTED if isinstance(error, ResourceLimit) else Status.UNREADABLE
    return InputState(status, error.code, error.what)


def _check_time(row: Row, column: str | None, acquired_at: datetime | None, index_time: datetime | None) -> None:
    if acquired_at is None or index_time is None:
        return
    if (acquired_at.tzinfo is None) != (index_time.tzinfo is None):
        row.fault("time_zone", "one of this time and the index time has an offset, the other none", column, "give both")
    elif acquired_at > index_time:
        row.fault("input_late", "the input was acquired after the index time", column, "leave the input out")


def _missing_columns(table: Table, columns: Columns) -> list[Fault]:
    missing = [c for c in columns.named if c not in table.columns and c not in columns.optional]
    return [Fault("column_missing", "is missing", 1, column, _nearest(column, table.columns)) for column in missing]


def _nearest(column: str, names: Iterable[str]) -> str:
    near = get_close_matches(column, list(names), n=1)
    return f"did you mean {near[0]!r}?" if near else "add it, or name another in the config"


def _check_identity(rows: Iterable[Row], columns: Columns) -> None:
    """Case ids are unique; a patient is in one fold and one split, which is train, val or test."""
    seen: dict[str, int] = {}
    homes: dict[tuple[str, str], str] = {}
    for row in rows:
        case_id, patient_id = row.text(columns.case_id), row.text(columns.patient_id)
        first = seen.setdefault(case_id, row.number)
        if case_id and first != row.number:
            row.fault("case_twice", f"the case id is that of row {first} too", columns.case_id, "give each row its own")
        for column in filter(None, (columns.split, columns.fold)):
            if not (home := row.needed(column)):
                continue
            if column == columns.split and home not in SPLITS:
                row.fault("split_unknown", f"is none of {', '.join(SPLITS)}", column)
            if patient_id and homes.setdefault((column, patient_id), home) != home:
                row.fault(
                    "patient_straddles", "this patient's other rows are elsewhere", column, "keep a patient in one"
                )


def _columns_of(source: InputColumns) -> tuple[str, ...]:
    times = (source.time,) if source.time else ()
    if isinstance(source, LabColumns):
        return (*(analyte.column for analyte in source.analytes), *times)
    crop = (source.crop or ()) if isinstance(source, ImageColumn) else ()
    return (source.column, *crop, *times)

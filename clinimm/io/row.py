"""One row of a manifest: typed cells out, and a fault for every cell that is not what its column promises.

A fault names the row and the column, never what the cell holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clinimm.errors import Fault

# Python's float() takes "1_000", "nan" and Arabic digits; a manifest does not.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_TRUTHS = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False, "": None}


@dataclass(frozen=True)
class Row:
    """`number` counts from 1, the header being row 1. Every method adds to `faults` and answers None for a bad cell."""

    number: int
    cells: Mapping[str, str]
    faults: list[Fault]

    def fault(self, code: str, what: str, column: str | None, mend: str = "") -> None:
        self.faults.append(Fault(code, what, self.number, column, mend))

    def text(self, column: str | None) -> str:
        """The cell without space around it; "" for an empty cell, or a column that is not there."""
        return "" if column is None else self.cells.get(column, "").strip()

    def needed(self, column: str) -> str:
        text = self.text(column)
        if not text and column in self.cells:
            self.fault("cell_empty", "is empty", column, "give a value")
        return text

    def number_in(self, column: str) -> float | None:
        text = self.text(column)
        if not text:
            return None
        if not _NUMBER.fullmatch(text) or abs(value := float(text)) == float("inf"):
            self.fault(
                "not_a_number", "is not a number", column, "write digits with a decimal point, or leave it empty"
            )
            return None
        return value

    def truth(self, column: str) -> bool | None:
        text = self.text(column).lower()
        if text not in _TRUTHS:
            self.fault("not_a_label", "is neither 1, 0, true, false nor empty", column, "leave it empty if unknown")
        return _TRUTHS.get(text)

    def time(self, column: str | None) -> datetime | None:
        """An ISO 8601 time; a date alone is its midnight."""
        text = self.text(column)
        if not text:
            return None
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            self.fault("not_a_time", "is not an ISO 8601 time", column, "write it as 2024-05-31T08:15:00+02:00")
            return None

    def box(self, columns: tuple[str, str, str, str]) -> tuple[float, float, float, float] | None:
        """(left, top, right, bottom) as fractions of a picture."""
        given = [column for column in columns if self.text(column)]
        if not given:
            return None
        if len(given) < len(columns):
            self.fault("crop_incomplete", "the box lacks a side", ", ".join(columns), "give all four or none")
            return None
        sides = [self.number_in(column) for column in columns]
        if None in sides:
            return None
        left, top, right, bottom = (side for side in sides if side is not None)
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            self.fault(
                "crop_range", "the box is not within the picture", ", ".join(columns), "give fractions of 0 to 1"
            )
            return None
        return left, top, right, bottom

    def files(self, column: str, folder: Path, root: Path) -> tuple[Path, ...]:
        """The files that a cell names: paths under `folder` apart by ";", a directory standing for the files in it."""
        names = [name.strip() for name in self.text(column).split(";") if name.strip()]
        return self._found(column, [folder / name for name in names], root)

    def file(self, column: str, folder: Path, root: Path) -> Path | None:
        """The one file that a cell names."""
        files = self._found(column, [folder / self.text(column)], root) if self.text(column) else ()
        return files[0] if files else None

    def _found(self, column: str, paths: list[Path], root: Path) -> tuple[Path, ...]:
        """Every file of `paths`, or none and one fault."""
        listed = [_files_at(path, root) for path in paths]
        if None in listed:
            self.fault("file_outside", "names a file outside the data folder", column, "move the file into it")
            return ()
        if [] in listed:
            self.fault("file_missing", "names a file that is not there", column, "check the path")
            return ()
        return tuple(file for files in listed for file in files or ())


def _files_at(path: Path, root: Path) -> list[Path] | None:
    """The file itself, or the visible files of a directory by name; None if one of them is outside `root`."""
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        else:
            files = [path] if path.is_file() else []
        return files if all(file.resolve().is_relative_to(root) for file in (path, *files)) else None
    except (OSError, ValueError):  # too long a name, a NUL in it, a folder we may not list
        return []

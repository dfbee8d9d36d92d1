"""The image door: files in, one scan out, told apart by what they hold and never by their names."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clinimm.errors import InputError, ResourceLimit, UnsupportedInput
from clinimm.io.bounded import read_bounded
from clinimm.io.dicom import read_dicom
from clinimm.io.dicom_header import looks_like_dicom
from clinimm.io.pictures import read_picture
from clinimm.io.scan_types import Limits, Orientation, Scan, WindowChoice

__all__ = ["Limits", "Orientation", "Scan", "WindowChoice", "read_scan"]

PNG, JPEG, GZIP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x1f\x8b"
NIFTI = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")
File = tuple[Path, bytes]


def read_scan(
    paths: Sequence[Path],
    window: WindowChoice = "voi",
    *,
    at_least: int | None = None,
    limits: Limits | None = None,
) -> Scan:
    """The scan in `paths`: one DICOM, PNG, JPEG or NIfTI file, the DICOM files of one series, or a folder of them.

    `window` is "voi" (what the file asks for, else a robust range), "full" (smallest to largest value) or (center,
    width) in modality units, such as HU. With `at_least`, frames are averaged over square blocks such that the shorter
    side keeps that many pixels: quicker where the model wants a small picture anyway. What else lies in a folder is
    passed over and flagged `skipped_files:n`.

    Raises InputError: UnsupportedInput (`unknown_format`, `not_an_image`, `unsupported_transfer_syntax`,
    `several_series`, ...), DamagedInput or ResourceLimit. Decodes in this process; see sandbox.Sandbox for files that
    are not trusted."""
    limits = limits or Limits()
    from_folder = any(path.is_dir() for path in paths)
    found = _read_files(paths, limits)
    kind, files = _one_kind(found, from_folder=from_folder)
    if kind == "dicom":
        scan = read_dicom(files, window, limits, at_least, from_folder=from_folder)
    else:
        scan = _read_single(kind, files, window, limits, at_least)
    skipped = len(found) - scan.facts.get("files", len(files))
    return replace(scan, flags=(*scan.flags, f"skipped_files:{skipped}")) if skipped else scan


def _read_single(kind: str, files: Sequence[File], window: WindowChoice, limits: Limits, at_least: int | None) -> Scan:
    path, data = files[0]
    if kind == "unknown":
        raise UnsupportedInput(
            "unknown_format", "is not DICOM, PNG, JPEG or NIfTI", where=path.name, mend="convert it to one of these"
        )
    if len(files) > 1:
        raise UnsupportedInput("several_pictures", "only DICOM files make a series", where=f"{len(files)} files")
    if kind == "picture":
        return read_picture(data, path.name, window, limits, at_least)
    # nibabel takes longer to import than a film takes to read, and few inputs need it.
    from clinimm.io.nifti import read_nifti

    return read_nifti(data, path.name, window, limits, at_least)


def _one_kind(files: Sequence[File], *, from_folder: bool) -> tuple[str, list[File]]:
    """The kind of the files, and those of that kind: all of them, unless a folder holds others beside its images."""
    kinds = [_kind(data) for _, data in files]
    for kind in ("dicom", "nifti", "picture"):
        if kind in kinds and (from_folder or kinds.count(kind) == len(kinds)):
            return kind, [file for file, its_kind in zip(files, kinds, strict=True) if its_kind == kind]
    if "unknown" not in kinds:
        raise UnsupportedInput("several_pictures", "mixes formats", where=f"{len(files)} files")
    return "unknown", [file for file, kind in zip(files, kinds, strict=True) if kind == "unknown"]


def _read_files(paths: Sequence[Path], limits: Limits) -> list[File]:
    files = [file for path in paths for file in (_files_below(path) if path.is_dir() else [path])]
    if not files:
        raise InputError("no_files", "holds no file", where=paths[0].name if paths else "")
    if len(files) > limits.files:
        raise ResourceLimit("too_many_files", f"holds {len(files)} files, the limit is {limits.files}")
    contents, room = [], limits.total_bytes
    for file in files:
        contents.append((file, read_bounded(file, min(room, limits.file_bytes))))
        room -= len(contents[-1][1])
    return contents


def _files_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))


def _kind(data: bytes) -> str:
    if data.startswith((PNG, JPEG)):
        return "picture"
    if data.startswith(GZIP) or data[344:348] in NIFTI or data[4:8] in NIFTI:
        return "nifti"
    return "dicom" if looks_like_dicom(data) else "unknown"

"""The image door: files in, one scan out, told apart by what they hold and never by their names."""

from collections.abc import Sequence
from pathlib import Path

from clinimm.errors import DamagedInput, InputError, ResourceLimit, UnsupportedInput
from clinimm.io.dicom import read_dicom
from clinimm.io.dicom_header import looks_like_dicom
from clinimm.io.pictures import read_picture
from clinimm.io.scan_types import Limits, Orientation, Scan, WindowChoice

__all__ = ["Limits", "Orientation", "Scan", "WindowChoice", "read_scan"]

PNG, JPEG, GZIP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x1f\x8b"
NIFTI_MAGICS = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")


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
    side keeps that many pixels: quicker where the model wants a small picture anyway.

    Raises InputError: UnsupportedInput (`unknown_format`, `not_an_image`, `unsupported_transfer_syntax`,
    `several_series`, ...), DamagedInput or ResourceLimit. Decodes in this process; see sandbox.Sandbox for files that
    are not trusted."""
    limits = limits or Limits()
    files = _read_files(paths, limits)
    kinds = {_kind(data) for _, data in files}
    path, data = files[0]
    if kinds == {"dicom"}:
        return read_dicom(files, window, limits, at_least)
    if "unknown" in kinds:
        raise UnsupportedInput(
            "unknown_format", "is not DICOM, PNG, JPEG or NIfTI", where=path.name, mend="convert it to one of these"
        )
    if len(files) > 1:
        raise UnsupportedInput("several_pictures", "only DICOM files make a series", where=f"{len(files)} files")
    if kinds == {"nifti"}:
        # nibabel takes longer to import than a film takes to read, and few inputs need it.
        from clinimm.io.nifti import read_nifti

        return read_nifti(data, path.name, window, limits, at_least)
    return read_picture(data, path.name, window, limits, at_least)


def _read_files(paths: Sequence[Path], limits: Limits) -> list[tuple[Path, bytes]]:
    files = [file for path in paths for file in (_files_below(path) if path.is_dir() else [path])]
    if not files:
        raise InputError("no_files", "holds no file", where=paths[0].name if paths else "")
    if len(files) > limits.files:
        raise ResourceLimit("too_many_files", f"holds {len(files)} files, the limit is {limits.files}")
    return [(file, data) for file, data in zip(files, _bytes_of(files, limits), strict=True)]


def _bytes_of(files: Sequence[Path], limits: Limits) -> list[bytes]:
    contents, total = [], 0
    for file in files:
        try:
            size = file.stat().st_size
            total += size
            if size > limits.file_bytes or total > limits.total_bytes:
                raise ResourceLimit(
                    "file_too_large", f"is over the limit of {limits.file_bytes} bytes", where=file.name
                )
            contents.append(file.read_bytes())
        except OSError as error:
            raise DamagedInput("unreadable_file", f"cannot be read ({type(error).__name__})", where=file.name) from None
    return contents


def _files_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))


def _kind(data: bytes) -> str:
    if data.startswith((PNG, JPEG)):
        return "picture"
    if data.startswith(GZIP) or data[344:348] in NIFTI_MAGICS or data[4:8] in NIFTI_MAGICS:
        return "nifti"
    return "dicom" if looks_like_dicom(data) else "unknown"

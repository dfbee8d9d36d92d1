"""DICOM files in, one scan out: a film, a multi-frame file, or the slices of a series."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset

from clinimm.errors import UnsupportedInput
from clinimm.io.dicom_facts import latest, read_facts, read_flags
from clinimm.io.dicom_geometry import Plane, frame_groups, orientation, read_planes
from clinimm.io.dicom_header import Instance, damage_is_named, open_instance, whole
from clinimm.io.dicom_layout import Layout, check_layout
from clinimm.io.dicom_tone import Tone, read_tone
from clinimm.io.dicom_volume import Piece, decode_volume, frame_of
from clinimm.io.scan_types import Limits, Scan, WindowChoice
from clinimm.io.series import Slice, Stack, stack_slices
from clinimm.io.window import Lookup, Window, choose_window

FILMS = ("CR", "DX", "MG", "RG", "PX", "IO", "RF", "XA", "XC", "ES", "GM")

# pydicom's warnings and logs quote header values; what they warn of is checked here.
warnings.filterwarnings("ignore", module=r"pydicom(\..*)?$")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def read_dicom(
    files: Sequence[tuple[Path, bytes]],
    window: WindowChoice,
    limits: Limits,
    at_least: int | None = None,
    *,
    from_folder: bool = False,
) -> Scan:
    """The scan that the files make. Those `from_folder` may have others among them that hold no pixels.

    Raises UnsupportedInput, DamagedInput or ResourceLimit."""
    with pydicom_config.disable_value_validation():
        pieces = _open_all(files, limits, skip_no_images=from_folder)
        _check_one_series(pieces)
        stack = _stack(pieces)
        return _assemble(pieces, stack, window, limits, at_least)


def _open_all(files: Sequence[tuple[Path, bytes]], limits: Limits, *, skip_no_images: bool) -> list[Piece]:
    pieces, refusal = [], None
    for path, data in files:
        try:
            pieces.append(open_piece(path.name, data, limits))
        except UnsupportedInput as error:
            if not (skip_no_images and error.code == "not_an_image"):
                raise
            refusal = error
    if refusal is not None and not pieces:
        raise refusal
    return pieces


def open_piece(where: str, data: bytes, limits: Limits) -> Piece:
    """One file's header, with all checked that can be before decoding. Raises as read_dicom does."""
    with damage_is_named("unreadable_header", "its header cannot be used", where):
        instance = open_instance(data, where, limits)
        layout = check_layout(instance, limits)
        groups = frame_groups(instance.header, layout.frames)
        planes = read_planes(instance, groups)
        return Piece(
            instance,
            layout,
            planes,
            _tones(instance, layout, groups),
            facts=read_facts(instance, layout, planes[0]),
            flags=read_flags(instance, layout),
            series=str(instance.header.get("SeriesInstanceUID") or ""),
            number=whole(instance.header, "InstanceNumber", where, default=0),
        )


def _tones(instance: Instance, layout: Layout, groups: Sequence[Sequence[Dataset]]) -> tuple[Tone, ...]:
    if len(groups) > 1 and groups[0] is groups[1]:
        return (read_tone(instance, layout, groups[0]),) * len(groups)
    return tuple(read_tone(instance, layout, group) for group in groups)


def _check_one_series(pieces: Sequence[Piece]) -> None:
    """One film, or the single frames of one series."""
    if len(pieces) == 1:
        return
    where = f"{len(pieces)} files"
    series = {piece.series for piece in pieces}
    if len(series) > 1:
        raise UnsupportedInput(
            "several_series", f"holds {len(series)} series", where=where, mend="give the files of one series"
        )
    if any(piece.layout.frames > 1 for piece in pieces):
        raise UnsupportedInput("several_films", "holds several multi-frame files", where=where, mend="give one")
    placed = all(piece.planes[0].along_normal is not None for piece in pieces)
    if not placed and any(piece.facts["dicom_modality"] in FILMS for piece in pieces):
        raise UnsupportedInput("several_films", f"holds {len(pieces)} films", where=where, mend="give one film")


def _stack(pieces: Sequence[Piece]) -> Stack:
    if len(pieces) == 1:
        return _stack_frames(pieces[0])
    slices = [
        Slice(index, piece.planes[0], piece.layout.form, piece.number, piece.facts["sop_instance_uid"] or "")
        for index, piece in enumerate(pieces)
    ]
    return stack_slices(slices, f"{len(pieces)} files", drop_duplicates=True)


def _stack_frames(piece: Piece) -> Stack:
    if piece.layout.frames == 1:
        return Stack((0,), None, ())
    slices = [Slice(index, plane, piece.layout.form, index, "") for index, plane in enumerate(piece.planes)]
    return stack_slices(slices, piece.instance.where, drop_duplicates=False)


def _assemble(
    pieces: Sequence[Piece], stack: Stack, choice: WindowChoice, limits: Limits, at_least: int | None
) -> Scan:
    volume = decode_volume(pieces, stack, at_least, limits)
    tones = [frame_of(pieces, index)[2] for index in stack.order]
    middle = tones[len(tones) // 2]
    window = _apply_window(volume.values, middle, choice)
    first, plane, tone = frame_of(pieces, stack.order[0])
    slices = len(volume.values)
    spacing = _spacing(plane, volume.factor, stack, slices)
    facts = {**first.facts, "window": window.facts(), "inverted": middle.inverted}
    facts["asked_window"] = None if middle.voi is None else middle.voi.facts()
    facts |= {"files": len(pieces), "slices": slices, "shrunk_by": volume.factor}
    facts |= {"missing_slices": stack.missing, "duplicate_slices": stack.duplicates}
    facts["acquired_at"] = latest(piece.facts["acquired_at"] for piece in pieces)
    flags = [flag for piece in pieces for flag in piece.flags]
    flags += [*plane.flags, *tone.flags, *stack.flags, *volume.flags, *_window_flags(tones, window)]
    return Scan(
        pixels=volume.values[0] if slices == 1 else np.moveaxis(volume.values, 0, -1),
        spacing_mm=spacing,
        orientation=orientation(plane, spacing, volume.first_center),
        facts=facts,
        flags=tuple(dict.fromkeys(flags)),
    )


def _apply_window(values: Float32[np.ndarray, "d h w"], middle: Tone, choice: WindowChoice) -> Window | Lookup:
    """One window for the whole volume, since each slice its own would make slices incomparable: the middle one's."""
    window = choose_window(values, choice, middle.voi)
    for plane in values:
        window.apply(plane)
        if middle.inverted:
            np.subtract(1, plane, out=plane)
    return window


def _window_flags(tones: Sequence[Tone], window: Window | Lookup) -> tuple[str, ...]:
    """Slices that asked for other windows than the one applied."""
    varies = any(isinstance(tone.voi, Window) and tone.voi != window for tone in tones)
    return ("window_varies",) if window.source == "voi" and varies else ()


def _spacing(plane: Plane, factor: int, stack: Stack, slices: int) -> tuple[float, ...] | None:
    if plane.spacing is None:
        return None
    in_plane = plane.spacing[0] * factor, plane.spacing[1] * factor
    return in_plane if slices == 1 or stack.spacing_mm is None else (*in_plane, stack.spacing_mm)

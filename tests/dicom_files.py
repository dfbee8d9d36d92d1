"""DICOM files made on the spot: a data set from an array, saved in any transfer syntax that clinimm reads."""

import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gdcm
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

DEFLATED_FRAMES = UID("1.2.840.10008.1.2.8.1")
AXIAL = [1, 0, 0, 0, 1, 0]


def dataset(
    pixels: np.ndarray, *, photometric: str = "MONOCHROME2", stored: int | None = None, **attributes: Any
) -> Dataset:
    """A data set of (h, w), (frames, h, w), or colored (h, w, 3) and (frames, h, w, 3) pixels. Attributes that are
    given override what is made up, and None leaves one out."""
    colored = photometric.startswith(("RGB", "YBR"))
    spatial = pixels.shape[:-1] if colored else pixels.shape
    made = Dataset()
    # The same content has the same name, so that a property that fails can be replayed.
    uid = generate_uid(entropy_srcs=[pixels.tobytes().hex(), photometric])
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = CTImageStorage, uid, f"{uid[:60]}.1"
    made.Modality, made.PatientName, made.PatientID = "OT", "CANARY^NAME", "CANARY-ID"
    made.Rows, made.Columns = spatial[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = (3 if colored else 1), photometric
    if colored:
        made.PlanarConfiguration = 0
    if len(spatial) == 3:
        made.NumberOfFrames = spatial[0]
    made.BitsAllocated = 8 * pixels.dtype.itemsize
    made.BitsStored = stored or made.BitsAllocated
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OW" if made.BitsAllocated > 8 else "OB"
    for keyword, value in attributes.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    return made


def save(made: Dataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """`made` as a file whose pixels are already in the form of `syntax`."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.get("SOPClassUID", CTImageStorage)
    made.file_meta.MediaStorageSOPInstanceUID = made.get("SOPInstanceUID", "1.2.3")
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax.is_transfer_syntax:
        made.save_as(path, enforce_file_format=True)
    else:
        made.preamble = b"\0" * 128
        made.save_as(path, implicit_vr=False, little_endian=True, force_encoding=True)
    return path


def content(made: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The bytes of the file that `save` makes."""
    with TemporaryDirectory() as folder:
        return save(made, Path(folder) / "film", syntax).read_bytes()


def write(path: Path, pixels: np.ndarray, syntax: UID = ExplicitVRLittleEndian, **described: Any) -> Path:
    """The file of `pixels` in `syntax`, compressed where the syntax asks for it."""
    made = dataset(pixels, **described)
    if syntax in (JPEGLosslessSV1, JPEGExtended12Bit):
        return _by_gdcm(save(made, path), syntax)
    if syntax == ExplicitVRBigEndian:
        made.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    elif syntax in ENCODERS:
        frames = pixels if "NumberOfFrames" in made else pixels[None]
        encapsulated(made, [ENCODERS[syntax](frame) for frame in frames])
    elif syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        made.file_meta = FileMetaDataset()
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.compress(syntax, pixels, generate_instance_uid=False)
    return save(made, path, syntax)


def encapsulated(made: Dataset, frames: list[bytes], fragments_per_frame: int = 1) -> Dataset:
    """`made` with compressed frames for its pixels."""
    made.PixelData = encapsulate(frames, fragments_per_frame=fragments_per_frame)
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    return made


def _deflated_frame(frame: np.ndarray) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = deflater.compress(frame.tobytes()) + deflater.flush()
    return packed + b"\0" * (len(packed) % 2)


def _jpeg_baseline(frame: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def _by_gdcm(path: Path, syntax: UID) -> Path:
    """Compress an uncompressed file in place, as gdcm's own tool does."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise RuntimeError("gdcm cannot read the file")
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise RuntimeError("gdcm cannot encode this")
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise RuntimeError("gdcm cannot write the file")
    return path


ENCODERS: dict[UID, Callable[[np.ndarray], bytes]] = {
    DEFLATED_FRAMES: _deflated_frame,
    JPEGBaseline8Bit: _jpeg_baseline,
}
LOSSLESS = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    DEFLATED_FRAMES,
    RLELossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
)

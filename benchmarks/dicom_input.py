"""From a DICOM file to a model input, ours against MONAI's LoadImage pipeline, on files made here.

    python benchmarks/dicom_input.py [--repeats 9] [--json FILE]

A film becomes 224 x 224, a CT series 128 x 128 x 64, float32 in [0, 1]. One thread each, repeats interleaved, medians.
Ours reads with `at_least`, so that pixels which the resize would average away never become floating point."""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import numpy as np
import torch
from jpeg_ls import encode_array
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized, ScaleIntensityd
from openjpeg.utils import encode_array as encode_jpeg2000
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from clinimm.io.sandbox import Sandbox
from clinimm.io.scan import Scan, read_scan

FILM, VOLUME = (224, 224), (128, 128, 64)
Reader = Callable[[Path], np.ndarray]


def film_pixels(side: int = 2048) -> np.ndarray:
    """A smooth chest-like ground with ribs and the noise of a detector, 12 bits in 16."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    lungs = np.exp(-((x - 0.3) ** 2 + (y - 0.5) ** 2) * 18) + np.exp(-((x - 0.7) ** 2 + (y - 0.5) ** 2) * 18)
    ribs = 0.08 * np.sin(60 * y + 6 * (x - 0.5) ** 2)
    clean = 2600 - 1500 * lungs + 900 * ribs
    return np.clip(clean + random.normal(0, 12, clean.shape), 0, 4095).astype(np.uint16)


def dataset(pixels: np.ndarray, syntax: UID, sop_class: UID) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.SOPClassUID, made.SOPInstanceUID = sop_class, generate_uid()
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = sop_class, made.SOPInstanceUID
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    return made


def write_film(folder: Path, name: str, syntax: UID, pixels: np.ndarray | None = None) -> Path:
    pixels = film_pixels() if pixels is None else pixels
    made = dataset(pixels, syntax, DigitalXRayImageStorageForPresentation)
    made.Modality, made.PixelSpacing = "DX", [0.16, 0.16]
    if syntax == RLELossless:
        made.compress(RLELossless, pixels)
    elif syntax != ExplicitVRLittleEndian:
        encode = encode_array if syntax == JPEGLSLossless else encode_jpeg2000
        made.PixelData = encapsulate([bytes(encode(pixels))])
        made["PixelData"].VR = "OB"
    path = folder / name / "film.dcm"
    path.parent.mkdir()
    made.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, slices: int = 64) -> Path:
    random, series = np.random.default_rng(1), generate_uid()
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    body = np.where(x**2 + 1.6 * y**2 < 0.7, 1040, 0)
    for index in range(slices):
        noise = random.normal(0, 15, body.shape)
        made = dataset(
            (body + 0.5 * index + noise).clip(0, 4095).astype(np.int16), ExplicitVRLittleEndian, CTImageStorage
        )
        made.Modality, made.SeriesInstanceUID, made.InstanceNumber = "CT", series, index + 1
        made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, -1024, "HU"
        made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-180, -180, 2.5 * index]
        made.PixelSpacing, made.SliceThickness = [0.7, 0.7], 2.5
        made.save_as(_ensure(folder / "ct") / f"{index:03}.dcm", enforce_file_format=True)
    return folder / "ct"


def _ensure(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def model_input(scan: Scan) -> np.ndarray:
    """Resized to the model's size by PIL's area-aware bilinear filter, slice by slice."""
    if scan.pixels.ndim == 2:
        return resized(scan.pixels, FILM)
    return np.stack([resized(scan.pixels[:, :, k], VOLUME[:2]) for k in range(scan.pixels.shape[2])], axis=-1)


def resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def monai_reader(size: tuple[int, ...]) -> Reader:
    steps = Compose(
        [
            LoadImaged("image", reader="PydicomReader", image_only=True),
            EnsureChannelFirstd("image"),
            ScaleIntensityd("image"),
            Resized("image", size, mode="bilinear" if len(size) == 2 else "trilinear"),
        ]
    )
    return lambda path: steps({"image": str(path)})["image"][0].numpy()


def medians(readers: dict[str, Reader], path: Path, repeats: int) -> dict[str, float]:
    """Milliseconds a read, each reader in turn so that a busy machine is busy for all."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for name in readers:
        readers[name](path)
    for _ in range(repeats):
        for name, reader in readers.items():
            start = time.perf_counter()
            reader(path)
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(taken) for name, taken in seconds.items()}


def likeness(readers: dict[str, Reader], path: Path) -> float:
    """Correlation of ours with MONAI's, which comes out with its first two axes swapped."""
    ours, theirs = readers["ours"](path), np.swapaxes(readers["monai"](path), 0, 1)
    return float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made, Sandbox() as sandbox:
        rows = [measure(name, path, asked.repeats, sandbox) for name, path in inputs(Path(made)).items()]
    print(
        f"{'input':<24}{'ours ms':>9}{'sandbox':>9}{'full res':>9}{'MONAI':>9}{'x ours':>8}{'x sand.':>9}{'alike':>8}"
    )
    for row in rows:
        print(
            f"{row['input']:<24}{row['ours']:>9.1f}{row['sandbox']:>9.1f}{row['full']:>9.1f}{row['monai']:>9.1f}"
            f"{row['monai'] / row['ours']:>8.1f}{row['monai'] / row['sandbox']:>9.1f}{row['alike']:>8.4f}"
        )
    if asked.json:
        asked.json.write_text(json.dumps({"unit": "ms, median", "repeats": asked.repeats, "rows": rows}, indent=2))


def inputs(folder: Path) -> dict[str, Path]:
    syntaxes = {
        "film uncompressed": ExplicitVRLittleEndian,
        "film RLE": RLELossless,
        "film JPEG-LS": JPEGLSLossless,
        "film JPEG 2000": JPEG2000Lossless,
    }
    films = {name: write_film(folder, name.replace(" ", "_"), syntax) for name, syntax in syntaxes.items()}
    return {**films, "CT series, 64 slices": write_series(folder)}


def measure(name: str, path: Path, repeats: int, sandbox: Sandbox) -> dict[str, float | str]:
    size = VOLUME if path.is_dir() else FILM
    readers: dict[str, Reader] = {
        "ours": lambda path: model_input(read_scan([path], at_least=size[0])),
        "sandbox": lambda path: model_input(sandbox.read([path], at_least=size[0])),
        "full": lambda path: model_input(read_scan([path])),
        "monai": monai_reader(size),
    }
    return {"input": name, **medians(readers, path, repeats), "alike": likeness(readers, path)}


if __name__ == "__main__":
    main()

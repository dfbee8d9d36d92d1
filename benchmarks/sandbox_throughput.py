"""What safety costs: films a second through the Sandbox against the same decoding in this process.

    python benchmarks/sandbox_throughput.py [--data DIR] [--rounds 7] [--films 8] [--json FILE]

Compared is like with like: one child against one thread of this process, and two children fed by two threads against
two threads of this process (decoders hold Python's lock for much of their work, so these gain little). Full size, the
file's own window, pixels handed back to the caller. Films of 2048 x 2048, 12 bits, are made here; of --data, the
readable ones of DIR/dicom_hard over 0.2 MB. Each round runs every way in turn, so that a busy machine is busy for all;
medians of rounds. Then `inspect_all` on instances of 0.5 MB, which decodes nothing."""

import argparse
import csv
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import numpy as np
from openjpeg.utils import encode_array
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from clinimm.errors import InputError
from clinimm.io.inspection import Inspection
from clinimm.io.sandbox import Sandbox
from clinimm.io.scan import read_scan

SIDE, INSTANCES = 2048, 200
LEAST_BYTES = 200_000
Ways = dict[str, Callable[[Sequence[Path]], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, Sandbox() as one, Sandbox(processes=2) as two:
        sets = made_films(Path(made), asked.films)
        if asked.data:
            sets["real files"] = real_films(asked.data / "dicom_hard", one)
        with ThreadPoolExecutor(2) as threads:
            ways = decoding_ways(one, two, threads)
            rows = [measure(name, paths, ways, asked.rounds) for name, paths in sets.items()]
        small = write_film(Path(made) / "small", ExplicitVRLittleEndian, side=512)
        inspected = inspections(one, small, asked.rounds)
    say(rows, inspected)
    if asked.json:
        asked.json.write_text(json.dumps({"rounds": asked.rounds, "rows": rows, "inspect": inspected}, indent=2))


def decoding_ways(one: Sandbox, two: Sandbox, threads: ThreadPoolExecutor) -> Ways:
    return {
        "here_1": lambda paths: [read_scan([path]) for path in paths],
        "sandbox_1": lambda paths: [one.read([path]) for path in paths],
        "here_2": lambda paths: list(threads.map(lambda path: read_scan([path]), paths)),
        "sandbox_2": lambda paths: list(threads.map(lambda path: two.read([path]), paths)),
    }


def measure(name: str, paths: Sequence[Path], ways: Ways, rounds: int) -> dict[str, Any]:
    """Films a second by each way, and the medians over rounds of the ratios within a round."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for work in ways.values():
        work(paths[:2])
    for _ in range(rounds):
        for way, work in ways.items():
            start = time.perf_counter()
            work(paths)
            rates[way].append(len(paths) / (time.perf_counter() - start))
    ratios = {f"ratio_{n}": _median_ratio(rates[f"sandbox_{n}"], rates[f"here_{n}"]) for n in (1, 2)}
    return {"films": name, "count": len(paths), **{way: statistics.median(rates[way]) for way in ways}, **ratios}


def _median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def inspections(sandbox: Sandbox, path: Path, rounds: int) -> dict[str, float]:
    """Files a second, all at once and one by one."""
    sandbox.inspect(path)
    together, alone = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        found = sandbox.inspect_all([path] * INSTANCES)
        together.append(INSTANCES / (time.perf_counter() - start))
        if not all(isinstance(one, Inspection) for one in found):
            raise SystemExit("an instance was refused")
        start = time.perf_counter()
        for _ in range(INSTANCES):
            sandbox.inspect(path)
        alone.append(INSTANCES / (time.perf_counter() - start))
    megabytes = path.stat().st_size / 1e6
    return {"megabytes": megabytes, "together": statistics.median(together), "alone": statistics.median(alone)}


def film_pixels(side: int) -> np.ndarray:
    """A smooth chest-like ground with ribs and the noise of a detector, 12 bits in 16."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    lungs = np.exp(-((x - 0.3) ** 2 + (y - 0.5) ** 2) * 18) + np.exp(-((x - 0.7) ** 2 + (y - 0.5) ** 2) * 18)
    clean = 2600 - 1500 * lungs + 72 * np.sin(60 * y + 6 * (x - 0.5) ** 2)
    return np.clip(clean + random.normal(0, 12, clean.shape), 0, 4095).astype(np.uint16)


def made_films(folder: Path, count: int) -> dict[str, list[Path]]:
    """As many reads of one file a syntax: what is measured is decoding, not the disk."""
    syntaxes = {
        "uncompressed": ExplicitVRLittleEndian,
        "RLE": RLELossless,
        "JPEG lossless": JPEGLosslessSV1,
        "JPEG 2000": JPEG2000Lossless,
    }
    return {name: [write_film(folder / name, syntax)] * count for name, syntax in syntaxes.items()}


def write_film(path: Path, syntax: UID, side: int = SIDE) -> Path:
    pixels = film_pixels(side)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == JPEGLosslessSV1 else syntax
    made.SOPClassUID, made.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientName, made.PatientID, made.Modality = "Film^Made", "1", "DX"
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.WindowCenter, made.WindowWidth = 2048, 4096
    made.PixelData = pixels.tobytes()
    if syntax == RLELossless:
        made.compress(RLELossless, pixels)
    elif syntax == JPEG2000Lossless:
        made.PixelData = encapsulate([bytes(encode_array(pixels))])
        made["PixelData"].VR = "OB"
    made.save_as(path, enforce_file_format=True)
    return recoded(path, syntax) if syntax == JPEGLosslessSV1 else path


def recoded(path: Path, syntax: UID) -> Path:
    """In place, by gdcm, the one free encoder of lossless JPEG here."""
    import gdcm

    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    if not reader.Read():
        raise SystemExit("gdcm cannot read the film")
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise SystemExit("gdcm cannot encode the film")
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise SystemExit("gdcm cannot write the film")
    return path


def real_films(folder: Path, sandbox: Sandbox) -> list[Path]:
    with (folder / "manifest.csv").open(encoding="utf-8") as manifest:
        rows = list(csv.DictReader(manifest))
    large = [folder / row["file"] for row in rows if int(row["bytes"]) >= LEAST_BYTES]
    return [path for path in large if _is_read(path, sandbox)]


def _is_read(path: Path, sandbox: Sandbox) -> bool:
    try:
        return sandbox.read([path]).facts["format"] == "DICOM"
    except InputError:
        return False


def say(rows: Sequence[dict[str, Any]], inspected: dict[str, float]) -> None:
    print("films a second, medians; ratio: sandbox to this process, as many children as threads")
    print(f"{'films':<16}{'count':>6}{'here 1':>9}{'sand. 1':>9}{'ratio':>7}{'here 2':>9}{'sand. 2':>9}{'ratio':>7}")
    for row in rows:
        print(
            f"{row['films']:<16}{row['count']:>6}"
            + "".join(f"{row[f'here_{n}']:>9.1f}{row[f'sandbox_{n}']:>9.1f}{row[f'ratio_{n}']:>7.2f}" for n in (1, 2))
        )
    print(
        f"inspect, {inspected['megabytes']:.1f} MB, one child: {inspected['together']:.0f} a second together, "
        f"{inspected['alone']:.0f} one by one"
    )


if __name__ == "__main__":
    main()

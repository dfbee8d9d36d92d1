"""How fast instances are taken in, beside Orthanc on the same machine and files.

    python benchmarks/intake.py [--rounds 5] [--studies 8] [--instances 10] [--clients 4] [--json FILE]

Instances of 0.5 MB (512 x 512, 16 bits), made here, each round its own. `clinimm-service serve --no-worker` on SQLite
and on a PostgreSQL of its own takes them as it does from a PACS: one case a request with all instances of a study, and
one instance a request. Orthanc (`apt-get install orthanc orthanc-postgresql`; left out where it is not installed) takes
one instance a request, which is what its REST door does, on its SQLite and on the same PostgreSQL; it syncs its files
as it does by default. Clients are threads of this process with connections kept open. Every service runs all the while,
and each round goes through all of them in turn; medians of rounds, and the ratio to Orthanc's on the same database."""

import argparse
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from databases import new_database, postgres
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from clinimm.config import Config, dump, load

ORTHANC = Path("/usr/sbin/Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so")
CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.toml"
SIDE = 512
Study = list[bytes]


@dataclass(frozen=True)
class Door:
    """A way to send studies: `send` posts one study over a client's own connection."""

    name: str
    database: str
    url: str
    send: Callable[[httpx.Client, Study], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--studies", type=int, default=8)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clinimm-intake-", dir="/tmp") as place, ExitStack() as running:
        doors = opened(Path(place), running)
        rates: dict[str, list[float]] = {door.name: [] for door in doors}
        for _ in range(asked.rounds):
            for door in doors:
                studies = [made_study(asked.instances) for _ in range(asked.studies)]
                rates[door.name].append(rate(door, studies, asked.clients))
    figures = summary(doors, rates)
    show(figures, asked)
    if asked.json:
        asked.json.write_text(json.dumps({"asked": vars(asked) | {"json": None}, "doors": figures}, indent=2))


def opened(place: Path, running: ExitStack) -> list[Door]:
    """Every service that can run here, listening."""
    server = running.enter_context(postgres(place / "pg"))
    artifact = described(place / "artifact", load(CONFIG))
    doors: list[Door] = []
    for database, url in (("SQLite", ""), ("PostgreSQL", new_database(server, "clinimm"))):
        base = running.enter_context(clinimm(place / f"clinimm-{database}", artifact, url))
        doors.append(Door(f"clinimm, a study a request, {database}", database, base, send_study))
        doors.append(Door(f"clinimm, an instance a request, {database}", database, base, send_each))
        if ORTHANC.exists():
            index = new_database(server, "orthanc") if url and PLUGIN.exists() else ""
            if index or not url:
                there = running.enter_context(orthanc(place / f"orthanc-{database}", index))
                doors.append(Door(f"Orthanc, an instance a request, {database}", database, there, send_to_orthanc))
    return doors


def rate(door: Door, studies: Sequence[Study], clients: int) -> float:
    """Instances a second, from the first byte to the last acknowledgment."""
    shares = [studies[i::clients] for i in range(clients)]

    def post_all(share: Sequence[Study]) -> None:
        with httpx.Client(base_url=door.url, timeout=120) as client:
            for study in share:
                door.send(client, study)

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(post_all, shares))
    return sum(map(len, studies)) / (time.perf_counter() - started)


def send_study(client: httpx.Client, study: Study) -> None:
    post_case(client, study)


def send_each(client: httpx.Client, study: Study) -> None:
    for instance in study:
        post_case(client, [instance])


def post_case(client: httpx.Client, instances: Study) -> None:
    case = {"reference": uuid.uuid4().hex, "patient": {"id": "p-1"}}
    files: list[tuple[str, Any]] = [("case", (None, json.dumps(case), "application/json"))]
    files += [("image", ("i.dcm", data, "application/dicom")) for data in instances]
    client.post("/v1/cases", files=files, headers={"Idempotency-Key": uuid.uuid4().hex}).raise_for_status()


def send_to_orthanc(client: httpx.Client, study: Study) -> None:
    for instance in study:
        client.post("/instances", content=instance, headers={"Content-Type": "application/dicom"}).raise_for_status()


def made_study(instances: int) -> Study:
    """Instances of one series, each with pixels and UIDs of its own."""
    rng = np.random.default_rng()
    study, series = generate_uid(), generate_uid()
    return [made_instance(rng, study, series, number) for number in range(instances)]


def made_instance(rng: np.random.Generator, study: str, series: str, number: int) -> bytes:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = ComputedRadiographyImageStorage, generate_uid(), "CR"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = study, series, number + 1
    ds.PatientID, ds.PatientName = "p-1", "Made^Up"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = SIDE, SIDE, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = rng.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@contextmanager
def clinimm(data: Path, artifact: Path, database_url: str) -> Iterator[str]:
    command = [sys.executable, "-m", "services.cli", "serve", "--no-worker", "--port", "0", "--allow-unpromoted"]
    options = ["--data", str(data), "--artifact", str(artifact)]
    options += ["--database-url", database_url] if database_url else []
    environment = {**os.environ, "CLINIMM_QUEUE_LIMIT": "1000000"}
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rpartition(" ")[2].strip()
        finally:
            process.terminate()


@contextmanager
def orthanc(place: Path, postgres_url: str) -> Iterator[str]:
    place.mkdir()
    port = free_port()
    config: dict[str, Any] = {
        "StorageDirectory": str(place), "IndexDirectory": str(place), "HttpPort": port, "DicomServerEnabled": False,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "Plugins": [],
    }  # fmt: skip
    if postgres_url:
        config |= {
            "Plugins": [str(PLUGIN)],
            "PostgreSQL": {"EnableIndex": True, "EnableStorage": False, "ConnectionUri": postgres_url, "Lock": False},
        }
    (place / "orthanc.json").write_text(json.dumps(config))
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([str(ORTHANC), str(place / "orthanc.json")], **quiet) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            until_answers(f"{url}/system")
            yield url
        finally:
            process.terminate()


def described(folder: Path, config: Config) -> Path:
    """All that the API reads of an artifact; no weights, which only a worker needs."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(dump(config))
    (folder / "metrics.json").write_text("{}")
    (folder / "card.md").write_text(f"# {config.name}\n")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps({"files": digests}))
    return folder


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until_answers(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=1)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    sys.exit(f"{url} does not answer")


def summary(doors: Sequence[Door], rates: dict[str, list[float]]) -> list[dict[str, Any]]:
    medians = {door.name: statistics.median(rates[door.name]) for door in doors}
    other = {door.database: medians[door.name] for door in doors if door.send is send_to_orthanc}
    return [
        {
            "door": door.name,
            "per_second": round(medians[door.name], 1),
            "lowest": round(min(rates[door.name]), 1),
            "ratio_to_orthanc": round(medians[door.name] / other[door.database], 2) if door.database in other else None,
        }
        for door in doors
    ]


def show(figures: Sequence[dict[str, Any]], asked: argparse.Namespace) -> None:
    print(f"0.5 MB instances a second, {asked.clients} clients, median (lowest) of {asked.rounds} rounds")
    print("| door | instances/s | to Orthanc |\n|---|---|---|")
    for one in figures:
        ratio = "" if one["ratio_to_orthanc"] is None else f"{one['ratio_to_orthanc']:.2f}"
        print(f"| {one['door']} | {one['per_second']:.0f} ({one['lowest']:.0f}) | {ratio} |")


if __name__ == "__main__":
    main()

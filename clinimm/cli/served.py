"""The service as a client sees it: started on loopback, posted to over HTTP, asked for results and reports."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from clinimm.errors import ClinimmError

_WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Sent:
    """A case as it goes over the wire: the JSON part, and the bytes of its images by modality."""

    title: str
    case: Mapping[str, Any]
    images: Mapping[str, bytes]


@contextmanager
def serving(artifact: Path, data: Path) -> Iterator[httpx.Client]:
    """A client of a service of its own, API and worker, on a free port of the loopback. What it logs is in
    `data`/service.log. Raises ClinimmError if it does not start."""
    data.mkdir(parents=True, exist_ok=True)
    command = ["serve", "--artifact", str(artifact), "--allow-unpromoted", "--data", str(data), "--port", "0"]
    with (data / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from services.cli import main; main()", *command],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        try:
            with httpx.Client(base_url=_address(process, data), timeout=30) as client:
                yield client
        finally:
            process.terminate()
            process.wait(timeout=60)


def post(client: httpx.Client, sent: Sent) -> str:
    """The id that the service gives the case. Raises ClinimmError if it is refused."""
    files: list[tuple[str, tuple[str | None, bytes, str]]] = [
        ("case", (None, json.dumps(sent.case).encode(), "application/json"))
    ]
    files += [("image", (f"{name}.dcm", content, "application/dicom")) for name, content in sent.images.items()]
    answer = client.post("/v1/cases", files=files, headers={"Idempotency-Key": uuid.uuid4().hex})
    if answer.status_code != 202:
        raise ClinimmError(f"the service answered {answer.status_code} ({answer.json().get('code')})", where=sent.title)
    return str(answer.json()["id"])


def result(client: httpx.Client, case_id: str) -> dict[str, Any]:
    """The latest result of a case, once it is there. Raises ClinimmError after two minutes."""

    def ask() -> dict[str, Any] | None:
        results = client.get(f"/v1/cases/{case_id}/results").json()["results"]
        return dict(results[0]) if results else None

    return _await(ask, f"result of {case_id}")


def report(client: httpx.Client, case_id: str) -> tuple[str, str]:
    """The report of a case as a page and as JSON, once it is there. Raises ClinimmError after two minutes."""
    url = f"/v1/cases/{case_id}/report"

    def ask() -> tuple[str, str] | None:
        page = client.get(url, params={"format": "html"})
        return (page.text, client.get(url, params={"format": "json"}).text) if page.status_code == 200 else None

    return _await(ask, f"report of {case_id}")


def _await(ask: Any, what: str) -> Any:
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        found = ask()
        if found is not None:
            return found
        time.sleep(0.2)
    raise ClinimmError(f"no {what} after {_WAIT_SECONDS:.0f} s", mend="look into service.log")


def _address(process: "subprocess.Popen[str]", data: Path) -> str:
    """The address that the service says it listens on."""
    for line in process.stdout or ():
        if "listening on " in line:
            return line.rpartition(" ")[2].strip()
    raise ClinimmError("the service did not start", where=str(data / "service.log"), mend="look into that log")

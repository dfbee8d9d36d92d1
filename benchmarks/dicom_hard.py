"""Every odd file of a collection through the Sandbox: what became of it, how long it took, how much memory.

    python benchmarks/dicom_hard.py --data DIR [--json FILE]

DIR/dicom_hard/manifest.csv names each file and what is to be expected of it. A readable image must be read; an image in
an unsupported form read or refused by name; what is damaged, no image or no DICOM refused by name (a JPEG picture may
be read as what it is); nothing may crash, take over 2 GB or over 10 s."""

import argparse
import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinimm.errors import InputError
from clinimm.io.sandbox import Sandbox

MOST_MB, MOST_SECONDS = 2048, 10
READ = "read"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    folder = asked.data / "dicom_hard"
    with (folder / "manifest.csv").open(encoding="utf-8") as manifest, Sandbox() as sandbox:
        rows = [decode(sandbox, folder, row) for row in csv.DictReader(manifest)]
    print(f"{'file':<48}{'expected':<19}{'got':<32}{'MB':>6}{'s':>7}")
    for row in rows:
        mark = " " if row["as_expected"] else "!"
        print(
            f"{row['file']:<48}{row['expected']:<19}{row['got']:<32}{row['peak_mb']:>6.0f}{row['seconds']:>7.2f}{mark}"
        )
    summary = summarize(rows)
    print(json.dumps(summary, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps({"summary": summary, "rows": rows}, indent=2))
    sys.exit(0 if summary["as_expected"] == summary["files"] else 1)


def decode(sandbox: Sandbox, folder: Path, row: Mapping[str, str]) -> dict[str, Any]:
    path = folder / row["file"]
    reset_peak(sandbox)
    start = time.perf_counter()
    try:
        scan = sandbox.read([path])
        got, status = f"{READ} {'x'.join(map(str, scan.pixels.shape))}", scan.facts["format"]
    except InputError as error:
        got, status = error.code, type(error).__name__
    seconds, peak = time.perf_counter() - start, peak_mb(sandbox)
    kept = {"file": path.name[:47], "expected": row["expected"], "got": got, "status": status}
    within = peak <= MOST_MB and seconds <= MOST_SECONDS
    return {**kept, "peak_mb": peak, "seconds": seconds, "as_expected": within and is_expected(row["expected"], status)}


def is_expected(expected: str, status: str) -> bool:
    """`status` is the format of what was read, or the class of the refusal; a lost child is never expected."""
    refused = status in ("UnsupportedInput", "DamagedInput", "ResourceLimit")
    return {
        "readable_image": status == "DICOM",
        "image_unsupported": status == "DICOM" or refused,
        "not_dicom": refused or status in ("JPEG", "PNG", "NIfTI"),
    }.get(expected, refused)


def reset_peak(sandbox: Sandbox) -> None:
    for pid in sandbox.pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak_mb(sandbox: Sandbox) -> float:
    """The most resident memory of any child since the last reset; a child that has died counts as infinite."""
    peaks = [
        int(line.split()[1]) / 1024
        for pid in sandbox.pids
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        if line.startswith("VmHWM")
    ]
    return max(peaks, default=float("inf"))


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    outcomes = Counter(f"{row['expected']}: {READ if row['got'].startswith(READ) else 'refused'}" for row in rows)
    return {
        "files": len(rows),
        "as_expected": sum(row["as_expected"] for row in rows),
        "children_lost": sum(row["got"] == "decode_resource_limit" for row in rows),
        "peak_mb": max(row["peak_mb"] for row in rows),
        "slowest_seconds": max(row["seconds"] for row in rows),
        "outcomes": dict(sorted(outcomes.items())),
    }


if __name__ == "__main__":
    main()

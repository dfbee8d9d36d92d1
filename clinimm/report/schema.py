"""The published JSON Schema of a record, version by version; it ships with the library."""

from pathlib import Path

SCHEMA = "clinimm.report/2"
MEDIA_TYPE = "application/schema+json"


def schema() -> bytes:
    """The schema of the records that are made now, as JSON (draft 2020-12)."""
    return (Path(__file__).parent / "schemas" / "report-2.json").read_bytes()
